"""Addresses as they are written: zones of IPv6, and ports that are none."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from utcp.aio.resolve import resolve

from .conftest import Net, echo


@pytest.fixture
def net(tcp_over_udp: Net) -> Net:
    return tcp_over_udp


@pytest.mark.parametrize("zone", ["lo", "1"])
async def test_the_zone_of_a_link_local_address(zone: str) -> None:
    """uvloop's own getaddrinfo leaves it out, and the kernel then knows no way."""
    loop = asyncio.get_running_loop()
    found = await resolve(loop, f"fe80::1%{zone}", 9)
    assert found == [(socket.AF_INET6, ("fe80::1", 9, 0, socket.if_nametoindex("lo")))]


async def test_an_address_with_a_zone(net: Net) -> None:
    async with net.handling(echo, host="::1%lo") as addr:
        reader, writer = await net.open_connection(("::1%lo", addr[1]))
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_ports_have_the_names_of_tcp(host: str) -> None:
    try:
        number = socket.getservbyname("http", "tcp")
    except OSError:
        pytest.skip("no names of services here")
    found = await resolve(asyncio.get_running_loop(), host, "http")
    assert {address[1] for _, address in found} == {number}


@pytest.mark.parametrize("host", ["fe80::1%nothing", "127.0.0.1%lo"])
async def test_a_zone_that_is_none(net: Net, host: str) -> None:
    with pytest.raises(OSError, match=r"interface|Name or service"):
        await net.open_connection((host, 9))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("delay", [None, 0.1])
async def test_nobody_can_be_connected_to_on_port_0(
    net: Net, host: str, delay: float | None
) -> None:
    with pytest.raises(OSError, match="Port 0") as caught:
        await net.open_connection((host, 0), happy_eyeballs_delay=delay)
    assert caught.value.errno == errno.EADDRNOTAVAIL
