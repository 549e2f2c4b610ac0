"""Open a UDP socket, or take over a given one, and set it up."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from typing import Any, Final

from utcp.udp.base import UdpSocket, set_option
from utcp.udp.linux import LinuxUdpSocket
from utcp.udp.portable import PortableUdpSocket

__all__ = ["open_socket"]

DEFAULT_BUFFER: Final = 8 << 20

# linux: asm-generic/socket.h
_FORCE: Final = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}
_SMALLEST_BUFFER: Final = 1 << 16


def open_socket(
    *,
    family: int = socket.AF_INET,
    local_addr: tuple[Any, ...] | None = None,
    remote_addr: tuple[Any, ...] | None = None,
    sock: socket.socket | None = None,
    reuse_port: bool = False,
    ipv6_only: bool | None = None,
    ttl: int = 64,
    rcvbuf: int = DEFAULT_BUFFER,
    sndbuf: int = DEFAULT_BUFFER,
    implementation: type[UdpSocket] | None = None,
) -> UdpSocket:
    """Return a UDP socket bound to `local_addr` and connected to `remote_addr`, if given.

    Addresses are numeric socket addresses of `family`; with neither, any free port of all our
    addresses is bound. `ipv6_only` None leaves the system's default. `ttl` is the hop limit.
    `rcvbuf` and `sndbuf` are sizes in bytes to ask for; the kernel may give less, see
    `UdpSocket.rcvbuf`. `implementation` None chooses the best for this platform.

    `sock`, if given, is used instead of a new socket, bound and connected as it is, and belongs
    to what is returned; it can still be connected, and is bound to any port if it is not bound.

    Raises OSError if the socket cannot be made, bound or connected, ValueError if `sock` is not
    a UDP socket or comes with options of a new one, or if the platform has no SO_REUSEPORT.
    A given `sock` is then left open.
    """
    if implementation is None:
        linux = sys.platform.startswith("linux")
        implementation = LinuxUdpSocket if linux else PortableUdpSocket
    own = None
    if sock is None:
        own = sock = socket.socket(family, socket.SOCK_DGRAM)
    elif local_addr is not None or reuse_port or ipv6_only is not None:
        msg = "local_addr, reuse_port and ipv6_only cannot be combined with sock"
        raise ValueError(msg)
    elif sock.type != socket.SOCK_DGRAM or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        msg = f"A UDP socket was expected, got {sock!r}"
        raise ValueError(msg)
    try:
        if own is not None:
            _bind(own, local_addr, remote_addr, reuse_port=reuse_port, ipv6_only=ipv6_only)
        if remote_addr is not None:
            # RFC 9293 §3.9.1.1 (MUST-46): the kernel refuses a broadcast address by itself.
            if ipaddress.ip_address(remote_addr[0]).is_multicast:
                raise OSError(errno.ENETUNREACH, f"{remote_addr[0]} is a multicast address")
            if remote_addr[1] == 0:  # which would leave a datagram socket unconnected
                raise OSError(errno.EADDRNOTAVAIL, "Port 0 can not be connected to")
            sock.connect(remote_addr)
        elif _port(sock) == 0:
            sock.bind(("", 0))
        _set_ttl(sock, ttl)
        _grow_buffer(sock, socket.SO_RCVBUF, rcvbuf)
        _grow_buffer(sock, socket.SO_SNDBUF, sndbuf)
        return implementation(sock)
    except BaseException:
        if own is not None:
            own.close()
        raise


def _bind(
    sock: socket.socket,
    local_addr: tuple[Any, ...] | None,
    remote_addr: tuple[Any, ...] | None,
    *,
    reuse_port: bool,
    ipv6_only: bool | None,
) -> None:
    if reuse_port:
        if not hasattr(socket, "SO_REUSEPORT"):
            msg = "reuse_port is not supported on this platform"
            raise ValueError(msg)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if ipv6_only is not None and sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, ipv6_only)
    if local_addr is not None:
        sock.bind(local_addr)
    elif remote_addr is None:
        sock.bind(("", 0))


def _port(sock: socket.socket) -> int:
    try:
        port: int = sock.getsockname()[1]
    except OSError:  # Windows, on an unbound socket
        return 0
    return port


def _set_ttl(sock: socket.socket, ttl: int) -> None:
    # On IPv6 the second one is for a dual-stack socket; it is refused elsewhere, which is fine.
    if sock.family == socket.AF_INET6:
        set_option(sock, socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    set_option(sock, socket.IPPROTO_IP, socket.IP_TTL, ttl)


def _grow_buffer(sock: socket.socket, option: int, size: int) -> None:
    """Ask for `size` bytes of buffer, or as much as is allowed; never make it smaller."""
    if sock.getsockopt(socket.SOL_SOCKET, option) >= size:
        return
    if sys.platform.startswith("linux") and set_option(
        sock, socket.SOL_SOCKET, _FORCE[option], size
    ):
        return  # beyond net.core.rmem_max or wmem_max, for the privileged
    # Linux gives what it can; the BSDs refuse what is too much.
    while size >= _SMALLEST_BUFFER and not set_option(sock, socket.SOL_SOCKET, option, size):
        size //= 2
