"""Requests per second: many connections, each asks again when it has its answer."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import TYPE_CHECKING

from benchmarks.measure import blocks, percentiles
from benchmarks.programs.common import connect

if TYPE_CHECKING:
    from benchmarks.contestants import AsyncioContestant
    from benchmarks.side import ClientSide


class Counter:
    """The answers of all connections."""

    def __init__(self) -> None:
        self.end_at = 0
        self._times = array("q")

    def answered(self, asked_at: int) -> bool:
        """Whether to ask again."""
        now = time.perf_counter_ns()
        self._times.append(now - asked_at)
        return now < self.end_at

    def read(self) -> dict[str, float]:
        """{"requests": n, and how long they took: "p50_us", "p99_us", "p999_us"}"""
        return {"requests": len(self._times), **percentiles(self._times)}


class Requesting(asyncio.Protocol):
    """With data_received."""

    def __init__(self, message: bytes, counter: Counter) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._message = message
        self._counter = counter
        self._got = b""
        self._asked_at = 0

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
        elif data != self._message:
            self.over.set_exception(ValueError("another answer than the question"))
        elif self._counter.answered(self._asked_at):
            self.send()
        else:
            self.over.set_result(None)

    def send(self) -> None:
        """Ask."""
        self._got = b""
        self._asked_at = time.perf_counter_ns()
        self._transport.write(self._message)


async def ask(contestant: AsyncioContestant, side: ClientSide) -> None:
    """Report how many were answered."""
    task, port = side.task, side.address()
    message = blocks(task.message)[0]
    counter = Counter()
    if side.case.way.api == "streams":
        streams = [await contestant.open_connection(port, task) for _ in range(task.connections)]
        _start(side, counter)
        await asyncio.gather(*(_request(message, counter, *pair) for pair in streams))
    else:
        clients = [Requesting(message, counter) for _ in range(task.connections)]
        for client in clients:
            await connect(contestant, client, port, task)
        _start(side, counter)
        for client in clients:
            client.send()
        await asyncio.gather(*(client.over for client in clients))
    seconds = side.meter.read()["seconds"]
    side.report({**counter.read(), "seconds": seconds})


def _start(side: ClientSide, counter: Counter) -> None:
    side.start()
    counter.end_at = time.perf_counter_ns() + int(side.seconds * 1e9)


async def _request(
    message: bytes, counter: Counter, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    more = True
    while more:
        asked_at = time.perf_counter_ns()
        writer.write(message)
        answer = await reader.readexactly(len(message))
        more = counter.answered(asked_at)
        if answer != message:
            raise ValueError("another answer than the question")
