"""The server of round trips: sends back each message when it is there whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.programs.common import until_over

if TYPE_CHECKING:
    from benchmarks.contestants import AsyncioContestant
    from benchmarks.side import ServerSide


class Answering(asyncio.Protocol):
    """With data_received."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._got:
            data = self._got + data
        if len(data) == self._size:
            self._got = b""
            self._transport.write(data)
        else:
            self._got = data


class Sink(asyncio.Protocol):
    """Takes what comes: the transfer beside which others are timed."""

    count = 0

    def data_received(self, data: bytes) -> None:
        Sink.count += len(data)


async def serve(contestant: AsyncioContestant, side: ServerSide) -> None:
    """Serve until the client has what it wants. The second connection may be a transfer."""
    size, beside_bulk = side.task.message, side.task.beside_bulk
    connections = 0

    def protocol() -> asyncio.Protocol:
        nonlocal connections
        connections += 1
        return Sink() if beside_bulk and connections > 1 else Answering(size)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(await reader.readexactly(size))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            # Cancelled when all is over; Python 3.11 would print that.
            writer.close()

    if side.case.way.api == "streams":
        server, port = await contestant.start_server(answer, side.task)
    else:
        server, port = await contestant.create_server(protocol, side.task)
    await until_over(side, port)
    idle = {"rss_idle": side.marked["rss_grown"]} if side.marked else {}
    side.report({"sunk": Sink.count, **idle})
    del server
