"""Latency: 64 bytes there and back, one after the other."""

from __future__ import annotations

import asyncio
import statistics
from multiprocessing.connection import Connection as Pipe
from time import perf_counter_ns
from typing import Final

from benchmarks.cases import Case
from benchmarks.measure import Meter
from benchmarks.transports import contestant, port_of
from utcp.cli.loops import run

MESSAGE: Final = bytes(range(64))
_WARM_UP: Final = 200


class EchoServer(asyncio.Protocol):
    """Sends back what it gets."""

    def __init__(self, over: asyncio.Event) -> None:
        self._over = over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._over.set()


class EchoClient(asyncio.Protocol):
    """Sends the message again as soon as it has come back whole, `count` times."""

    def __init__(self, count: int) -> None:
        self.over: asyncio.Future[dict[str, float]] = asyncio.get_running_loop().create_future()
        self._watch = Stopwatch(count)
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if len(self._got) < len(MESSAGE):
            return
        if self._watch.stop(self._got):
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.over.set_result(self._watch.read())
        else:
            self.over.set_exception(exc)

    def _send(self) -> None:
        self._got = b""
        self._watch.start()
        self._transport.write(MESSAGE)


class Stopwatch:
    """Times round trips; the first few hundred do not count."""

    def __init__(self, count: int) -> None:
        self._left = count + _WARM_UP
        self._trips: list[int] = []
        self._started_at = 0
        self._meter = Meter()

    def start(self) -> None:
        self._started_at = perf_counter_ns()

    def stop(self, answer: bytes) -> bool:
        """The answer is here; returns whether there is another trip to make."""
        self._trips.append(perf_counter_ns() - self._started_at)
        if answer != MESSAGE:
            raise ValueError("wrong bytes came back")
        self._left -= 1
        if len(self._trips) == _WARM_UP:
            self._meter.restart()
        return self._left > 0

    def read(self) -> dict[str, float]:
        """Microseconds: the median and the 99th of a hundred; and the meter."""
        trips = sorted(self._trips[_WARM_UP:])
        return {
            **self._meter.read(),
            "median_us": statistics.median(trips) / 1e3,
            "p99_us": trips[len(trips) * 99 // 100] / 1e3,
        }


def serve(pipe: Pipe, case: Case) -> None:
    """Main function of the echoing process."""
    pipe.send(run(case.loop, _serve(pipe, case)))


def ask(pipe: Pipe, case: Case, count: int, port: int) -> None:
    """Main function of the asking process."""
    asking = _ask_protocol if case.api == "protocol" else _ask_streams
    pipe.send(run(case.loop, asking(case, count, port)))


async def _serve(pipe: Pipe, case: Case) -> dict[str, float]:
    over = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(len(MESSAGE)):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        over.set()

    transport = contestant(case.contestant, case.mss)
    if case.api == "protocol":
        server = await transport.create_server(lambda: EchoServer(over))
    else:
        server = await transport.start_server(echo)
    pipe.send(port_of(server))
    meter = Meter()
    await over.wait()
    result = meter.read()
    server.close()
    await server.wait_closed()
    return result


async def _ask_protocol(case: Case, count: int, port: int) -> dict[str, float]:
    client = EchoClient(count)
    await contestant(case.contestant, case.mss).create_connection(lambda: client, port)
    return await client.over


async def _ask_streams(case: Case, count: int, port: int) -> dict[str, float]:
    reader, writer = await contestant(case.contestant, case.mss).open_connection(port)
    watch = Stopwatch(count)
    more = True
    while more:
        watch.start()
        writer.write(MESSAGE)
        more = watch.stop(await reader.readexactly(len(MESSAGE)))
    writer.close()
    await writer.wait_closed()
    return watch.read()
