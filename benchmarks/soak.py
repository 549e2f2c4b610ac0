"""`python -m benchmarks.soak`: connections come and go, and nothing of them must stay.

By default over real sockets, server and clients in one process and on one loop, for `--seconds`;
with `--virtual` in a simulated world whose network loses, repeats and reorders, for as many
seconds of its own time. Short and long exchanges, half-close, aborts, refusals, cancelled
attempts. Now and then all of it rests, and what the process holds is counted: bytes, objects,
descriptors, tasks, timers, connections and records. At the end it must be as after the first rest.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import time
import tracemalloc
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import utcp
from benchmarks import soakworld
from utcp.aio.hub import Hub
from utcp.cli import loops

_WORKERS: Final = 12
_MOST_RESTS: Final = 10  # after the first
_WORK: Final = 1.0  # seconds between two, at least; less only to have two at all
_SPARE_BYTES: Final = 300_000  # what caches and interned things may still grow by
_SPARE_OBJECTS: Final = 1_000
_BLOCK: Final = bytes(range(256)) * 256
_LAST_ALARM_MS: Final = 5_000  # longer than any timer of these connections
# An attempt that is cancelled leaves a half-open connection behind, which must not outlast a rest.
CONFIG: Final = utcp.Config(msl=0.05, linger=1.0, synack_retries=1)


@dataclass(frozen=True)
class Held:
    """What the process holds while all rests."""

    memory: int
    objects: int
    descriptors: int
    tasks: int
    timers: int
    records: int

    def left_over(self, after: Held) -> list[str]:
        """What has stayed since, in words; memory and objects have some room."""
        found = []
        for name, spare in (
            ("memory", _SPARE_BYTES), ("objects", _SPARE_OBJECTS), ("descriptors", 0),
            ("tasks", 0), ("timers", 0), ("records", 0),
        ):  # fmt: skip
            grown = getattr(after, name) - getattr(self, name)
            if grown > spare:
                found.append(f"{grown:,} {name}")
        return found


def _timers(loop: asyncio.AbstractEventLoop) -> int:
    """How many timers wait; uvloop does not tell."""
    return sum(not one.cancelled() for one in getattr(loop, "_scheduled", ()))


def held(tasks: int = 0, timers: int = 0, records: int = 0) -> Held:
    """Count."""
    gc.collect()
    return Held(
        memory=tracemalloc.get_traced_memory()[0],
        objects=len(gc.get_objects()),
        descriptors=len(os.listdir("/proc/self/fd")),
        tasks=tasks,
        timers=timers,
        records=records,
    )


# -- over real sockets ---------------------------------------------------------------------------


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The first byte says what is wanted."""
    try:
        wanted = await reader.read(1)
        if wanted == b"e":  # echo
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        elif wanted == b"b":  # bulk
            for _ in range(int.from_bytes(await reader.readexactly(2))):
                writer.write(_BLOCK)
                await writer.drain()
        elif wanted == b"h":  # half-close: answers to the end
            writer.write((await reader.read())[::-1])
        elif wanted == b"a":
            writer.transport.abort()
            return
        elif wanted == b"l":  # talks for as long as somebody listens
            while True:
                writer.write(_BLOCK)
                await writer.drain()
        writer.close()
        await writer.wait_closed()
    except OSError:
        writer.transport.abort()
        # Else the future of it may be found among the garbage before the protocol that knows that
        # nobody need look at it.
        with suppress(OSError):
            await writer.wait_closed()


