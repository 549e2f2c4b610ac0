"""Connections: open, exchange and close, again and again; and as many as possible held open."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from benchmarks.measure import blocks
from benchmarks.programs.common import connect

if TYPE_CHECKING:
    from benchmarks.contestants import AsyncioContestant
    from benchmarks.side import ClientSide


class Visit(asyncio.Protocol):
    """Sends the message, and with `leave` closes when it has come back."""

    def __init__(self, message: bytes, *, leave: bool) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self._message = message
        self._leave = leave
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        if self._leave:
            self.send()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._got == self._message:
            self.answered.set_result(None)
            if self._leave:
                self._transport.close()
        elif len(self._got) >= len(self._message):
            self.answered.set_exception(ValueError("another answer than the question"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc or ConnectionError("closed by the server"))
        self.over.set_result(None)

    def send(self) -> None:
        """Send the message."""
        self._transport.write(self._message)


async def ask(contestant: AsyncioContestant, side: ClientSide) -> None:
    """Report how many came and went, `task.connections` at a time."""
    task, port = side.task, side.address()
    message = blocks(task.message)[0]

    async def streams() -> None:
        reader, writer = await contestant.open_connection(port, task)
        writer.write(message)
        if await reader.readexactly(len(message)) != message:
            raise ValueError("another answer than the question")
        writer.close()
        await writer.wait_closed()

    async def protocol() -> None:
        visit = Visit(message, leave=True)
        await connect(contestant, visit, port, task)
        await visit.answered
        await visit.over

    once: Callable[[], Awaitable[None]]
    once = streams if side.case.way.api == "streams" else protocol
    await once()
    side.start()
    end_at = time.perf_counter() + side.seconds

    async def worker() -> int:
        count = 0
        while not count or time.perf_counter() < end_at:
            await once()
            count += 1
        return count

    counts = await asyncio.gather(*(worker() for _ in range(task.connections)))
    side.report({"connections": sum(counts)})


async def hold(contestant: AsyncioContestant, side: ClientSide) -> None:
    """Open `task.connections` one after the other, then an echo on all of them at once."""
    task, port = side.task, side.address()
    message = blocks(task.message)[0]
    visits = [Visit(message, leave=False) for _ in range(task.connections)]
    took = []
    side.start()
    for visit in visits:
        began_at = time.perf_counter()
        await connect(contestant, visit, port, task)
        took.append(time.perf_counter() - began_at)
    side.mark()
    began_at = time.perf_counter()
    for visit in visits:
        visit.send()
    await asyncio.gather(*(visit.answered for visit in visits))
    part = max(1, len(took) // 100)
    side.report(
        {
            "connections": len(visits),
            "open_s": sum(took),
            "first_us": statistics.median(took[:part]) * 1e6,
            "last_us": statistics.median(took[-part:]) * 1e6,
            "echo_s": time.perf_counter() - began_at,
        }
    )
