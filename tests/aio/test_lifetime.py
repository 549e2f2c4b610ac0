"""What outlives a transport, what may be used again, and that nothing is left of the rest."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

import utcp
from utcp.aio.hub import Hub
from utcp.core import State

from .certificates import client_context, server_context
from .conftest import FAST, Net, Recorder, caught, echo, open_descriptors, quiet, until
from .test_protocols import making

if TYPE_CHECKING:
    from utcp.aio.driver import Driver

SLOW = replace(FAST, msl=30.0)
"""TIME-WAIT outlasts every test."""


@pytest.fixture
def net(tcp_over_udp: Net) -> Net:
    return tcp_over_udp


def hub() -> Hub:
    return Hub.of(asyncio.get_running_loop())


def forget_all() -> None:
    """Close what would linger for longer than a test may last."""
    for driver in list(hub().drivers):
        driver.give_up()


async def talk(net: Net, addr: Any, **kwds: Any) -> Any:
    """One short connection; gives its local address."""
    reader, writer = await net.open_connection(addr, **kwds)
    name = writer.get_extra_info("sockname")
    writer.write(b"hello")
    writer.write_eof()
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()
    return name


async def test_wait_closed_means_acknowledged(net: Net) -> None:
    got: list[bytes] = []

    class Server(Recorder):
        def data_received(self, data: bytes) -> None:
            got.append(data)

    async with net.serving(Server) as addr:
        _, writer = await net.open_connection(addr)
        writer.write(bytes(1_000_000))
        writer.close()
        assert writer.transport.is_closing()
        await writer.wait_closed()
        assert sum(map(len, got)) == 1_000_000


async def test_wait_closed_raises_what_went_wrong(net: Net) -> None:
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with net.serving(factory) as addr:
        _, writer = await net.open_connection(addr)
        await until(lambda: made)
        made[0].transport.pause_reading()
        writer.write(bytes(100_000))
        writer.close()
        made[0].transport.abort()
        with pytest.raises(utcp.ConnectionReset) as info:
            await writer.wait_closed()
        assert info.value.errno
        assert isinstance(info.value, ConnectionResetError)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_what_is_over_goes_without_the_garbage_collector(net: Net, secure: bool) -> None:
    class Keeping(Recorder):
        """It has its transport, and that has it."""

        def eof_received(self) -> bool:
            self.transport.close()
            return super().eof_received()

    context = client_context() if secure else None
    async with net.serving(Keeping, ssl=server_context() if secure else None) as addr:
        gc.disable()
        try:
            transport, protocol = await net.create_connection(Keeping, addr, ssl=context)
            [driver] = [d for d in hub().drivers if d.server is None]
            kept = [weakref.ref(thing) for thing in (transport, protocol, driver)]
            if context is not None:
                kept.append(weakref.ref(context))
            transport.close()
            await protocol.lost
            assert secure or transport.get_protocol() is None  # as on asyncio's transports
            await until(lambda: len(hub().drivers) == 1)  # the server's
            del transport, protocol, driver, context
            await until(lambda: all(ref() is None for ref in kept))
        finally:
            gc.enable()


async def test_a_peer_that_falls_silent_is_a_timeout(net: Net) -> None:
    config = replace(FAST, rto_initial=0.02, rto_min=0.02, syn_retries=2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(TimeoutError) as info:
            await net.open_connection(silent.getsockname(), config=config)
        assert info.value.errno


async def test_a_client_in_time_wait_keeps_only_a_record(net: Net) -> None:
    async with net.handling(echo, config=SLOW) as addr:
        await talk(net, addr, config=SLOW)
        await until(lambda: any(driver.endpoint.time_wait_count for driver in hub().drivers))
        client = next(driver for driver in hub().drivers if driver.client_key is not None)
        await until(lambda: not client.endpoint.connections())
        assert not client._owners
    forget_all()


async def test_a_thousand_connections_to_one_server_need_few_sockets(net: Net) -> None:
    before = len(open_descriptors())
    most = 0
    async with net.handling(echo, config=SLOW) as addr:
        for _ in range(1000):
            await talk(net, addr, config=SLOW)
            most = max(most, len(open_descriptors()) - before)
    forget_all()
    assert most < 80


async def test_a_local_address_in_time_wait_is_used_again_for_the_same_peer(net: Net) -> None:
    async with net.handling(echo, config=SLOW) as addr:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            local = probe.getsockname()
        assert await talk(net, addr, config=SLOW, local_addr=local) == local
        # RFC 6191: as soon as the clock of the timestamps has moved on.
        for _ in range(1000):
            try:
                assert await talk(net, addr, config=SLOW, local_addr=local) == local
                break
            except OSError:
                await asyncio.sleep(0)
        else:
            pytest.fail("the address in TIME-WAIT was never given again")
    forget_all()


async def test_a_server_restarts_on_its_port_at_once(net: Net) -> None:
    server = await net.start_server(echo, config=SLOW)
    addr = server.sockets[0].getsockname()
    reader, writer = await net.open_connection(addr, config=SLOW)
    writer.write(b"open")
    assert await reader.readexactly(4) == b"open"
    server.close()
    assert not server.is_serving()
    assert server.sockets == ()
    again = await net.start_server(echo, port=addr[1], config=SLOW)
    await talk(net, addr, config=SLOW)  # a new one comes in, and the old one goes on
    writer.write(b"still")
    assert await reader.readexactly(5) == b"still"
    writer.close()
    await writer.wait_closed()
    await server.wait_closed()
    again.close()
    await again.wait_closed()
    forget_all()


async def test_an_address_in_use_is_an_error(net: Net) -> None:
    async with net.serving(Recorder) as addr:
        with pytest.raises(OSError, match="address already in use") as info:
            await net.create_server(Recorder, port=addr[1])
        assert info.value.errno
    # Without adoption a lingering socket is in the way as well.
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"x")
        await reader.readexactly(1)
        server = next(driver for driver in hub().drivers if driver.server is not None).server
        assert server is not None
        server.close()
        with pytest.raises(OSError, match="in use"):
            await net.create_server(Recorder, port=addr[1], reuse_address=False)
        writer.close()
        await writer.wait_closed()


async def test_several_servers_may_share_a_port(net: Net) -> None:
    server = await net.start_server(echo, reuse_port=True)
    addr = server.sockets[0].getsockname()
    other = await net.start_server(echo, port=addr[1], reuse_port=True)
    for _ in range(10):
        await talk(net, addr)
    for one in (server, other):
        one.close()
        await one.wait_closed()


@pytest.mark.parametrize("turns", range(6))
async def test_cancelling_a_connect_leaves_nothing(net: Net, turns: int) -> None:
    async with net.handling(echo) as addr:
        task = asyncio.create_task(net.open_connection(addr))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            _, writer = await task
        except asyncio.CancelledError:
            await until(lambda: len(hub().drivers) == 1)  # the server's
        else:
            writer.close()
            await writer.wait_closed()


async def test_cancelling_a_connect_to_a_silent_peer_closes_its_socket_at_once(net: Net) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        before = len(open_descriptors())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await net.open_connection(silent.getsockname())
        assert len(open_descriptors()) == before
        assert not hub().drivers


async def test_cancelling_drain_and_wait_closed_does_no_harm(net: Net) -> None:
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with net.serving(factory) as addr:
        _, writer = await net.open_connection(addr)
        await until(lambda: made)
        made[0].transport.pause_reading()
        size = 0
        while True:
            writer.write(bytes(1 << 20))
            size += 1 << 20
            try:
                async with asyncio.timeout(0.1):
                    await writer.drain()
            except TimeoutError:
                break
        writer.close()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.shield(writer.wait_closed())
        made[0].transport.resume_reading()
        await writer.wait_closed()
        assert len(made[0].received) == size


async def test_a_factory_that_fails_leaves_no_socket(net: Net) -> None:
    def fail() -> asyncio.Protocol:
        raise ZeroDivisionError

    async with net.serving(Recorder) as addr:
        before = len(hub().drivers)
        with pytest.raises(ZeroDivisionError):
            await net.create_connection(fail, addr)
        await until(lambda: len(hub().drivers) == before)
    with caught(asyncio.get_running_loop()) as contexts:
        async with net.serving(fail) as addr:
            reader, writer = await net.open_connection(addr)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()
    assert isinstance(contexts[0]["exception"], ZeroDivisionError)


async def test_closing_a_server_leaves_its_connections(net: Net) -> None:
    server = await net.start_server(echo)
    reader, writer = await net.open_connection(server.sockets[0].getsockname())
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    server.close()
    server.close()
    waiting = asyncio.create_task(server.wait_closed())
    writer.write(b"b")
    assert await reader.readexactly(1) == b"b"
    assert not waiting.done()
    writer.close()
    await writer.wait_closed()
    await waiting
    with pytest.raises(RuntimeError):
        await server.start_serving()


async def test_closing_and_aborting_all_clients_of_a_server(net: Net) -> None:
    server = await net.start_server(echo)
    reader, writer = await net.open_connection(server.sockets[0].getsockname())
    writer.write(b"a")
    await reader.readexactly(1)
    server.close_clients()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    reader, writer = await net.open_connection(server.sockets[0].getsockname())
    writer.write(b"a")
    await reader.readexactly(1)
    server.abort_clients()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    async with server:
        pass


async def test_serve_forever(net: Net) -> None:
    server = await net.start_server(echo, start_serving=False)
    assert not server.is_serving()
    assert server.get_loop() is asyncio.get_running_loop()
    with pytest.raises(ConnectionRefusedError):
        await net.open_connection(server.sockets[0].getsockname())
    task = asyncio.create_task(server.serve_forever())
    await until(server.is_serving)
    await talk(net, server.sockets[0].getsockname())
    with pytest.raises(RuntimeError):
        await server.serve_forever()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not server.is_serving()


async def with_idle_client(net: Net) -> tuple[Any, Recorder, Recorder]:
    """A server, and both sides of its one connection."""
    made: list[Recorder] = []
    server = await net.create_server(making(made))
    _, idle = await net.create_connection(Recorder, server.sockets[0].getsockname())
    await until(lambda: made and made[0].transport)
    return server, made[0], idle


async def test_ctrl_c_ends_a_server_without_waiting_for_its_clients(net: Net) -> None:
    server, served, idle = await with_idle_client(net)

    async def serve() -> None:
        async with server:
            await server.serve_forever()

    task = asyncio.create_task(serve())
    await until(lambda: server._forever)
    task.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert task.cancelled()
    assert not server.is_serving()
    assert idle.calls == served.calls == ["made"]
    idle.transport.close()
    await idle.lost
    await server.wait_closed()


async def test_leaving_a_server_in_order_waits_for_its_clients(net: Net) -> None:
    server, served, idle = await with_idle_client(net)

    async def serve() -> None:
        async with server:
            pass

    task = asyncio.create_task(serve())
    await until(lambda: not server.is_serving())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    idle.transport.close()
    await task
    assert served.lost.done()
    await idle.lost


async def test_the_oldest_lingering_sockets_make_room(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utcp.aio.hub._POOL", 3)
    servers = [await net.start_server(echo, config=SLOW) for _ in range(6)]
    for server in servers:
        await talk(net, server.sockets[0].getsockname(), config=SLOW)
    for server in servers:
        server.close()
        await server.wait_closed()
    await until(lambda: len([d for d in hub().drivers if d.client_key is not None]) <= 3)
    forget_all()
    await quiet(asyncio.get_running_loop())


class Lingering:
    """What a hub sees of a driver whose peer says nothing any more."""

    looks = 0
    client_key = "peer"
    endpoint: Any

    def __init__(self) -> None:
        self.endpoint = self

    def connections(self) -> list[Any]:
        Lingering.looks += 1
        return [SimpleNamespace(state=State.FIN_WAIT_1, buffered=0, soft_error="")]


async def test_many_that_linger_are_not_all_looked_at_for_each() -> None:
    hub = Hub(asyncio.get_running_loop())
    Lingering.looks = 0
    for _ in range(1000):
        hub.linger(cast("Driver", Lingering()))
    assert len(hub._pool) == 1000
    assert Lingering.looks <= 1000 * 2 * 64
