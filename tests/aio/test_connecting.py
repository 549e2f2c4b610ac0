"""Connecting: names, addresses and ports, and ports that the peer still knows."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import replace
from typing import Any

import pytest

from utcp.aio.hub import Hub
from utcp.testing import SegmentView, encode_segment
from utcp.testing.segment_view import ACK, SYN
from utcp.udp import open_socket

from .conftest import FAST, Net, Recorder, echo, until
from .test_protocols import making


@pytest.fixture
def net(tcp_over_udp: Net) -> Net:
    return tcp_over_udp


async def crash(net: Net, addr: Any, made: list[Recorder]) -> Any:
    """Connect, and lose the client as if its process had been killed; gives its address."""
    transport, client = await net.create_connection(Recorder, addr)
    await until(lambda: made and made[-1].transport)
    local = transport.get_extra_info("sockname")
    driver = transport._driver
    driver.close()
    transport.abort()
    await client.lost
    return local


def always_from(monkeypatch: pytest.MonkeyPatch, local: Any, times: int = 1 << 30) -> list[Any]:
    """Have the system choose `local` for the next clients; gives the ports that it chose."""
    chosen: list[Any] = []

    def choose(**kwds: Any) -> Any:
        sock = open_socket(**kwds | ({"local_addr": local} if len(chosen) < times else {}))
        chosen.append(sock.sockname)
        return sock

    monkeypatch.setattr("utcp.aio.client.open_socket", choose)
    return chosen


async def test_a_port_that_the_peer_still_knows_is_given_up(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        local = await crash(net, addr, made)
        chosen = always_from(monkeypatch, local, times=1)
        async with asyncio.timeout(0.8):  # less than the first retransmission would take
            transport, client = await net.create_connection(Recorder, addr)
        assert chosen[0] == local
        assert transport.get_extra_info("sockname") == chosen[1] != local
        await made[0].lost
        assert isinstance(made[0].exc, ConnectionResetError)
        transport.close()
        await client.lost
        await until(lambda: len(made) > 1)
        await made[1].lost


async def test_a_fixed_port_gets_through_once_the_old_connection_is_reset(net: Net) -> None:
    made: list[Recorder] = []
    config = replace(FAST, rto_initial=0.02)
    async with net.serving(making(made)) as addr:
        local = await crash(net, addr, made)
        transport, client = await net.create_connection(
            Recorder, addr, local_addr=local, config=config
        )
        assert transport.get_extra_info("sockname") == local
        transport.close()
        await client.lost
        await until(lambda: len(made) > 1)
        await made[1].lost


async def test_only_a_few_ports_are_tried(net: Net) -> None:
    """A peer, or somebody in its name, says of every port that it knows an old connection."""
    loop = asyncio.get_running_loop()
    ports: list[int] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.setblocking(False)

        def answer() -> None:
            data, addr = peer.recvfrom(2000)
            if SegmentView(data).flags & SYN:
                ports.append(addr[1])
                peer.sendto(encode_segment(ACK, 7, SegmentView(data).seq32 - 1000), addr)

        loop.add_reader(peer.fileno(), answer)
        try:
            with pytest.raises(TimeoutError):
                await net.open_connection(
                    peer.getsockname(), config=replace(FAST, rto_initial=0.02, syn_retries=1)
                )
        finally:
            loop.remove_reader(peer.fileno())
    assert len(set(ports)) == 4


async def test_dual_stack_on_all_addresses(net: Net) -> None:
    """One port, every address of both families, without a host."""
    server = await net.start_server(echo, host=None)
    ports = {sock.family: sock.getsockname()[1] for sock in server.sockets}
    assert set(ports) == {socket.AF_INET, socket.AF_INET6}
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        reader, writer = await net.open_connection((host, ports[family]))
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert writer.get_extra_info("socket").family == family
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()


def without(
    monkeypatch: pytest.MonkeyPatch, families: set[int], number: int = errno.EAFNOSUPPORT
) -> None:
    """Have the kernel refuse a server's sockets of these families."""

    def choose(**kwds: Any) -> Any:
        if kwds["family"] in families:
            raise OSError(number, os.strerror(number))
        return open_socket(**kwds)

    monkeypatch.setattr("utcp.aio.server.open_socket", choose)


async def test_a_host_without_ipv6_serves_on_ipv4(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, {socket.AF_INET6})
    server = await net.start_server(echo, host=None)
    assert [sock.family for sock in server.sockets] == [socket.AF_INET]
    reader, writer = await net.open_connection(("127.0.0.1", server.sockets[0].getsockname()[1]))
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("families", "number"),
    [
        ({socket.AF_INET, socket.AF_INET6}, errno.EAFNOSUPPORT),
        ({socket.AF_INET}, errno.EMFILE),
        ({socket.AF_INET6}, errno.EMFILE),
    ],
)
async def test_a_server_that_cannot_have_its_sockets_leaves_none(
    net: Net, monkeypatch: pytest.MonkeyPatch, families: set[int], number: int
) -> None:
    without(monkeypatch, families, number)
    with pytest.raises(OSError, match="attempting to bind") as caught:
        await net.start_server(echo, host=None)
    assert caught.value.errno == number
    await until(lambda: not Hub.of(asyncio.get_running_loop()).drivers)


async def test_a_name_that_does_not_exist(net: Net) -> None:
    with pytest.raises(socket.gaierror):
        await net.open_connection(("no-such-host.invalid", 9), flags=socket.AI_NUMERICHOST)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_family_chooses_among_the_addresses_of_a_name(net: Net, family: int) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    if host not in {info[4][0] for info in socket.getaddrinfo("localhost", 9)}:
        pytest.skip(f"localhost is not {host} here")
    async with net.handling(echo, host=host) as addr:
        _, writer = await net.open_connection(("localhost", addr[1]), family=family)
        assert writer.get_extra_info("peername")[0] == host
        writer.close()
        await writer.wait_closed()


async def test_local_addr_with_port_0(net: Net) -> None:
    async with net.handling(echo) as addr:
        _, writer = await net.open_connection(addr, local_addr=("127.0.0.3", 0))
        host, port = writer.get_extra_info("sockname")
        assert host == "127.0.0.3"
        assert port
        writer.close()
        await writer.wait_closed()
