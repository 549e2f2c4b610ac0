"""What the server pays in memory for idle connections and for TIME-WAIT records.

Connections are weighed twice, because a tracer that counts Python's allocations makes the process
itself larger: one run reads `tracemalloc`, the other the resident size of the process.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from multiprocessing.connection import Connection as Pipe
from typing import Final

import utcp
from benchmarks.measure import resident
from benchmarks.transports import HOST, port_of
from utcp.cli.loops import run

_SETTLE: Final = 0.3  # seconds for delayed ACKs and closing to end


_Queue = asyncio.Queue[asyncio.Transport]


class Idle(asyncio.Protocol):
    """A connection that only exists."""

    def __init__(self, opened: _Queue, closed: _Queue) -> None:
        self._opened = opened
        self._closed = closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._opened.put_nowait(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.put_nowait(self._transport)


def serve(pipe: Pipe, weighed: str, count: int, traced: bool) -> None:
    """Main function of the weighed process: answers {"each": bytes}."""
    if traced:
        tracemalloc.start()
    pipe.send({"each": run("asyncio", _serve(pipe, weighed, count, traced=traced))})


def connect(pipe: Pipe, count: int, port: int) -> None:
    """Main function of the process that opens the connections."""
    run("asyncio", _connect(pipe, count, port))


async def _serve(pipe: Pipe, weighed: str, count: int, *, traced: bool) -> float:
    opened, closed = _Queue(), _Queue()
    kept: list[asyncio.Transport] = []
    server = await utcp.create_server(lambda: Idle(opened, closed), HOST, 0, backlog=count)
    pipe.send(port_of(server))

    async def weigh() -> int:
        kept.extend([await opened.get() for _ in range(count)])
        if weighed == "time-wait":
            # The side that closes first is the one that has to remember.
            while kept:
                kept.pop().close()
            for _ in range(count):
                await closed.get()
        await asyncio.sleep(_SETTLE)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if traced else resident()

    # The first half is not weighed: tables grow with it that are there for the second.
    before = await weigh()
    pipe.send("more")
    after = await weigh()
    pipe.send("enough")
    for transport in kept:
        transport.abort()
    server.close()
    await server.wait_closed()
    return (after - before) / count


async def _connect(pipe: Pipe, count: int, port: int) -> None:
    loop = asyncio.get_running_loop()
    opened, closed = _Queue(), _Queue()
    for _ in range(2):
        for _ in range(count):
            await utcp.create_connection(lambda: Idle(opened, closed), HOST, port)
        await loop.run_in_executor(None, pipe.recv)
    while not opened.empty():
        opened.get_nowait().abort()
