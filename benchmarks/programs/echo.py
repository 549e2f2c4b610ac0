"""Latency: a message there and back, one after the other, alone or beside a transfer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.measure import Stopwatch, blocks
from benchmarks.programs.common import connect

if TYPE_CHECKING:
    from benchmarks.contestants import AsyncioContestant
    from benchmarks.side import ClientSide


class Asking(asyncio.Protocol):
    """Sends the message again as soon as it has come back whole."""

    def __init__(self, message: bytes, watch: Stopwatch) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._message = message
        self._watch = watch
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        if self._got:
            data = self._got + data
        if len(data) < len(self._message):
            self._got = data
            return
        more = self._watch.stop()
        if data != self._message:
            self.over.set_exception(ValueError("another answer than the question"))
        elif more:
            self.send()
        else:
            self.over.set_result(None)

    def send(self) -> None:
        """Ask."""
        self._got = b""
        self._watch.start()
        self._transport.write(self._message)


class Pouring(asyncio.Protocol):
    """Writes as much as it may, without end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._paused = False
        self._write()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write()

    def _write(self) -> None:
        # One block a turn: who writes until it is told to pause leaves no time for others.
        if not self._paused and not self._transport.is_closing():
            self._transport.write(blocks()[0])
            asyncio.get_running_loop().call_soon(self._write)


async def ask(contestant: AsyncioContestant, side: ClientSide) -> None:
    """Report how long the trips took."""
    task, port = side.task, side.address()
    message = blocks(task.message)[0]
    watch = Stopwatch(side.seconds, side.start)
    if side.case.way.api == "streams":
        reader, writer = await contestant.open_connection(port, task)
        more = True
        while more:
            watch.start()
            writer.write(message)
            answer = await reader.readexactly(len(message))
            more = watch.stop()
            if answer != message:
                raise ValueError("another answer than the question")
    else:
        client = Asking(message, watch)
        await connect(contestant, client, port, task)
        if task.beside_bulk:
            await contestant.create_connection(Pouring, port, task)
        client.send()
        await client.over
    side.report(watch.read())
