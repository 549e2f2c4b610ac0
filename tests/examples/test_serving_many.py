"""Several server processes on one port, and behind nginx: each connection stays with its own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import utcp
from tests.examples.test_examples import started

if TYPE_CHECKING:
    from tests.conftest import Spawn

ROOT: Final = Path(__file__).parents[2]
MODULE: Final = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
PATIENCE: Final = 20

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int, count: int) -> AsyncIterator[list[Stream]]:
    """So many connections at once."""
    streams = [await utcp.open_connection("127.0.0.1", port) for _ in range(count)]
    yield streams
    for _, writer in streams:
        writer.close()
    for _, writer in streams:
        await writer.wait_closed()


async def ask(stream: Stream, line: bytes = b"who?") -> bytes:
    reader, writer = stream
    writer.write(line + b"\n")
    return (await reader.readline()).rstrip()


async def worker_of(stream: Stream) -> int:
    return int((await ask(stream)).partition(b":")[0])


async def test_workers_on_one_port(spawn: Spawn) -> None:
    process = spawn("examples/many_servers.py", "--port", "0", "--workers", "3")
    port = int(started(process))
    assert process.stdout is not None
    workers = [int(process.stdout.readline().split()[1]) for _ in range(3)]
    async with asyncio.timeout(PATIENCE), connected(port, 40) as streams:
        owners = [await worker_of(stream) for stream in streams]
        assert set(owners) == set(workers)
        # One of them dies and is replaced: what the others have stays with them.
        os.kill(workers[0], signal.SIGKILL)
        replacement = int(process.stdout.readline().split()[1])
        for stream, owner in zip(streams, owners, strict=True):
            if owner != workers[0]:
                assert await worker_of(stream) == owner
            else:
                with pytest.raises(ConnectionResetError):
                    await ask(stream)  # the new one does not know this connection
        streams[:] = [s for s, owner in zip(streams, owners, strict=True) if owner != workers[0]]
        async with connected(port, 40) as others:
            assert replacement in {await worker_of(stream) for stream in others}
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert not errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(spawn: Spawn, number: int) -> None:
    process = spawn("examples/many_servers.py", "--port", "0", "--workers", "3")
    started(process)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)  # the pipes end with the last of them
    assert process.returncode == -number
    assert not errors


async def test_each_connection_stays_with_its_server() -> None:
    """SO_REUSEPORT of the kernel, which utcp only asks for."""

    def answering(name: bytes) -> Any:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readline():
                writer.write(name + b"\n")
            writer.close()

        return handle

    port = 0
    servers = []
    for name in (b"a", b"b", b"c"):
        server = await utcp.start_server(answering(name), "127.0.0.1", port, reuse_port=True)
        port = server.sockets[0].getsockname()[1]
        servers.append(server)
    async with connected(port, 60) as streams:
        names = [await ask(stream) for stream in streams]
        assert set(names) == {b"a", b"b", b"c"}
        for _ in range(5):
            assert [await ask(stream) for stream in streams] == names
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture
def nginx(tmp_path: Path, spawn: Spawn) -> Iterator[tuple[int, list[int]]]:
    """nginx with examples/nginx.conf before two echo servers; its port and the servers'."""
    program = shutil.which("nginx")
    if program is None or not MODULE.exists():
        pytest.skip("nginx is not installed: apt install nginx libnginx-mod-stream")
    ports = [int(started(spawn("examples/echo_server.py", "--port", "0"))) for _ in range(2)]
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind(("127.0.0.1", 0))
        front = free.getsockname()[1]
    text = (ROOT / "examples" / "nginx.conf").read_text()
    for there, here in zip((7100, 7101, 7102), (front, *ports), strict=True):
        text, count = re.subn(rf"127\.0\.0\.1:{there}\b", f"127.0.0.1:{here}", text)
        assert count == 1
    config = tmp_path / "nginx.conf"
    config.write_text(text)
    process = subprocess.Popen(
        [program, "-p", str(tmp_path), "-e", "stderr", "-c", str(config)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "start worker process " in line:
                break
        else:
            pytest.fail("nginx did not start")
        yield front, ports
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


async def test_behind_nginx(nginx: tuple[int, list[int]]) -> None:
    front, _ = nginx
    async with asyncio.timeout(50):
        # Connections that live at the same time, on two servers, neither of which sees the others.
        async with connected(front, 30) as streams:
            for round_ in range(3):
                asking = [ask(s, b"%d %d" % (round_, n)) for n, s in enumerate(streams)]
                want = [b"%d %d" % (round_, n) for n in range(30)]
                assert await asyncio.gather(*asking) == want
        # A long one, in both directions.
        data = os.urandom(4 << 20)
        reader, writer = await utcp.open_connection("127.0.0.1", front)

        async def send() -> None:
            for start in range(0, len(data), 1 << 16):
                writer.write(data[start : start + (1 << 16)])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read() == data
        await sending
        writer.close()
        await writer.wait_closed()
