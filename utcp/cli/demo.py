"""`utcp demo`: a connection drawn segment by segment, then a large transfer of random bytes."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hashlib
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Final

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

import utcp
from utcp.cli.arguments import add_loop
from utcp.cli.errors import ToolError, UsageError
from utcp.cli.ladder import draw, play
from utcp.cli.loops import run as run_loop
from utcp.cli.processes import helper_process
from utcp.cli.sizes import format_size, parse_size
from utcp.config import Config

HELP: Final = (
    "Open and close a connection segment by segment, then move random bytes and compare digests."
)

_BLOCK: Final = 64 << 20
"""Bytes of randomness; a longer transfer repeats them."""
_CHUNK: Final = 1 << 20
_PATIENCE: Final = 30.0
"""Seconds without progress after which the transfer has failed."""
_VERDICT: Final = struct.Struct(">32sQ")
"""What the server answers: digest, nanoseconds spent on it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("--size", type=parse_size, default=1 << 30, help="bytes to move [1GiB]")
    parser.add_argument(
        "--mss", type=int, default=0, metavar="BYTES", help="bound of the segment size [none]"
    )
    add_loop(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError, ToolError or OSError if anything is wrong."""
    try:
        config = Config(max_segment_size=arguments.mss)
    except ValueError as error:
        raise UsageError(str(error)) from None
    _draw_connection(config)
    _transfer(config, arguments.size, arguments.loop)


def _draw_connection(config: Config) -> None:
    # TIME-WAIT lasts 2 MSL: a minute by default, too long to watch.
    short_lived = dataclasses.replace(config, msl=0.1)
    print("A client and a server, two processes; the states are those right after each step:\n")
    for line in draw(*play(short_lived)):
        print(line)
    print(f"\n(MSL was {short_lived.msl:g} s here, its default is {config.msl:g} s.)\n", flush=True)


def _transfer(config: Config, size: int, loop: str) -> None:
    block = os.urandom(min(_BLOCK, size))
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(*columns, TransferSpeedColumn()) as progress:
        hashing = progress.add_task(f"hashing {format_size(size)}", total=size)
        sending = progress.add_task(f"sending {format_size(size)}", total=size, start=False)
        expected = _digest(block, size, partial(progress.advance, hashing))
        with helper_process(_serve, config, loop) as pipe:
            port = pipe.recv()
            progress.start_task(sending)
            advance = partial(progress.advance, sending)
            outcome = run_loop(loop, _exchange(port, block, size, config, advance))
    if outcome.digest != expected:
        raise ToolError(f"sent {expected.hex()}, but the server has {outcome.digest.hex()}")
    rate = size / outcome.seconds / 1e6
    print(f"SHA-256 {expected.hex()} on both sides")
    print(
        f"{size:,} bytes in {outcome.seconds:.2f} s: {rate:,.0f} MB/s, "
        f"of which the receiver spent {outcome.hash_ns / 1e9:.2f} s on the digest"
    )
    info = outcome.info
    print(f"payload of a full segment: {info.snd_mss:,} bytes; resent: {info.bytes_retrans:,}")


@dataclass(frozen=True, slots=True)
class _Outcome:
    digest: bytes
    hash_ns: int
    seconds: float  # from the first write to the answer
    info: utcp.TcpInfo


async def _exchange(
    port: int, block: bytes, size: int, config: Config, advance: Callable[[int], None]
) -> _Outcome:
    reader, writer = await utcp.open_connection("127.0.0.1", port, config=config)
    started_at = time.perf_counter()
    await _send(writer, block, size, advance)
    async with asyncio.timeout(_PATIENCE):
        answer = await reader.readexactly(_VERDICT.size)
    seconds = time.perf_counter() - started_at
    info = writer.get_extra_info("tcp_info")
    writer.close()
    await writer.wait_closed()
    digest, hash_ns = _VERDICT.unpack(answer)
    return _Outcome(digest, hash_ns, seconds, info)


async def _send(
    writer: asyncio.StreamWriter, block: bytes, size: int, advance: Callable[[int], None]
) -> None:
    """Write `size` bytes, `block` again and again, then say EOF."""
    view = memoryview(block)
    sent = 0
    while sent < size:
        start = sent % len(block)
        chunk = view[start : start + min(_CHUNK, size - sent)]
        writer.write(chunk)
        async with asyncio.timeout(_PATIENCE):
            await writer.drain()
        sent += len(chunk)
        advance(len(chunk))
    writer.write_eof()


def _serve(pipe: Pipe, config: Config, loop: str) -> None:
    run_loop(loop, _receive(pipe, config))


async def _receive(pipe: Pipe, config: Config) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    server = await utcp.create_server(partial(_Receiver, over), "127.0.0.1", 0, config=config)
    # The pipe becomes readable when its other end is closed: the client has gone.
    loop.add_reader(pipe.fileno(), over.set)
    async with server:
        pipe.send(server.sockets[0].getsockname()[1])
        await over.wait()
        loop.remove_reader(pipe.fileno())


class _Receiver(asyncio.Protocol):
    """Hashes what comes, and answers EOF with the digest."""

    def __init__(self, over: asyncio.Event) -> None:
        self._over = over
        self._hash = hashlib.sha256()
        self._hash_ns = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        started_at = time.perf_counter_ns()
        self._hash.update(data)
        self._hash_ns += time.perf_counter_ns() - started_at

    def eof_received(self) -> bool:
        assert self._transport is not None
        self._transport.write(_VERDICT.pack(self._hash.digest(), self._hash_ns))
        self._transport.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._over.set()


def _digest(block: bytes, size: int, advance: Callable[[int], None]) -> bytes:
    """Of `size` bytes that repeat `block`."""
    digest = hashlib.sha256()
    for start in range(0, size, len(block) or 1):
        piece = block[: size - start]
        digest.update(piece)
        advance(len(piece))
    return digest.digest()
