"""Frameworks, unchanged, over utcp: each of them real, each as its example shows."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
import uvloop

import utcp
from tests.aio.certificates import authority, client_context, server_context
from tests.aio.conftest import echo

for package in ("aiohttp", "httpx", "uvicorn", "websockets"):
    pytest.importorskip(package, reason="pip install utcp[frameworks]")

import aiohttp  # noqa: E402
import anyio.abc  # noqa: E402
import httpx  # noqa: E402
from aiohttp import web  # noqa: E402

from examples import aiohttp_client, aiohttp_server, httpx_client  # noqa: E402

if TYPE_CHECKING:
    from tests.conftest import Spawn

PATIENCE: Final = 30
BODY: Final = "how are you? " * 70_000
LOOPS: Final = [asyncio.SelectorEventLoop, uvloop.Loop]


def port_of(process: subprocess.Popen[str], line: str = r"port (\d+)") -> str:
    """The port that a server says it serves on, on standard output or standard error."""
    stream = process.stdout if line.startswith("port") else process.stderr
    assert stream is not None
    for text in stream:
        match = re.search(line, text)
        if match is not None:
            return match[1]
    pytest.fail("no server: " + process.communicate()[1])


def stop(process: subprocess.Popen[str]) -> None:
    """Ctrl-C: the server ends in order."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors
    assert process.returncode in {0, 130, -signal.SIGINT}


def asked(spawn: Spawn, *words: str) -> str:
    process = spawn(*words)
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert not errors
    return out


@pytest.mark.parametrize("client", ["aiohttp_client", "httpx_client"])
def test_aiohttp_server(spawn: Spawn, client: str) -> None:
    server = spawn("examples/aiohttp_server.py", "--port", "0")
    url = f"http://127.0.0.1:{port_of(server)}"
    assert asked(spawn, f"examples/{client}.py", f"{url}/hello") == "hello, 127.0.0.1\n"
    out = asked(spawn, f"examples/{client}.py", f"{url}/shout", "--data", BODY[:100_000])
    assert out == BODY[:100_000].upper()
    stop(server)
    process = spawn(f"examples/{client}.py", f"{url}/hello")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.startswith("failed: ")


@asynccontextmanager
async def aiohttp_over_tls() -> AsyncIterator[str]:
    """The example's server, with TLS and in this process; gives its address."""
    app = web.Application()
    app.add_routes(
        [web.post("/shout", aiohttp_server.shout), web.get("/talk", aiohttp_server.talk)]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    server = await utcp.create_server(runner.server, "127.0.0.1", 0, ssl=server_context())
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await runner.cleanup()
    await server.wait_closed()


async def test_aiohttp_with_tls_websockets_and_many_requests() -> None:
    trusting = aiohttp_client.UtcpConnector(ssl=client_context())
    async with aiohttp_over_tls() as url, aiohttp.ClientSession(connector=trusting) as session:

        async def ask(number: int) -> None:
            async with session.post(f"{url}/shout", data=f"{number} {BODY}") as response:
                assert await response.text() == f"{number} {BODY}".upper()

        await asyncio.gather(*(ask(number) for number in range(20)))
        async with session.ws_connect(f"{url}/talk") as talk:
            await talk.send_str("quiet")
            assert await talk.receive_str() == "QUIET"
        async with aiohttp.ClientSession(connector=aiohttp_client.UtcpConnector()) as wary:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await wary.get(f"{url}/talk")


async def test_httpx_with_tls() -> None:
    trusting = httpx_client.transport(client_context())
    async with aiohttp_over_tls() as url, httpx.AsyncClient(transport=trusting) as client:
        asking = (client.post(f"{url}/shout", content=BODY) for _ in range(5))
        assert {answer.text for answer in await asyncio.gather(*asking)} == {BODY.upper()}
        async with httpx.AsyncClient(transport=httpx_client.transport()) as wary:
            with pytest.raises(httpx.ConnectError):
                await wary.post(f"{url}/shout", content=BODY)


@pytest.mark.parametrize("how", ["example", "command"])
def test_uvicorn(spawn: Spawn, how: str) -> None:
    if how == "example":
        server = spawn("examples/uvicorn_app.py", "--port", "0")
    else:
        options = ["--port", "0", "--loop", "utcp:new_event_loop"]
        server = spawn("-m", "uvicorn", "examples.uvicorn_app:app", *options)
    port = port_of(server, r"running on \S+:(\d+)")
    url = f"http://127.0.0.1:{port}"
    assert asked(spawn, "examples/httpx_client.py", f"{url}/hello") == "/HELLO"
    out = asked(spawn, "examples/httpx_client.py", f"{url}/", "--data", BODY[:100_000])
    assert out == BODY[:100_000].upper()
    out = asked(spawn, "examples/websockets_echo.py", "talk", "hi", "there", "--port", port)
    assert out == "HI\nTHERE\n"
    stop(server)


def test_websockets(spawn: Spawn) -> None:
    server = spawn("examples/websockets_echo.py", "serve", "--port", "0")
    port = port_of(server)
    words = ["one", "two", "ü" * 30_000]
    out = asked(spawn, "examples/websockets_echo.py", "talk", *words, "--port", port)
    assert out.split() == words
    stop(server)


@pytest.mark.parametrize("base", LOOPS, ids=lambda base: base.__module__)
def test_a_loop_over_utcp(base: Any) -> None:
    """What is opened by asyncio's own names goes over utcp, TLS in mid-stream included."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert writer.get_extra_info("tcp_info") is not None
        await writer.start_tls(server_context())
        writer.write(await reader.readline())
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        assert isinstance(writer.transport, utcp.Transport)
        await writer.start_tls(client_context(), server_hostname="localhost")
        writer.write(b"hello\n")
        assert await reader.read() == b"hello\n"
        writer.close()
        await writer.wait_closed()
        server.close()

    authority()
    with asyncio.Runner(loop_factory=lambda: utcp.new_event_loop(base)) as runner:
        runner.run(main())


@pytest.mark.parametrize("base", LOOPS, ids=lambda base: base.__module__)
def test_anyio_connects_over_utcp(base: Any) -> None:
    async def main() -> None:
        async with await utcp.start_server(echo, "127.0.0.1", 0) as server:
            addr = server.sockets[0].getsockname()
            stream = await anyio.connect_tcp(*addr)
            assert stream.extra(anyio.abc.SocketAttribute.remote_address) == addr
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            await stream.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
            await stream.aclose()

    with asyncio.Runner(loop_factory=lambda: utcp.new_event_loop(base)) as runner:
        runner.run(main())


@pytest.mark.parametrize("base", LOOPS, ids=lambda base: base.__module__)
def test_a_loop_over_utcp_leaves_stream_sockets_to_the_kernel(base: Any) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = await asyncio.start_server(handle, sock=listening)
            plain = socket.create_connection(listening.getsockname())
            plain.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=plain)
            assert writer.get_extra_info("tcp_info") is None
            writer.write(b"hello\n")
            assert await reader.read() == b"hello\n"
            writer.close()
            await writer.wait_closed()
            server.close()

    with asyncio.Runner(loop_factory=lambda: utcp.new_event_loop(base)) as runner:
        runner.run(main())
