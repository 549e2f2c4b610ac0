"""Bytes per second: one side writes as fast as it may and says EOF, the other answers one byte."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection as Pipe
from typing import Final

from benchmarks.cases import Case
from benchmarks.measure import BLOCK, Checker, Meter, blocks, resident
from benchmarks.transports import contestant, port_of
from utcp.cli.loops import run

DONE: Final = b"!"


class Tally:
    """The receiver's account: what arrived, what it cost, how memory went."""

    def __init__(self, size: int, *, every_byte: bool) -> None:
        self.over = asyncio.Event()
        self._checker = Checker(every_byte=every_byte)
        self._meter = Meter()
        self._early = size // 10
        self._rss_early = 0

    def feed(self, data: bytes) -> None:
        if not self._checker.count:
            self._meter.restart()
        self._checker.feed(data)
        if not self._rss_early and self._checker.count >= self._early:
            self._rss_early = resident()

    def read(self) -> dict[str, float]:
        memory = {"rss_early": self._rss_early, "rss_end": resident()}
        return {"bytes": self._checker.count, **self._meter.read(), **memory}


class Sink(asyncio.Protocol):
    """The receiving Protocol."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._tally.feed(data)

    def eof_received(self) -> bool:
        self._transport.write(DONE)
        self._transport.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.over.set()


class Source(asyncio.Protocol):
    """The sending Protocol: writes until told to pause."""

    def __init__(self, size: int) -> None:
        self.over: asyncio.Future[dict[str, float]] = asyncio.get_running_loop().create_future()
        self._left = size
        self._next = 0
        self._paused = False
        self._meter = Meter()
        self._result: dict[str, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._meter.restart()
        self._write()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write()

    def data_received(self, data: bytes) -> None:
        self._result = self._meter.read()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._result:
            self.over.set_result(self._result)
        else:
            self.over.set_exception(exc or ConnectionError("closed before all had arrived"))

    def _write(self) -> None:
        everything = blocks()
        while self._left and not self._paused:
            block = everything[self._next]
            self._next = (self._next + 1) % len(everything)
            if self._left < BLOCK:
                block = block[: self._left]
            self._left -= len(block)
            self._transport.write(block)
            if not self._left:
                # Not from inside resume_writing: asyncio's TCP transport would shut down twice.
                asyncio.get_running_loop().call_soon(self._transport.write_eof)


def receive(pipe: Pipe, case: Case, size: int, every_byte: bool) -> None:
    """Main function of the receiving process."""
    blocks()
    serve = _serve_protocol if case.api == "protocol" else _serve_streams
    pipe.send(run(case.loop, serve(pipe, case, Tally(size, every_byte=every_byte))))


def send(pipe: Pipe, case: Case, size: int, port: int) -> None:
    """Main function of the sending process."""
    blocks()
    sending = _send_protocol if case.api == "protocol" else _send_streams
    pipe.send(run(case.loop, sending(case, size, port)))


async def _serve_protocol(pipe: Pipe, case: Case, tally: Tally) -> dict[str, float]:
    transport = contestant(case.contestant, case.mss)
    server = await transport.create_server(lambda: Sink(tally))
    return await _until_over(pipe, server, tally)


async def _serve_streams(pipe: Pipe, case: Case, tally: Tally) -> dict[str, float]:
    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(BLOCK):
            tally.feed(data)
        writer.write(DONE)
        writer.close()
        await writer.wait_closed()
        tally.over.set()

    server = await contestant(case.contestant, case.mss).start_server(sink)
    return await _until_over(pipe, server, tally)


async def _until_over(pipe: Pipe, server: asyncio.AbstractServer, tally: Tally) -> dict[str, float]:
    pipe.send(port_of(server))
    await tally.over.wait()
    result = tally.read()
    server.close()
    await server.wait_closed()
    return result


async def _send_protocol(case: Case, size: int, port: int) -> dict[str, float]:
    source = Source(size)
    await contestant(case.contestant, case.mss).create_connection(lambda: source, port)
    return await source.over


async def _send_streams(case: Case, size: int, port: int) -> dict[str, float]:
    reader, writer = await contestant(case.contestant, case.mss).open_connection(port)
    everything = blocks()
    meter = Meter()
    for index, left in enumerate(range(size, 0, -BLOCK)):
        block = everything[index % len(everything)]
        writer.write(block if left >= BLOCK else block[:left])
        await writer.drain()
    writer.write_eof()
    answer = await reader.readexactly(len(DONE))
    assert answer == DONE
    result = meter.read()
    writer.close()
    await writer.wait_closed()
    return result
