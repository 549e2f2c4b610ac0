"""What the server pays in memory for idle connections, for TIME-WAIT records, for a long transfer.

Python's own account of what is allocated is exact, but makes the process larger and slower, so
nothing is timed here.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING, Final

from benchmarks.measure import resident
from benchmarks.programs import bulk
from benchmarks.programs.common import connect, until_over

if TYPE_CHECKING:
    from benchmarks.contestants import AsyncioContestant
    from benchmarks.side import ClientSide, Figures, ServerSide

_SETTLE: Final = 0.3  # seconds for delayed ACKs and closing to end


class Guest(asyncio.Protocol):
    """A connection that only exists; with `leave` it says a byte, and the server closes."""

    def __init__(self, *, leave: bool) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leave = leave

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        if self._leave:
            self._transport.write(b"?")

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Host(asyncio.Protocol):
    """The server's end: the side that closes first is the one that has to remember."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._transport.close()


async def serve(contestant: AsyncioContestant, side: ServerSide) -> None:
    """Report what grew between the client's start and the end."""
    if side.task.name == "memory/transfer":
        await _serve_transfer(contestant, side)
        return
    tracemalloc.start()
    server, port = await contestant.create_server(Host, side.task)
    await until_over(side, port)
    side.report({})
    del server


async def ask(contestant: AsyncioContestant, side: ClientSide) -> None:
    """Open as many before the start as after it: tables grow with the first that are there then."""
    if side.task.name == "memory/transfer":
        await bulk.ask(contestant, side)
        return
    port, leave = side.address(), side.task.name == "memory/time-wait"

    async def open_all() -> list[Guest]:
        guests = [Guest(leave=leave) for _ in range(side.task.connections)]
        for guest in guests:
            await connect(contestant, guest, port, side.task)
            if leave:
                await guest.over
        await asyncio.sleep(_SETTLE)
        return guests

    kept = await open_all()
    side.start()
    kept += await open_all()
    side.report({"connections": len(kept) / 2})


async def _serve_transfer(contestant: AsyncioContestant, side: ServerSide) -> None:
    samples: list[int] = []

    async def sample() -> None:
        while True:
            await asyncio.sleep(side.seconds / 50)
            if side.started:
                samples.append(resident())

    def read() -> Figures:
        samples.append(resident())
        early = samples[: len(samples) // 10 + 1]
        return {"rss_early": max(early), "rss_most": max(samples)}

    sampling = asyncio.create_task(sample())
    await bulk.serve(contestant, side, read)
    sampling.cancel()
