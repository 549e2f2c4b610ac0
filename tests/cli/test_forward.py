"""`utcp forward`: two of them, back to back, so that kernel TCP goes in and comes out."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import redis

if TYPE_CHECKING:
    from tests.cli.conftest import Start, Tool

LOCAL: Final = "127.0.0.1"
PATIENCE: Final = 30


def bridge(tool: Start, target: int, *options: str) -> tuple[int, Tool, Tool]:
    """The port of a forward into utcp, that forward, and one out of it to `target`."""
    out = tool("forward", f"utcp:{LOCAL}:0", f"tcp:{LOCAL}:{target}", *options)
    into = tool("forward", f"tcp:{LOCAL}:0", f"utcp:{LOCAL}:{out.port}", *options)
    return into.port, into, out


@pytest.fixture
async def digester() -> AsyncIterator[int]:
    """The port of a kernel TCP server that answers, after EOF, with length and digest."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(_answer(data))
        writer.close()

    async with await asyncio.start_server(answer, LOCAL, 0) as server:
        yield server.sockets[0].getsockname()[1]


def _answer(data: bytes) -> bytes:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


async def read_all(port: int) -> bytes:
    """What comes from there; a reset may come before the loop has seen the connect succeed."""
    reader, writer = await asyncio.open_connection(LOCAL, port)
    with closing(writer):
        return await reader.read()


