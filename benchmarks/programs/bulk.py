"""Bytes per second: whoever sends writes as fast as it may, for a time, and then says EOF.

The client says EOF when it has sent all, which is at once if only the server sends. The server says
it when it has the client's EOF and has sent all of its own. So the client's end of file is proof
that everything has arrived, both ways.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.measure import Checker, blocks
from benchmarks.programs.common import connect, until_over
from benchmarks.side import Figures, Side

if TYPE_CHECKING:
    from benchmarks.contestants import AsyncioContestant
    from benchmarks.side import ClientSide, ServerSide

_READ = 256 << 10


class Account:
    """What one process has sent and received on all of its connections."""

    def __init__(self, side: Side, *, sends: bool) -> None:
        self.sends = sends
        self.sent = self.received = 0
        self.error: BaseException | None = None
        self.pieces = blocks(side.task.write)
        self.seconds = side.seconds
        self.limit = side.limit // side.task.connections
        self.every_byte = side.every_byte

    def failed(self, error: BaseException) -> None:
        """The first thing that went wrong is what is told."""
        self.error = self.error or error

    def check(self) -> None:
        """Raises what went wrong."""
        if self.error is not None:
            raise self.error

    def settle(self, source: Source | None, checker: Checker) -> None:
        """One connection is over."""
        self.sent += source.sent if source is not None else 0
        self.received += checker.count


class Source:
    """What one connection has to send, piece by piece, until the time is over."""

    def __init__(self, account: Account) -> None:
        self.sent = 0
        self._pieces = account.pieces
        self._size = len(account.pieces[0])
        self._limit = account.limit
        self._end_at = time.perf_counter() + account.seconds

    def piece(self) -> bytes:
        """The next one, empty if it is enough. There is one at least."""
        if self.sent and (self.sent >= self._limit or time.perf_counter() >= self._end_at):
            return b""
        piece = self._pieces[self.sent // self._size % len(self._pieces)]
        self.sent += self._size
        return piece


class _Mover(asyncio.BaseProtocol):
    """One end of a connection, however it is given what arrives."""

    def __init__(self, account: Account, *, client: bool) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._account = account
        self._client = client
        self._checker = Checker(every_byte=account.every_byte)
        self._source: Source | None = None
        self._paused = False
        self._sent_all = not account.sends
        self._eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def begin(self) -> None:
        """Send, if it is for this end to do so. The client's word is what the server waits for."""
        if self._account.sends:
            self._source = Source(self._account)
            self._write()
        else:
            self._transport.write_eof()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if not self._sent_all:
            self._write()

    def eof_received(self) -> bool:
        self._eof = True
        if self._client or self._sent_all:
            self._close()
        elif self._source is None:
            self.begin()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self._account.failed(exc or ConnectionError("closed before all had arrived"))
            self.over.set_result(None)

    def feed(self, data: bytes | memoryview) -> None:
        """Something has arrived."""
        try:
            self._checker.feed(data)
        except ValueError as error:
            self._account.failed(error)
            self._transport.abort()
        if self._source is None and self._account.sends:
            self.begin()

    def _write(self) -> None:
        assert self._source is not None
        while not self._paused:
            piece = self._source.piece()
            if not piece:
                self._sent_all = True
                # Not from inside resume_writing: asyncio's TCP transport would shut down twice.
                asyncio.get_running_loop().call_soon(self._finish)
                return
            self._transport.write(piece)

    def _finish(self) -> None:
        if self._client:
            self._transport.write_eof()
        elif self._eof:
            self._close()

    def _close(self) -> None:
        self._account.settle(self._source, self._checker)
        self.over.set_result(None)
        self._transport.close()


class Mover(_Mover, asyncio.Protocol):
    """With data_received."""

    def data_received(self, data: bytes) -> None:
        self.feed(data)


class BufferedMover(_Mover, asyncio.BufferedProtocol):
    """With a buffer of its own that is written into."""

    def __init__(self, account: Account, *, client: bool) -> None:
        super().__init__(account, client=client)
        self._buffer = memoryview(bytearray(_READ))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.feed(self._buffer[:nbytes])


async def serve(
    contestant: AsyncioContestant, side: ServerSide, also: Callable[[], Figures] = dict
) -> None:
    """Serve the transfers, report what came and went, and what `also` says."""
    account = Account(side, sends=side.task.direction != "up")
    task = side.task

    async def moving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _serve_streams(account, reader, writer)
        except (OSError, ValueError) as error:
            account.failed(error)

    if side.case.way.api == "streams":
        server, port = await contestant.start_server(moving, task)
    else:
        mover = _movers(side)
        server, port = await contestant.create_server(lambda: mover(account, client=False), task)
    await until_over(side, port)
    account.check()
    side.report({**also(), "up": account.received, "down": account.sent})
    del server


async def ask(contestant: AsyncioContestant, side: ClientSide) -> None:
    """Connect, transfer, report what came and went in which time."""
    account = Account(side, sends=side.task.direction != "down")
    port = side.address()
    if side.case.way.api == "streams":
        streams = [
            await contestant.open_connection(port, side.task) for _ in range(side.task.connections)
        ]
        side.start()
        await asyncio.gather(*(_ask_streams(account, *pair) for pair in streams))
    else:
        kind = _movers(side)
        movers = [kind(account, client=True) for _ in range(side.task.connections)]
        for mover in movers:
            await connect(contestant, mover, port, side.task)
        side.start()
        for mover in movers:
            mover.begin()
        await asyncio.gather(*(mover.over for mover in movers))
    figures: Figures = {"seconds": side.meter.read()["seconds"]}
    account.check()
    side.report({**figures, "up": account.sent, "down": account.received})


def _movers(side: Side) -> type[Mover | BufferedMover]:
    return BufferedMover if side.case.way.api == "buffered" else Mover


async def _serve_streams(
    account: Account, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    checker = Checker(every_byte=account.every_byte)
    sending: asyncio.Task[Source] | None = None
    while data := await reader.read(_READ):
        checker.feed(data)
        if account.sends and sending is None:
            sending = asyncio.create_task(_send(account, writer))
    source = None
    if account.sends:
        source = await (sending or _send(account, writer))
    account.settle(source, checker)
    writer.close()


async def _ask_streams(
    account: Account, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    async def send() -> Source | None:
        source = await _send(account, writer) if account.sends else None
        writer.write_eof()
        return source

    sending = asyncio.create_task(send())
    checker = Checker(every_byte=account.every_byte)
    while data := await reader.read(_READ):
        checker.feed(data)
    account.settle(await sending, checker)
    writer.close()


async def _send(account: Account, writer: asyncio.StreamWriter) -> Source:
    source = Source(account)
    while piece := source.piece():
        writer.write(piece)
        await writer.drain()
    return source
