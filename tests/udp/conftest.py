"""Sockets on loopback, closed at the end of the test, and waiting for them without sleeping."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from utcp.udp import LinuxUdpSocket, PortableUdpSocket, UdpSocket, open_socket

LINUX = sys.platform.startswith("linux")

Opener = Callable[..., UdpSocket]
Receiver = Callable[[UdpSocket], bytes]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request: pytest.FixtureRequest) -> str:
    address: str = request.param
    if address == "::1" and not has_ipv6():
        pytest.skip("this host has no ::1")
    return address


@pytest.fixture
def ipv6() -> None:
    if not has_ipv6():
        pytest.skip("this host has no ::1")


@pytest.fixture(params=[LinuxUdpSocket, PortableUdpSocket])
def implementation(request: pytest.FixtureRequest) -> type[UdpSocket]:
    kind: type[UdpSocket] = request.param
    if kind is LinuxUdpSocket and not LINUX:
        pytest.skip("needs Linux")
    return kind


@pytest.fixture
def opened() -> Iterator[list[UdpSocket]]:
    sockets: list[UdpSocket] = []
    yield sockets
    for sock in sockets:
        sock.close()


@pytest.fixture
def open_(opened: list[UdpSocket]) -> Opener:
    """`open_socket` with the family taken from the addresses; closed when the test ends."""

    def opener(**arguments: object) -> UdpSocket:
        for key in ("local_addr", "remote_addr"):
            address = arguments.get(key)
            if isinstance(address, tuple) and ":" in address[0]:
                arguments["family"] = socket.AF_INET6
        sock = open_socket(**arguments)  # type: ignore[arg-type]
        opened.append(sock)
        return sock

    return opener


@pytest.fixture
def receive() -> Receiver:
    """Wait for a datagram, or a train of them, and return its bytes."""

    def receiver(sock: UdpSocket) -> bytes:
        select.select([sock], [], [], 5.0)
        length = sock.recv()
        assert length >= 0, "nothing arrived"
        return bytes(sock.buffer[:length])

    return receiver


@pytest.fixture
def wait_for_error() -> Callable[[UdpSocket], None]:
    """Wait until the kernel has a network error for a socket."""

    def wait(sock: UdpSocket) -> None:
        # A pending error makes a socket readable for select(), whatever poll() calls it.
        assert select.select([sock], [], [], 5.0)[0]

    return wait
