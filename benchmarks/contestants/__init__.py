"""Who is compared: one small file per contestant, found by being here.

A file defines `CONTESTANT`, an instance of one of two classes:

- `AsyncioContestant`: gives asyncio's four calls, or only the two for streams. The programs are
  those of `benchmarks.programs`, the same text for all.
- `Contestant`: everything else. It brings its own two programs, `serve` and `ask`, each the main
  function of a process, and does in them what the task says.

The file must be importable where what it measures is not installed: `missing` says what is not
there, and everything else is called only if nothing is missing. So import it inside the functions.

What `ask` and `serve` report depends on the question (`Task.question`). All of it is checked by the
runner, which adds CPU times of both processes and of their children that have ended.

    bulk      move bytes for `side.seconds`, or until `side.limit` of them, then until the other
              end has said that it has all. The bytes are those of `measure.blocks`, again and
              again on each connection, and a `measure.Checker` compares them.
              Both report {"up": bytes, "down": bytes}; the client also {"seconds": s}.
    echo      `task.message` bytes there and back, one after the other, for `side.seconds`.
              The client reports what `measure.Stopwatch` reads.
    requests  `task.connections` at once, each sends `task.message` bytes when the same number has
              come back. The client reports {"requests": n, "seconds": s}.
    churn     `task.connections` at once: open, `task.message` bytes there and back, close, again,
              for `side.seconds`. The client reports {"connections": n, "seconds": s}.
    held      open `task.connections`, one after the other, then one echo on each, all at once.
              The client reports {"open_s": all of it, "first_us" and "last_us": median time to open
              one of the first and of the last hundredth, "echo_s": all of it}, and keeps the
              connections open until `report` returns.

Only utcp itself is asked about "memory".
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final

from benchmarks.cases import Task, Way
from benchmarks.side import ClientSide, ServerSide

HOST: Final = "127.0.0.1"

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
StreamCallback = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_FIRST: Final = ("utcp", "tcp", "bare", "raw")


class Contestant(ABC):
    """Something that moves bytes."""

    name: ClassVar[str]
    """One word, that of the file."""
    title: ClassVar[str]
    """What tables call it."""
    encrypts: ClassVar[bool]
    share: ClassVar[float] = 1
    """Of the time of a run that it gets, for those whose figures are far from the others'."""
    most_per_second: ClassVar[int] = 0
    """Bytes to send at most, for those that buffer all they are given; 0: any number."""

    def missing(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        return ""

    @abstractmethod
    def ways(self, task: Task) -> Sequence[Way]:
        """How it does the task: each is measured. Empty if it cannot, or should not."""

    @abstractmethod
    def serve(self, side: ServerSide) -> None:
        """Main function of the server's process: `side.listening`, and at the end `side.report`."""

    @abstractmethod
    def ask(self, side: ClientSide) -> None:
        """Main function of the client's: `side.address`, `side.start`, work, `side.report`."""


class AsyncioContestant(Contestant):
    """Something with asyncio's calls, or calls that can be made to look like them.

    Calls for protocols are needed only if `ways` names "protocol" or "buffered". Readers and
    writers may be any objects with `readexactly`, `read`, `write`, `drain`, `write_eof`, `close`
    and `wait_closed`.
    """

    async def create_server(self, factory: ProtocolFactory, task: Task) -> tuple[object, int]:
        """Serve on HOST: the server and its port."""
        raise NotImplementedError

    async def create_connection(self, factory: ProtocolFactory, port: int, task: Task) -> None:
        """Connect to it."""
        raise NotImplementedError

    @abstractmethod
    async def start_server(self, callback: StreamCallback, task: Task) -> tuple[object, int]:
        """Serve on HOST: the server, which is kept, and its port."""

    @abstractmethod
    async def open_connection(self, port: int, task: Task) -> Streams:
        """Connect to it."""

    def serve(self, side: ServerSide) -> None:
        from benchmarks.programs import serve  # noqa: PLC0415 (imports this)

        serve(self, side)

    def ask(self, side: ClientSide) -> None:
        from benchmarks.programs import ask  # noqa: PLC0415

        ask(self, side)


def all_contestants() -> dict[str, Contestant]:
    """Those that are here, by name, whether they can run or not."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    names = [*_FIRST, *(name for name in found if name not in _FIRST)]
    return {name: contestant(name) for name in names}


def contestant(name: str) -> Contestant:
    """The one that the file `name` defines."""
    made: Contestant = importlib.import_module(f"{__name__}.{name}").CONTESTANT
    return made
