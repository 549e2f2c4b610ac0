"""Upgrading to TLS in mid-stream, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from typing import Any

import pytest

import utcp

from .certificates import client_context, server_context
from .conftest import Net, Recorder, echo, until
from .test_protocols import making

MIB = 1 << 20


async def upgrading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that talks in clear, then says STARTTLS and goes on with an echo."""
    assert await reader.readline() == b"hello\n"
    writer.write(b"STARTTLS\n")
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.start_tls(server_context())
        assert writer.get_extra_info("ssl_object").server_side
        await echo(reader, writer)
    writer.close()


async def greet(net: Net, addr: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await net.open_connection(addr)
    writer.write(b"hello\n")
    assert await reader.readline() == b"STARTTLS\n"
    return reader, writer


async def test_streams(net: Net) -> None:
    async with net.handling(upgrading) as addr:
        reader, writer = await greet(net, addr)
        plain = writer.transport
        await writer.start_tls(client_context(), server_hostname="localhost")
        assert writer.transport is not plain
        assert writer.get_extra_info("cipher")
        assert writer.get_extra_info("sslcontext")
        writer.write(b"secret")
        assert await reader.readexactly(6) == b"secret"
        writer.close()
        await writer.wait_closed()


async def test_a_slow_reader_after_the_upgrade_holds_the_writer(tcp_over_udp: Net) -> None:
    net = tcp_over_udp  # Python 3.11's own writer leaves the reader with the old transport
    data = random.Random(1).randbytes(8 * MIB)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(server_context())
        for start in range(0, len(data), MIB):
            writer.write(data[start : start + MIB])
            await writer.drain()
        writer.close()

    async with net.handling(handle) as addr:
        reader, writer = await net.open_connection(addr)
        await writer.start_tls(client_context(), server_hostname="localhost")
        await asyncio.sleep(0.1)
        assert len(reader._buffer) < 2 * MIB  # type: ignore[attr-defined]
        assert await reader.read() == data
        writer.close()
        await writer.wait_closed()


async def test_the_wrong_certificate(net: Net) -> None:
    async with net.handling(upgrading) as addr:
        reader, writer = await greet(net, addr)
        with pytest.raises(ssl.SSLCertVerificationError):
            await writer.start_tls(client_context(), server_hostname="example.org")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        with contextlib.suppress(OSError):
            assert await reader.read() == b""


async def test_a_peer_that_knows_no_tls(net: Net) -> None:
    async with net.handling(echo) as addr:
        _, writer = await net.open_connection(addr)
        with pytest.raises(ssl.SSLError):
            await writer.start_tls(client_context(), server_hostname="localhost")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("turns", range(12))
async def test_cancelling_leaves_nothing(tcp_over_udp: Net, turns: int) -> None:
    net = tcp_over_udp
    async with net.handling(upgrading) as addr:
        _, writer = await greet(net, addr)
        task = asyncio.create_task(writer.start_tls(client_context(), server_hostname="localhost"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        writer.close()
        with contextlib.suppress(ConnectionResetError):  # the server's handshake has failed
            await writer.wait_closed()


@pytest.mark.parametrize("how", ["utcp", "loop"])
async def test_protocols(tcp_over_udp: Net, how: str) -> None:
    net = tcp_over_udp
    loop = asyncio.get_running_loop()
    start: Any = utcp.start_tls if how == "utcp" else loop.start_tls
    if how == "loop" and not isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("uvloop's start_tls takes only transports of its own")
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        plain, client = await net.create_connection(Recorder, addr)
        await until(lambda: made and made[0].transport)
        server = made[0]
        server.transport, client.transport = await asyncio.gather(
            start(server.transport, server, server_context(), server_side=True),
            start(plain, client, client_context(), server_hostname="localhost"),
        )
        client.transport.write(b"question")
        await until(lambda: server.received == b"question")
        client.transport.close()
        await client.lost
        await server.lost
        assert server.calls == ["made", "data", "eof", "lost"]


async def test_tls_inside_tls(tcp_over_udp: Net) -> None:
    net = tcp_over_udp

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(server_context("inner"))
        await echo(reader, writer)

    async with net.handling(handle, ssl=server_context("outer")) as addr:
        reader, writer = await net.open_connection(
            addr, ssl=client_context(), server_hostname="outer"
        )
        await writer.start_tls(client_context(), server_hostname="inner")
        writer.write(bytes(MIB))
        assert await reader.readexactly(MIB) == bytes(MIB)
        assert ("DNS", "inner") in writer.get_extra_info("peercert")["subjectAltName"]
        writer.close()
        await writer.wait_closed()


async def test_what_cannot_be_upgraded(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    made: list[Recorder] = []
    context = client_context()
    async with net.serving(making(made)) as addr:
        transport, client = await net.create_connection(Recorder, addr)
        with pytest.raises(TypeError, match="SSLContext"):
            await utcp.start_tls(transport, client, True)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not supported"):
            await utcp.start_tls(asyncio.Transport(), client, context)
        with pytest.raises(ValueError, match="positive"):
            await utcp.start_tls(transport, client, context, ssl_handshake_timeout=0)
        transport.close()
        with pytest.raises(ConnectionAbortedError, match="closed"):
            await utcp.start_tls(transport, client, context)
        await client.lost


async def test_aborting_during_the_handshake(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        transport, client = await net.create_connection(Recorder, addr)
        task = asyncio.create_task(utcp.start_tls(transport, client, client_context()))
        await until(lambda: made and made[0].received)
        transport.abort()
        with pytest.raises(ConnectionAbortedError, match="handshake"):
            await task
        await made[0].lost
