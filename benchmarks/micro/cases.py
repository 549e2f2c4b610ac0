"""The list of what is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.micro import ack, parts
from benchmarks.micro.pair import WARM, Pair, Replay

Run = Callable[[int], None]
"""Does so many steps."""

_BURST: Final = parts.SEGMENTS * parts.PAYLOAD
_MANY: Final = 1000


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    name: str
    unit: str
    prepare: Callable[[int], Run]
    """Gets ready for at most so many steps."""
    units: int = 1
    """How many of them one step is."""
    steps: int = 100
    """To count instructions in, beyond those of the base line."""


def all_cases() -> list[Case]:
    """Every case."""
    return [*_transfers(), *_acks(), *_parts(), *_connections(), *_wake_ups()]


def find(name: str) -> Case:
    """The case called `name`; KeyError if there is none."""
    return {case.name: case for case in all_cases()}[name]


def _transfers() -> list[Case]:
    """44 segments of 1,448 bytes, written and sent, then acknowledged; or received and read. And
    64 bytes received, read, answered with as many, sent."""
    send = partial(_replay, _BURST, server=False, echo=False)
    receive = partial(_replay, _BURST, server=True, echo=False)
    return [
        Case("burst/1448/send", "segment", send, parts.SEGMENTS),
        Case("burst/1448/receive", "segment", receive, parts.SEGMENTS),
        Case("message/64", "message", partial(_replay, 64, server=True, echo=True), steps=_MANY),
    ]


def _acks() -> list[Case]:
    """So many are acknowledged, and as many new ones sent, with a small or large flight."""

    def case(what: str, segments: int, flight: int) -> Case:
        def prepare(steps: int) -> Run:
            return ack.Sender(flight).step(segments)

        return Case(f"ack/{what}/{flight}-in-flight", "ACK", prepare, steps=200)

    return [
        case(what, segments, flight)
        for what, segments in (("segment", 1), ("burst", parts.SEGMENTS))
        for flight in (88, 8_800)
    ]


def _parts() -> list[Case]:
    return [
        *(_simple(f"parse/{kind}", "segment", partial(parts.parse, kind))
          for kind in ("data", "sack", "syn")),
        _simple("build/ack", "segment", partial(parts.build, sack=False)),
        _simple("build/sack", "segment", partial(parts.build, sack=True)),
        *(_simple(f"reassembly/{name}", "segment", partial(parts.reassembly, order), 44, 50)
          for name, order in parts.ORDERS.items()),
    ]  # fmt: skip


def _connections() -> list[Case]:
    def around(steps_of: Callable[[parts.Visits], Run]) -> Callable[[], Run]:
        def prepare() -> Run:
            visits = parts.Visits()
            visits.run(130)  # so that TIME-WAIT records end as fast as others begin
            return steps_of(visits)

        return prepare

    return [
        _simple("connection/open-close", "pair", around(lambda it: it.run), steps=50),
        _simple("connection/late-fin", "segment", around(lambda it: it.late_fins)),
        _simple("connection/stray", "segment", around(lambda it: it.strays)),
    ]


def _wake_ups() -> list[Case]:
    """The same with driver, transport and protocol around it, per message and per segment."""

    def prepare(size: int, *, echo: bool) -> Callable[[int], Run]:
        def run(steps: int) -> Run:
            from benchmarks.micro import wakeup  # noqa: PLC0415 (asyncio)

            return wakeup.prepare(size, steps, echo=echo)

        return run

    return [
        Case("driver/message/64", "message", prepare(64, echo=True), steps=_MANY),
        Case("driver/burst/1448", "segment", prepare(_BURST, echo=False), parts.SEGMENTS),
    ]


def _simple(
    name: str, unit: str, prepare: Callable[[], Run], units: int = 1, steps: int = _MANY
) -> Case:
    return Case(name, unit, lambda _: prepare(), units, steps)


def _replay(size: int, steps: int, *, server: bool, echo: bool) -> Run:
    pair = Pair(1500, echo=echo)
    pair.connect()
    for _ in range(WARM - 1 + steps):
        pair.turn(bytes(size))
    return Replay(pair, server=server, path_mtu=1500).run
