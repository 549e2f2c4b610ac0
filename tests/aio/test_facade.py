"""The socket that frameworks find in a transport, and the arguments that make no sense."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from dataclasses import replace
from typing import Any

import pytest

import utcp
from utcp.core import NEVER
from utcp.core.timers import KEEPALIVE

from .conftest import FAST, Net, Recorder, echo, until
from .test_protocols import making

TCP = socket.IPPROTO_TCP
SOL = socket.SOL_SOCKET


@pytest.fixture
def net(tcp_over_udp: Net) -> Net:
    return tcp_over_udp


async def close(protocol: Recorder) -> None:
    protocol.transport.close()
    await protocol.lost


async def test_it_looks_like_a_tcp_socket(net: Net) -> None:
    async with net.serving(Recorder) as addr:
        transport, protocol = await net.create_connection(Recorder, addr)
        sock = transport.get_extra_info("socket")
        assert sock is transport.get_extra_info("socket")
        assert sock.family == socket.AF_INET
        assert sock.type == socket.SOCK_STREAM
        assert sock.proto == TCP
        assert sock.fileno() >= 0
        assert sock.getpeername() == addr
        assert sock.getsockname() == transport.get_extra_info("sockname")
        assert sock.getsockopt(SOL, socket.SO_TYPE) == socket.SOCK_STREAM
        assert sock.getsockopt(SOL, socket.SO_ERROR) == 0
        assert sock.getsockopt(SOL, socket.SO_ACCEPTCONN) == 0
        assert sock.getsockopt(SOL, socket.SO_DOMAIN) == socket.AF_INET
        assert sock.getsockopt(SOL, socket.SO_PROTOCOL) == TCP
        assert sock.getsockopt(SOL, socket.SO_SNDBUF) > 0
        assert sock.getsockopt(SOL, socket.SO_RCVBUF) > 0
        assert sock.getsockopt(TCP, socket.TCP_MAXSEG) > 500
        assert sock.gettimeout() == 0
        sock.settimeout(0)
        sock.setblocking(False)
        assert "laddr" in repr(sock)
        await close(protocol)
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()
        await until(lambda: sock.fileno() == -1)


@pytest.mark.parametrize(
    ("level", "name", "value", "effect"),
    [
        (TCP, socket.TCP_NODELAY, 0, ("nodelay", False)),
        (SOL, socket.SO_KEEPALIVE, 1, ("keepalive", True)),
        (TCP, socket.TCP_KEEPIDLE, 60, ("keepalive_idle_ns", 60_000_000_000)),
        (TCP, socket.TCP_KEEPINTVL, 5, ("keepalive_interval_ns", 5_000_000_000)),
        (TCP, socket.TCP_KEEPCNT, 3, ("keepalive_count", 3)),
        (TCP, socket.TCP_USER_TIMEOUT, 1500, ("user_timeout_ns", 1_500_000_000)),
        (socket.IPPROTO_IP, socket.IP_TOS, 0xB8, ("data_tos", 0xBA)),
    ],
)
async def test_options_reach_the_connection(
    net: Net, level: int, name: int, value: int, effect: tuple[str, Any]
) -> None:
    async with net.serving(Recorder) as addr:
        transport, protocol = await net.create_connection(Recorder, addr)
        sock = transport.get_extra_info("socket")
        for given in (value, struct.pack("i", value)):
            sock.setsockopt(level, name, given)
            assert sock.getsockopt(level, name) == value
            assert struct.unpack("i", sock.getsockopt(level, name, 4)) == (value,)
            assert getattr(transport._conn, effect[0]) == effect[1]
        with pytest.raises(OSError, match="Invalid argument"):
            sock.setsockopt(level, name, None)
        await close(protocol)


async def test_nagle_is_off_by_default(net: Net) -> None:
    async with net.serving(Recorder) as addr:
        transport, protocol = await net.create_connection(Recorder, addr)
        assert transport.get_extra_info("socket").getsockopt(TCP, socket.TCP_NODELAY) == 1
        await close(protocol)


async def test_cork(net: Net) -> None:
    async with net.serving(Recorder) as addr:
        transport, protocol = await net.create_connection(Recorder, addr)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(TCP, socket.TCP_CORK) == 0
        sock.setsockopt(TCP, socket.TCP_CORK, 1)
        assert sock.getsockopt(TCP, socket.TCP_CORK) == 1
        sock.setsockopt(TCP, socket.TCP_CORK, 0)
        assert sock.getsockopt(TCP, socket.TCP_CORK) == 0
        await close(protocol)


async def test_what_means_nothing_here_is_refused(net: Net) -> None:
    async with net.serving(Recorder) as addr:
        transport, protocol = await net.create_connection(Recorder, addr)
        sock = transport.get_extra_info("socket")
        for level, name in ((SOL, socket.SO_BROADCAST), (TCP, socket.TCP_LINGER2), (TCP, 9999)):
            with pytest.raises(OSError, match="not available") as info:
                sock.setsockopt(level, name, 1)
            assert info.value.errno == errno.ENOPROTOOPT
            with pytest.raises(OSError, match="not available"):
                sock.getsockopt(level, name)
        for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_KEEPINTVL):
            with pytest.raises(OSError, match="Invalid argument"):
                sock.setsockopt(TCP, name, 0)
        with pytest.raises(OSError, match="Invalid argument"):
            sock.setsockopt(TCP, socket.TCP_USER_TIMEOUT, -1)
        with pytest.raises(OSError, match="Invalid argument"):
            sock.getsockopt(TCP, socket.TCP_INFO)
        for call in (sock.recv, sock.send, sock.close, sock.shutdown):
            with pytest.raises(OSError, match="use that"):
                call(1)
        with pytest.raises(ValueError, match="blocking"):
            sock.setblocking(True)
        with pytest.raises(ValueError, match="timeout"):
            sock.settimeout(1)
        await close(protocol)


async def test_tcp_info_as_linux_lays_it_out(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"x" * 1000)
        await reader.readexactly(1000)
        raw = writer.get_extra_info("socket").getsockopt(TCP, socket.TCP_INFO, 104)
        assert len(raw) == 104
        state, *_ = raw
        assert state == 1  # TCP_ESTABLISHED
        rto, _, mss = struct.unpack_from("=3I", raw, 8)
        assert rto > 0
        info = writer.get_extra_info("tcp_info")
        assert isinstance(info, utcp.TcpInfo)
        assert info.snd_mss == mss
        assert info.bytes_acked >= 1000
        writer.close()
        await writer.wait_closed()


async def test_a_listening_socket(net: Net) -> None:
    server = await net.create_server(Recorder)
    (sock,) = server.sockets
    assert sock.getsockname()[0] == "127.0.0.1"
    assert sock.getsockopt(SOL, socket.SO_ACCEPTCONN) == 1
    assert sock.getsockopt(SOL, socket.SO_REUSEADDR) == 1
    with pytest.raises(OSError, match="not connected"):
        sock.getpeername()
    with pytest.raises(OSError, match="not available"):
        sock.setsockopt(TCP, socket.TCP_NODELAY, 1)
    assert repr(server).startswith("<Server sockets=(<ListeningSocket")
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("kwds", "error"),
    [
        ({"ssl": object()}, TypeError),
        ({"server_hostname": "x"}, ValueError),
        ({"ssl_handshake_timeout": 1.0}, ValueError),
        ({"ssl_shutdown_timeout": 1.0}, ValueError),
        ({"proto": socket.IPPROTO_ICMP}, ValueError),
        ({"config": {"msl": 1}}, TypeError),
        ({"sock": "a socket"}, ValueError),
    ],
)
async def test_arguments_of_a_client_that_make_no_sense(kwds: Any, error: Any) -> None:
    with pytest.raises(error):
        await utcp.create_connection(Recorder, "127.0.0.1", 9, **kwds)


@pytest.mark.parametrize(
    ("kwds", "error"),
    [
        ({"ssl": True}, TypeError),
        ({"ssl": object()}, TypeError),
        ({"ssl_handshake_timeout": 1.0}, ValueError),
        ({"config": 5}, TypeError),
        ({"sock": "a socket"}, ValueError),
        ({"backlog": -1}, ValueError),
        ({"backlog": "many"}, TypeError),
    ],
)
async def test_arguments_of_a_server_that_make_no_sense(kwds: Any, error: Any) -> None:
    with pytest.raises(error):
        await utcp.create_server(Recorder, "127.0.0.1", 0, **kwds)


async def test_somewhere_to_go_is_needed() -> None:
    with pytest.raises(ValueError, match="no sock specified"):
        await utcp.create_connection(Recorder)
    with pytest.raises(ValueError, match="Neither host/port nor sock"):
        await utcp.create_server(Recorder)


async def test_a_given_socket(net: Net) -> None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    server = await utcp.start_server(echo, sock=bound)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        with pytest.raises(ValueError, match="must be connected"):
            await utcp.open_connection(sock=free)
        free.connect(bound.getsockname())
        with pytest.raises(ValueError, match="must not be connected"):
            await utcp.start_server(echo, sock=free)
    with socket.socket() as stream, pytest.raises(ValueError, match="UDP socket was expected"):
        await utcp.open_connection(sock=stream)
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.connect(bound.getsockname())
    reader, writer = await utcp.open_connection(sock=own)
    writer.write(b"mine")
    assert await reader.readexactly(4) == b"mine"
    writer.transport.abort()
    server.close()
    await server.wait_closed()
    await writer.wait_closed()
    await until(lambda: own.fileno() == bound.fileno() == -1)


async def test_several_hosts_and_localhost(net: Net) -> None:
    server = await net.start_server(echo, host=["127.0.0.1", "127.0.0.2", "127.0.0.1"])
    assert len(server.sockets) == 2
    for sock in server.sockets:
        reader, writer = await net.open_connection(sock.getsockname())
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()
    async with net.handling(echo, host="localhost") as addr:
        # The first address of the name may have nobody listening; the next is tried.
        _, writer = await net.open_connection(("localhost", addr[1]))
        writer.close()
        await writer.wait_closed()


async def test_happy_eyeballs(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as silent:
        silent.bind(("::1", 0))
        port = silent.getsockname()[1]
        server = await net.start_server(echo, port=port)

        async def resolve(*_: Any, **__: Any) -> Any:
            return [
                (int(socket.AF_INET6), ("::1", port, 0, 0)),
                (int(socket.AF_INET), ("127.0.0.1", port)),
            ]

        monkeypatch.setattr("utcp.aio.client.resolve", resolve)
        async with asyncio.timeout(2):
            _, writer = await net.open_connection(("both", port), happy_eyeballs_delay=0.01)
        assert writer.get_extra_info("peername") == ("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("delay", [None, 0.01])
async def test_every_address_that_failed_is_named(
    net: Net, monkeypatch: pytest.MonkeyPatch, delay: float | None
) -> None:
    async def resolve(*_: Any, **__: Any) -> Any:
        return [(int(socket.AF_INET), (f"127.0.0.{last}", 9)) for last in (1, 2)]

    monkeypatch.setattr("utcp.aio.client.resolve", resolve)
    with pytest.raises(OSError, match=r"Multiple exceptions: .*127\.0\.0\.1.*127\.0\.0\.2"):
        await net.open_connection(("both", 9), happy_eyeballs_delay=delay)


@pytest.mark.parametrize("delay", [None, 0.01])
@pytest.mark.parametrize("streams", [False, True])
async def test_all_errors(
    net: Net, monkeypatch: pytest.MonkeyPatch, delay: float | None, streams: bool
) -> None:
    async def resolve(*_: Any, **__: Any) -> Any:
        return [(int(socket.AF_INET), (f"127.0.0.{last}", 9)) for last in (1, 2)]

    monkeypatch.setattr("utcp.aio.client.resolve", resolve)
    kwds: dict[str, Any] = {"happy_eyeballs_delay": delay, "all_errors": True}
    with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
        await (
            net.open_connection(("both", 9), **kwds)
            if streams
            else net.create_connection(Recorder, ("both", 9), **kwds)
        )
    one, two = caught.value.exceptions
    assert isinstance(one, ConnectionRefusedError)
    assert isinstance(two, ConnectionRefusedError)
    assert "127.0.0.1" in str(one)
    assert "127.0.0.2" in str(two)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("given", "config", "on"),
    [(True, False, 1), (False, True, 0), (None, True, 1), (None, False, 0)],
)
async def test_a_servers_keep_alive(
    net: Net, streams: bool, given: bool | None, config: bool, on: int
) -> None:
    seen: list[Any] = []

    class Server(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            seen.append(transport.get_extra_info("socket"))

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("socket"))
        await echo(reader, writer)

    kwds: dict[str, Any] = {"keep_alive": given, "config": replace(FAST, keepalive=config)}
    async with net.handling(handle, **kwds) if streams else net.serving(Server, **kwds) as addr:
        _, protocol = await net.create_connection(Recorder, addr)
        await until(lambda: seen)
        assert seen[0].getsockopt(SOL, socket.SO_KEEPALIVE) == on
        await close(protocol)


async def test_a_socket_first_asked_for_after_the_end_is_closed(net: Net) -> None:
    made: list[Recorder] = []
    server = await net.create_server(making(made))
    (listening,) = server.sockets
    assert listening.get_inheritable() is False
    transport, protocol = await net.create_connection(Recorder, listening.getsockname())
    assert transport.get_extra_info("socket").get_inheritable() is False
    await close(protocol)
    await until(lambda: made)
    await made[0].lost
    sock = made[0].transport.get_extra_info("socket")
    assert sock.fileno() == -1
    assert listening.fileno() >= 0
    with pytest.raises(OSError, match="not connected"):
        sock.getpeername()
    assert sock is made[0].transport.get_extra_info("socket")
    server.close()
    await server.wait_closed()


async def test_no_address_of_the_right_family_to_bind(net: Net) -> None:
    with pytest.raises(OSError, match="no matching local address"):
        await net.open_connection(("::1", 9), local_addr=("127.0.0.1", 0))
    with pytest.raises(OSError, match="attempting to bind"):
        await net.open_connection(("127.0.0.1", 9), local_addr=("192.0.2.1", 0))


async def test_what_was_corked_leaves_when_it_no_longer_is(net: Net) -> None:
    async with net.serving(Recorder) as addr:
        transport, _ = await net.create_connection(Recorder, addr)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(TCP, socket.TCP_CORK, 1)
        transport.write(b"hello")
        counters = transport.get_extra_info("counters")
        before = counters.segments_out
        sock.setsockopt(TCP, socket.TCP_CORK, 0)
        await until(lambda: counters.segments_out == before + 1)
        transport.abort()


async def test_keepalive_counts_from_when_it_is_set(net: Net) -> None:
    async with net.serving(Recorder) as addr:
        transport, _ = await net.create_connection(Recorder, addr)
        sock = transport.get_extra_info("socket")
        timers = transport._conn.timers
        assert timers[KEEPALIVE] == NEVER
        for idle in (100, 1):
            sock.setsockopt(SOL, socket.SO_KEEPALIVE, 1)
            await until(lambda: timers[KEEPALIVE] < NEVER)
            before = time.monotonic_ns()
            sock.setsockopt(TCP, socket.TCP_KEEPIDLE, idle)
            await until(lambda: timers[KEEPALIVE] < NEVER)
            assert before <= timers[KEEPALIVE] - idle * 10**9 <= time.monotonic_ns()
        transport.abort()