class Soak:
    """Workers, each of which has one connection after another."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self._address: Any = None

    async def run(self, seconds: float) -> list[Held]:
        """Go on for so long; returns what was held at each rest."""
        server = await utcp.start_server(serve, "127.0.0.1", 0, config=CONFIG)
        self._address = server.sockets[0].getsockname()
        rests = []
        times = min(max(int(seconds / _WORK), 2), _MOST_RESTS + 1)
        for _ in range(times):
            until = time.monotonic() + seconds / times
            await asyncio.gather(*(self._work(until) for _ in range(_WORKERS)))
            rests.append(await self._rest())
            print(f"{sum(self.done.values()):8,} connections  {rests[-1]}", flush=True)
        server.close()
        await server.wait_closed()
        return rests

    async def _work(self, until: float) -> None:
        kinds = (self.echo, self.echo, self.bulk, self.half_close, self.aborted, self.abort,
                 self.refused, self.cancelled, self.leave)  # fmt: skip
        while time.monotonic() < until:
            kind = self._rng.choice(kinds)
            async with asyncio.timeout(60):
                await kind()
            self.done[kind.__name__] += 1

    async def _rest(self) -> Held:
        """Wait until only the server's socket is left, then count."""
        loop = asyncio.get_running_loop()
        hub = Hub.of(loop)
        async with asyncio.timeout(60):
            while len(hub.drivers) > 1 or any(not d.endpoint.idle for d in hub.drivers):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        timers = 0
        # A driver whose connections are gone lets its alarm call once more, for nothing.
        for _ in range(_LAST_ALARM_MS // 50):
            if not (timers := _timers(loop)):
                break
            await asyncio.sleep(0.05)
        records = sum(
            len(d.endpoint.connections()) + d.endpoint.time_wait_count for d in hub.drivers
        )
        return held(len(asyncio.all_tasks()), timers, records)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await utcp.open_connection(*self._address[:2], config=CONFIG)

    async def echo(self) -> None:
        reader, writer = await self._open()
        writer.write(b"e")
        for _ in range(self._rng.randrange(1, 5)):
            data = _BLOCK[: self._rng.randrange(1, 5_000)]
            writer.write(data)
            assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()

    async def bulk(self) -> None:
        reader, writer = await self._open()
        blocks = self._rng.randrange(1, 40)
        writer.write(b"b" + blocks.to_bytes(2))
        size = 0
        while data := await reader.read(1 << 18):
            size += len(data)
        assert size == blocks * len(_BLOCK)
        writer.close()
        await writer.wait_closed()

    async def half_close(self) -> None:
        reader, writer = await self._open()
        data = self._rng.randbytes(self._rng.randrange(200_000))
        writer.write(b"h" + data)
        writer.write_eof()
        assert await reader.read() == data[::-1]
        writer.close()
        await writer.wait_closed()

    async def aborted(self) -> None:
        reader, writer = await self._open()
        writer.write(b"a")
        try:
            assert not await reader.read()
        except ConnectionResetError:
            pass
        else:
            raise AssertionError("an abort was taken for an end in order")
        writer.close()

    async def abort(self) -> None:
        reader, writer = await self._open()
        writer.write(b"l")
        await reader.readexactly(self._rng.randrange(1, 1_000_000))
        writer.transport.abort()

    async def refused(self) -> None:
        try:
            await utcp.open_connection("127.0.0.1", 9, config=CONFIG)
        except ConnectionRefusedError:
            return
        raise AssertionError("nobody listens there")

    async def cancelled(self) -> None:
        attempt = asyncio.ensure_future(self._open())
        for _ in range(self._rng.randrange(8)):
            await asyncio.sleep(0)
        attempt.cancel()
        try:
            _, writer = await attempt
        except asyncio.CancelledError:
            return
        writer.transport.abort()

    async def leave(self) -> None:
        """Close while the other still talks."""
        reader, writer = await self._open()
        writer.write(b"l")
        await reader.readexactly(1)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def main() -> int:
    """Returns the exit status: 1 if something has stayed."""
    arguments = _parser().parse_args()
    tracemalloc.start()
    if arguments.virtual:
        world = soakworld.SoakWorld(arguments.seed)
        rests = [
            held(timers=timers, records=records)
            for timers, records in world.rests(arguments.seconds, _MOST_RESTS + 1)
        ]
        done = world.done
    else:
        soak = Soak(arguments.seed)
        rests = loops.run(arguments.loop, soak.run(arguments.seconds))
        done = soak.done
    print(f"{sum(done.values()):,} connections: {dict(done)}")
    print(f"after the first rest: {rests[0]}\nat the end:           {rests[-1]}")
    stayed = rests[0].left_over(rests[-1])
    print(f"stayed: {', '.join(stayed) or 'nothing'}")
    return 1 if stayed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Connections come and go, and nothing of them must stay.",
    )
    parser.add_argument("--seconds", type=float, default=600, help="how long [%(default)s]")
    parser.add_argument("--virtual", action="store_true", help="in simulated time")
    parser.add_argument("--loop", choices=loops.LOOPS, default="asyncio", help="[%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="[%(default)s]")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
