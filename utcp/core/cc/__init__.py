"""Congestion control: a registry by name, and one file per algorithm."""

from __future__ import annotations

from typing import Final

from utcp.core.cc.base import CongestionControl
from utcp.core.cc.cubic import Cubic
from utcp.core.cc.reno import Reno

__all__ = ["ALGORITHMS", "CongestionControl", "Cubic", "Reno", "create", "find", "succeed"]

ALGORITHMS: Final[dict[str, type[CongestionControl]]] = {"cubic": Cubic, "reno": Reno}
"""The algorithms by the name that `Config.congestion_control` takes."""


def find(algorithm: str | type[CongestionControl]) -> type[CongestionControl]:
    """The class of the algorithm that has this name, or is this class.

    Raises `ValueError` if there is none of this name.
    """
    if not isinstance(algorithm, str):
        return algorithm
    if algorithm not in ALGORITHMS:
        known = sorted(ALGORITHMS)
        raise ValueError(f"unknown congestion control {algorithm!r}, not one of {known}")
    return ALGORITHMS[algorithm]


def create(
    algorithm: str | type[CongestionControl], mss: int, initial_window_segments: int
) -> CongestionControl:
    """A controller in its initial state, of the algorithm that `find` finds."""
    return find(algorithm)(mss, initial_window_segments)


def succeed(old: CongestionControl, algorithm: str) -> CongestionControl:
    """A controller of another algorithm that goes on with the window of `old`.

    Raises `ValueError` if there is none of this name.
    """
    new = create(algorithm, old.mss, old.initial_segments)
    new.cwnd = old.cwnd
    new.ssthresh = old.ssthresh
    new.hystart = old.hystart
    return new
