"""The list of what is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.micro.pair import WARM, Pair, Replay

SEGMENTS: Final = 44
PAYLOAD: Final = 1448

Run = Callable[[int], None]
"""Does so many steps."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    name: str
    unit: str
    units: int
    """How many of them one step is."""
    prepare: Callable[[int], Run]
    """Gets ready for at most so many steps."""
    steps: int = 100
    """To count instructions in, beyond those of the base line."""


def burst(*, server: bool) -> Callable[[int], Run]:
    """44 segments of 1,448 bytes, written and sent, then acknowledged; or received and read."""

    def prepare(steps: int) -> Run:
        pair = Pair(1500, echo=False)
        pair.connect()
        for _ in range(WARM - 1 + steps):
            pair.turn(bytes(SEGMENTS * PAYLOAD))
        return Replay(pair, server=server, path_mtu=1500).run

    return prepare


def message(steps: int) -> Run:
    """64 bytes received, read, answered with as many, sent."""
    pair = Pair(1500, echo=True)
    pair.connect()
    for _ in range(WARM - 1 + steps):
        pair.turn(bytes(64))
    return Replay(pair, server=True, path_mtu=1500).run


def all_cases() -> list[Case]:
    """Every case."""
    return [
        Case("burst/1448/send", "segment", SEGMENTS, burst(server=False)),
        Case("burst/1448/receive", "segment", SEGMENTS, burst(server=True)),
        Case("message/64", "message", 1, message, 1000),
    ]


def find(name: str) -> Case:
    """The case called `name`; KeyError if there is none."""
    return {case.name: case for case in all_cases()}[name]
