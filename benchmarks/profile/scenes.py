"""What is profiled: one side of a case of the suite, and the unit that its cost is told for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks import contestants
from benchmarks.cases import PROTOCOL, Case, Task, Way, tasks

BURST: Final = 44 * 1448
"""Bytes that leave with one system call."""
DATAGRAM: Final = 65_483
"""Bytes in the largest datagram, over loopback."""
STREAMS: Final = Way("uvloop", "streams")


@dataclass(frozen=True, slots=True)
class Scene:
    """One side of one task."""

    name: str
    task: str
    side: str
    """Of the process: client, or server."""
    unit: str
    figure: str
    """What the client reports of it."""
    size: int = 1
    """How much of the figure is a unit."""
    way: Way = PROTOCOL


SCENES: Final = (
    Scene("message echo", "echo/64", "server", "message", "trips"),
    Scene("message echo, streams", "echo/64", "server", "message", "trips", way=STREAMS),
    Scene("request, client", "requests/100", "client", "request", "requests"),
    Scene("request, server", "requests/100", "server", "request", "requests"),
    Scene("burst send", "bulk/up/1448", "client", "burst", "up", BURST),
    Scene("burst receive", "bulk/up/1448", "server", "burst", "up", BURST),
    Scene("loopback send", "bulk/up/loopback", "client", "datagram", "up", DATAGRAM),
    Scene("loopback receive", "bulk/up/loopback", "server", "datagram", "up", DATAGRAM),
    Scene("open-close, client", "connections/churn", "client", "connection", "connections"),
    Scene("open-close, server", "connections/churn", "server", "connection", "connections"),
)


def cases(scenes: Sequence[Scene], names: Sequence[str]) -> Iterator[Case]:
    """The cases that show these scenes."""
    known = {task.name: task for task in tasks()}
    for task, way in dict.fromkeys((scene.task, scene.way) for scene in scenes):
        for name in names:
            if _takes_part(known[task], way, name):
                yield Case(known[task], way, name)


def _takes_part(task: Task, way: Way, name: str) -> bool:
    one = contestants.contestant(name)
    return not one.missing() and way in one.ways(task)
