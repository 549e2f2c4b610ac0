"""The list of what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.measure import BLOCK

if TYPE_CHECKING:
    from benchmarks.contestants import Contestant


class Way(NamedTuple):
    """How a program is written."""

    loop: str  # "asyncio", "uvloop", "none"
    api: str  # "protocol", "buffered", "streams", or a contestant's own


PROTOCOL: Final = Way("uvloop", "protocol")
_ALL_WAYS: Final = tuple(
    Way(loop, api)
    for loop, api in product(("asyncio", "uvloop"), ("protocol", "buffered", "streams"))
)
_WITHOUT_BUFFERED: Final = tuple(way for way in _ALL_WAYS if way.api != "buffered")


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done, whoever does it and in whichever way."""

    name: str
    """For example "bulk/up/1448"."""
    question: str
    """"bulk", "echo", "requests", "churn", "held" or "memory": which program does it."""
    ways: tuple[Way, ...] = (PROTOCOL,)
    """Those in which asyncio's transports do it; others choose theirs."""
    headline: bool = False
    """Whether contestants of all kinds should do it, if they can."""
    segment: int = 0
    """Bytes of payload that a segment has at most; 0: as the path allows."""
    direction: str = "up"
    """bulk: "up" from client to server, "down", or "both"."""
    message: int = 64
    """Bytes there and the same back: echo, requests, churn, held."""
    beside_bulk: bool = False
    """echo: while another connection transfers as much as it can, client to server."""
    connections: int = 1
    """At the same time: bulk, requests, churn, held."""
    write: int = BLOCK
    """bulk: bytes that are handed over in one call."""
    longer: int = 1
    """Times as long as others."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure: a task, who does it, and in which way."""

    task: Task
    way: Way
    contestant: str

    @property
    def name(self) -> str:
        """For example "bulk/up/1448/uvloop/protocol/utcp"."""
        return f"{self.group}/{self.contestant}"

    @property
    def group(self) -> str:
        """The name without the contestant."""
        return f"{self.task.name}/{self.way.loop}/{self.way.api}"


def tasks() -> Iterator[Task]:
    """Every task, in the order of the tables."""
    yield from _bulk()
    yield from _echo()
    ways: tuple[Way, ...] = (PROTOCOL, Way("asyncio", "streams"))
    for count in (1, 10, 100, 1000):
        yield Task(
            f"requests/{count}",
            "requests",
            ways,
            count in {1, 100},
            message=1024,
            connections=count,
        )
    yield Task("connections/churn", "churn", ways, headline=True, connections=50)
    yield Task("connections/held", "held", connections=10_000)
    ways = (Way("asyncio", "protocol"),)
    for weighed in ("connection", "time-wait"):
        yield Task(f"memory/{weighed}", "memory", ways, connections=450)
    yield Task("memory/transfer", "memory", ways, longer=5)
    for count in (1, 10, 100, 1000):
        name = f"growth/connections/{count}"
        # A thousand need more than a second until each has found its rate.
        yield Task(name, "bulk", connections=count, write=64 << 10, longer=4)
    for exponent in range(4, 21, 2):
        yield Task(f"growth/writes/{1 << exponent}", "bulk", write=1 << exponent)


def all_cases(contestants: Iterable[Contestant]) -> Iterator[Case]:
    """Every case; those that are compared with each other are beside each other."""
    for task in tasks():
        ways = {contestant.name: contestant.ways(task) for contestant in contestants}
        for way in dict.fromkeys(way for own in ways.values() for way in own):
            for name, own in ways.items():
                if way in own:
                    yield Case(task, way, name)


def quick(case: Case) -> Case:
    """The same with few connections, to see that it works."""
    return replace(case, task=replace(case.task, connections=min(case.task.connections, 60)))


def _bulk() -> Iterator[Task]:
    for segment in (0, 8948, 1448):
        path = segment or "loopback"
        yield Task(f"bulk/up/{path}", "bulk", _ALL_WAYS, segment != 8948, segment)
        for direction in ("down", "both"):
            headline = segment == 1448 and direction == "down"
            name = f"bulk/{direction}/{path}"
            yield Task(name, "bulk", (PROTOCOL,), headline, segment, direction)


def _echo() -> Iterator[Task]:
    for message, beside in ((64, False), (64, True), (1024, False)):
        name = f"echo/{message}" + ("/beside-bulk" if beside else "")
        ways: tuple[Way, ...] = (PROTOCOL, Way("asyncio", "protocol"))
        if message == 64 and not beside:
            ways = _WITHOUT_BUFFERED
        headline = message == 64 and not beside
        yield Task(name, "echo", ways, headline, message=message, beside_bulk=beside)