async def ask(port: int, question: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(LOCAL, port)
    writer.write(question)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_half_close_is_carried(tool: Start, digester: int, loop: str) -> None:
    port, into, out = await asyncio.to_thread(bridge, tool, digester, "--loop", loop, "--json")
    for size in (0, 1, 5_000_001):
        question = os.urandom(size)
        assert await ask(port, question) == _answer(question)
    for forward in (into, out):
        assert await asyncio.to_thread(forward.signal, signal.SIGTERM) == 0
        statistics = json.loads(forward.out)
        assert statistics["connections"] == 3
        assert statistics["broken"] == statistics["failed"] == 0
        assert statistics["bytes_to_target"] == 5_000_002


async def test_tls(tool: Start, digester: int, certificate: Path) -> None:
    """Encrypted between the two bridges; half-close is carried all the same."""
    own = ("--tls", "--cert", certificate, "--cafile", certificate)
    out = tool("forward", f"utcp:{LOCAL}:0", f"tcp:{LOCAL}:{digester}", *own)
    port = await asyncio.to_thread(lambda: out.port)
    into = tool("forward", f"tcp:{LOCAL}:0", f"utcp:localhost:{port}", *own)
    entrance = await asyncio.to_thread(lambda: into.port)
    for size in (0, 1, 5_000_001):
        question = os.urandom(size)
        assert await ask(entrance, question) == _answer(question)
    stranger = tool("forward", f"tcp:{LOCAL}:0", f"utcp:localhost:{port}", "--tls", "--insecure")
    entrance = await asyncio.to_thread(lambda: stranger.port)
    with pytest.raises(ConnectionResetError):  # it has no certificate
        await read_all(entrance)
    await asyncio.to_thread(out.says, "TLS failed: peer did not return a certificate")
    assert await asyncio.to_thread(into.signal, signal.SIGTERM) == 0
    assert into.errors[-1].startswith("3 connections in ")
    assert "0 failed, 0 broken" in into.errors[-1]
    assert await asyncio.to_thread(out.signal, signal.SIGTERM) == 0
    assert "0 failed, 0 broken" in out.errors[-1]


async def test_tls_with_nobody_to_be_trusted(tool: Start, digester: int, certificate: Path) -> None:
    out = tool("forward", f"utcp:{LOCAL}:0", f"tcp:{LOCAL}:{digester}",
               "--tls", "--cert", certificate)  # fmt: skip
    port = await asyncio.to_thread(lambda: out.port)
    into = tool("forward", f"tcp:{LOCAL}:0", f"utcp:localhost:{port}", "--tls")
    entrance = await asyncio.to_thread(lambda: into.port)
    with pytest.raises(ConnectionResetError):
        await read_all(entrance)
    await asyncio.to_thread(into.says, "bad certificate: self-signed certificate")
    await asyncio.to_thread(out.says, "TLS failed")


async def test_many_at_a_time(tool: Start, digester: int) -> None:
    port, into, _ = await asyncio.to_thread(bridge, tool, digester)
    questions = [os.urandom(1000 + number) for number in range(200)]
    answers = await asyncio.gather(*(ask(port, question) for question in questions))
    assert answers == [_answer(question) for question in questions]
    assert await asyncio.to_thread(into.signal, signal.SIGINT) == 130
    assert into.errors[-1] == "interrupted"
    assert into.errors[-2].startswith("200 connections in ")
    assert "segments resent" in into.errors[-2]


async def test_a_reader_that_stops_stops_the_writer(tool: Start) -> None:
    """Backpressure: what fits into the buffers on the way goes in, and no more."""
    go = asyncio.Event()
    arrived = bytearray()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        while data := await reader.read(1 << 20):
            arrived.extend(data)
        writer.close()

    size = 100 << 20
    block = bytes(1 << 20)
    async with await asyncio.start_server(slow, LOCAL, 0, limit=1 << 16) as server:
        target = server.sockets[0].getsockname()[1]
        port, _, _ = await asyncio.to_thread(bridge, tool, target)
        reader, writer = await asyncio.open_connection(LOCAL, port)
        sent = 0
        stalled = False
        while sent < size:
            writer.write(block)
            sent += len(block)
            try:
                await asyncio.wait_for(writer.drain(), 2 if not stalled else PATIENCE)
            except TimeoutError:
                stalled = True
                go.set()
        assert stalled
        writer.write_eof()
        assert await reader.read() == b""
        assert len(arrived) == sent
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_nothing_is_read_before_there_is_a_target(tool: Start, loop: str) -> None:
    """What somebody sends to a bridge whose target does not answer stays with the sender."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind((LOCAL, 0))
        target = silent.getsockname()[1]
        into = tool("forward", f"tcp:{LOCAL}:0", f"utcp:{LOCAL}:{target}", "--loop", loop)
        port = await asyncio.to_thread(lambda: into.port)
        _, writer = await asyncio.open_connection(LOCAL, port)
        sent = 0
        with suppress(TimeoutError):
            while sent < 100 << 20:
                writer.write(bytes(1 << 20))
                sent += 1 << 20
                await asyncio.wait_for(writer.drain(), 1)
        assert sent < 50 << 20
        writer.transport.abort()


async def test_reset_is_carried(tool: Start) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        linger = b"\1\0\0\0\0\0\0\0"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with await asyncio.start_server(rude, LOCAL, 0) as server:
        target = server.sockets[0].getsockname()[1]
        port, into, _ = await asyncio.to_thread(bridge, tool, target)
        reader, writer = await asyncio.open_connection(LOCAL, port)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert await asyncio.to_thread(into.signal, signal.SIGTERM) == 0
        assert "1 broken" in into.errors[-1]


async def test_nobody_at_the_target(tool: Start) -> None:
    forward = tool("forward", f"tcp:{LOCAL}:0", f"utcp:{LOCAL}:1")
    port = await asyncio.to_thread(lambda: forward.port)
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            await read_all(port)
    assert await asyncio.to_thread(forward.signal, signal.SIGTERM) == 0
    complaints = [line for line in forward.errors if "refused" in line]
    assert complaints == [f"utcp forward: utcp:{LOCAL}:1: connection refused"]
    assert "3 failed" in forward.errors[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end(tool: Start, number: int) -> None:
    forward = tool("forward", f"tcp:{LOCAL}:0", f"utcp:{LOCAL}:1")
    assert forward.port
    assert forward.signal(number) == 0
    assert forward.errors[-1].startswith("0 connections in ")


async def test_out_of_descriptors(tool: Start) -> None:
    """It is said once, however many wait, and those that are there live on."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        with suppress(OSError):
            writer.write(await reader.read())
        writer.close()

    async with await asyncio.start_server(greet, LOCAL, 0) as server:
        target = server.sockets[0].getsockname()[1]
        forward = tool(
            "forward", f"tcp:{LOCAL}:0", f"tcp:{LOCAL}:{target}", "--loop", "asyncio",
            before="ulimit -n 40",
        )  # fmt: skip
        port = await asyncio.to_thread(lambda: forward.port)
        reader, writer = await asyncio.open_connection(LOCAL, port)
        assert await reader.readexactly(5) == b"hello"
        others = [await asyncio.open_connection(LOCAL, port) for _ in range(60)]
        await asyncio.to_thread(forward.says, "Too many open files")
        writer.write(b"still here")
        writer.write_eof()
        assert await reader.read() == b"still here"
        for each in (writer, *(other for _, other in others)):
            each.close()
        assert await asyncio.to_thread(forward.signal, signal.SIGTERM) == 0
    assert len(forward.errors) < 10
    assert all("Too many" in line for line in forward.errors[1:-1])


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[int]:
    """The port of a real Redis."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: redis-server)")
    with socket.create_server((LOCAL, 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", LOCAL, "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        while "Ready to accept connections" not in (line := process.stdout.readline()):
            assert line, "redis-server has ended"
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_redis(tool: Start, redis_server: int) -> None:
    port, into, _ = bridge(tool, redis_server)
    value = os.urandom(2_000_003)
    with redis.Redis(LOCAL, port) as client:
        assert client.ping()
        client.set("large", value)
        assert client.get("large") == value
        with client.pipeline(transaction=False) as pipeline:
            for number in range(1000):
                pipeline.incrby("sum", number)
            assert pipeline.execute()[-1] == sum(range(1000))
        others = [redis.Redis(LOCAL, port) for _ in range(20)]
        for number, other in enumerate(others):
            other.set(f"key {number}", number)
        assert client.dbsize() == 22
        for other in others:
            other.close()
    assert into.signal(signal.SIGTERM) == 0
    assert into.errors[-1].startswith("21 connections in ")
    assert "0 failed, 0 broken" in into.errors[-1]
