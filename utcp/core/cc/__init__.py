"""Congestion control: a registry by name, and one file per algorithm."""

from __future__ import annotations

from typing import Final

from utcp.core.cc.base import CongestionControl
from utcp.core.cc.reno import Reno

__all__ = ["ALGORITHMS", "CongestionControl", "create"]

ALGORITHMS: Final[dict[str, type[CongestionControl]]] = {"reno": Reno}
"""The algorithms by the name that `Config.congestion_control` takes."""


def create(name: str, mss: int, initial_window_segments: int) -> CongestionControl:
    """A controller of the algorithm called `name`, in its initial state.

    Raises `ValueError` if there is none of this name.
    """
    algorithm = ALGORITHMS.get(name)
    if algorithm is None:
        raise ValueError(f"unknown congestion control {name!r}, not one of {sorted(ALGORITHMS)}")
    return algorithm(mss, initial_window_segments)
