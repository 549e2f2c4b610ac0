"""When closing is over: as soon as nothing that was written is on its way any more."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest

import utcp

from .conftest import FAST, Net, Recorder, echo, until
from .test_protocols import connect, making


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_with_nothing_to_send_it_is_over_in_the_next_turn(net: Net) -> None:
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        pair.client.transport.write(b"question")
        await until(lambda: pair.server.received)
        pair.server.transport.write(b"answer")
        await until(lambda: pair.client.received)
        pair.client.transport.close()
        assert pair.client.calls == ["made", "data"]
        await turns(2)
        assert pair.client.calls == ["made", "data", "lost"]
        assert pair.client.exc is None
        await pair.server.lost
        assert pair.server.calls == ["made", "data", "eof", "lost"]


async def test_with_something_to_send_it_is_over_when_that_has_arrived(tcp_over_udp: Net) -> None:
    made: list[Recorder] = []
    async with tcp_over_udp.serving(making(made)) as addr:
        pair = await connect(tcp_over_udp, addr, made)
        pair.client.transport.write(bytes(1 << 20))
        pair.client.transport.close()
        await pair.client.lost
        assert pair.client.exc is None
        assert pair.client.transport._conn.buffered == 0
        await pair.server.lost
        assert len(pair.server.received) == 1 << 20


async def test_drain_says_that_what_is_written_after_closing_is_lost(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"all of it")
        assert await reader.readexactly(9) == b"all of it"
        writer.close()
        writer.write(b"more")
        with pytest.raises(ConnectionResetError):
            await writer.drain()


async def test_a_server_that_closes_its_idle_clients_has_not_to_wait(tcp_over_udp: Net) -> None:
    handling = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.set()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await tcp_over_udp.start_server(handle)
    _, writer = await tcp_over_udp.open_connection(server.sockets[0].getsockname())
    await handling.wait()
    waiting = asyncio.create_task(server.wait_closed())
    await turns(1)
    assert not waiting.done()
    server.close()
    server.close_clients()
    await turns(3)  # uvloop counts one more
    assert waiting.done()
    writer.close()


async def test_a_peer_that_has_vanished_does_not_keep_it_from_ending() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        server = await utcp.create_server(Recorder, "127.0.0.1", 0, config=FAST)
        addr = server.sockets[0].getsockname()
        transport, protocol = await utcp.create_connection(Recorder, *addr, config=FAST)
        driver = cast("Any", transport)._driver
        driver.sock._sock.connect(silent.getsockname())  # nobody answers there
        transport.close()
        await protocol.lost
        assert protocol.calls == ["made", "lost"]
        driver.give_up()
        server.close()
        server.abort_clients()
        await server.wait_closed()


async def test_a_servers_sockets_after_it_is_closed(net: Net) -> None:
    net.skip_on_uvloops_own()
    server = await net.create_server(Recorder, reuse_port=True)
    listening = server.sockets
    assert listening[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    assert listening[0].fileno() >= 0
    server.close()
    await server.wait_closed()
    assert server.sockets == ()
    await turns(2)
    assert [one.fileno() for one in listening] == [-1]
