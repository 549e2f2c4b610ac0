"""Floods and limits over real sockets. The crowd has many addresses of 127.0.0.0/8."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

import utcp
from tests.attack.crowd import FORGED
from utcp import Config, Counters, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="has all of 127.0.0.0/8")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
FAST = Config(msl=0.02)
# linux/in.h; interface, our address, address in the header
IP_PKTINFO = 8
PKTINFO = struct.Struct("=i4s4s")


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1 << 16):
        writer.write(piece.upper())
    writer.close()


@asynccontextmanager
async def serving(host: str = "127.0.0.1", **settings: object) -> AsyncIterator[Server]:
    config = Config(msl=0.02, **settings)  # type: ignore[arg-type]
    server = await utcp.start_server(shout, host, 0, config=config)
    try:
        yield server
    finally:
        server.close()
        server.abort_clients()
        await server.wait_closed()


def port_of(server: Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def counters(server: Server) -> Counters:
    return server._drivers[0].endpoint.counters


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def connect(server: Server, host: str = "127.0.0.1", local: str = "127.0.0.1") -> Streams:
    return await utcp.open_connection(
        host, port_of(server), local_addr=(local, 0), config=Config(msl=0.02)
    )


async def works(streams: Streams) -> None:
    reader, writer = streams
    writer.write(b"hello\n")
    assert await reader.readline() == b"HELLO\n"


async def end(*all_streams: Streams) -> None:
    for _, writer in all_streams:
        writer.close()
        await writer.wait_closed()


async def flood(server: Server, count: int) -> None:
    """SYNs from so many addresses, where nobody reads the answers, nor refuses them."""
    seen = counters(server)
    before = seen.datagrams_in
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        for number in range(count):
            source = socket.inet_aton(f"127.1.{number >> 8 & 255}.{number & 255}")
            info = PKTINFO.pack(0, source, bytes(4))
            to = ("127.0.0.1", port_of(server))
            sock.sendmsg([FORGED], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, to)
            # As fast as the server's socket takes them.
            if number % 100 == 99:
                await until(lambda n=number: seen.datagrams_in - before > n - 50)  # type: ignore[misc]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_clients_come_in_and_work_while_the_flood_goes_on(host: str) -> None:
    async with serving(host) as server:
        early = await connect(server)
        await works(early)
        flooding = asyncio.create_task(flood(server, 3000))
        await until(lambda: counters(server).syn_cookies_sent)
        late = [await connect(server) for _ in range(5)]
        for streams in (early, *late):
            await works(streams)
        await flooding
        await works(late[0])
        assert counters(server).syn_cookies_sent > 1500
        assert counters(server).syn_cookies_accepted == 5
        endpoint = server._drivers[0].endpoint
        assert sum(conn.silent for conn in endpoint.connections()) == 1024
        await end(early, *late)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
async def test_everything_works_with_cookies_alone(host: str) -> None:
    async with serving(host, syn_cookies="always") as server:
        where = "127.0.0.1" if host == "0.0.0.0" else host
        streams = await connect(server, where, local=where)
        await works(streams)
        info = streams[1].get_extra_info("tcp_info")
        assert info.options == ("timestamps", "sack", "wscale", "ecn")
        big = b"x" * 2_000_000 + b"\n"
        streams[1].write(big)
        assert await streams[0].readexactly(len(big)) == big.upper()
        await end(streams)
        assert counters(server).syn_cookies_accepted == 1


async def test_too_many_connections_wait_for_room() -> None:
    async with serving(max_connections=3) as server:
        first, *others = [await connect(server) for _ in range(3)]
        late = asyncio.create_task(connect(server))
        await until(lambda: counters(server).over_connections)
        assert not late.done()
        await end(first)
        await works(await late)
        await end(*others, await late)


async def test_too_many_from_one_host_are_refused_at_once() -> None:
    async with serving(max_connections_per_host=2) as server:
        some = [await connect(server, local="127.0.0.2") for _ in range(2)]
        # Their ACKs leave in the next turn of the loop, when nothing was written in this one.
        await until(lambda: len(server._transports) == 2)
        with pytest.raises(ConnectionRefusedError):
            await connect(server, local="127.0.0.2")
        other = await connect(server, local="127.0.0.3")
        await works(other)
        await end(some.pop())
        await until(lambda: len(server._drivers[0].endpoint.connections()) == 2)
        again = await connect(server, local="127.0.0.2")
        await works(again)
        await end(other, again, *some)
        assert counters(server).over_connections_per_host == 1


async def test_an_orphan_too_many_says_what_happened() -> None:
    closed: list[Exception | None] = []

    class Leaving(asyncio.Protocol):
        """Writes more than the peer takes, and closes."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(bytes(4 << 20))
            transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            closed.append(exc)

    config = Config(msl=0.02, max_orphans=2)
    server = await utcp.create_server(Leaving, "127.0.0.1", 0, config=config)
    # Nobody reads, so their StreamReaders stop taking.
    clients = [await connect(server) for _ in range(3)]
    await until(lambda: closed)
    (error,) = closed
    assert isinstance(error, ConnectionAbortedError)
    assert "No room" in str(error)
    assert counters(server).over_orphans == 1
    for _, writer in clients:
        writer.transport.abort()
    server.close()
    server.abort_clients()
    await server.wait_closed()
