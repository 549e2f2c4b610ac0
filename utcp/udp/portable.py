"""UDP with what every platform has: one datagram per system call.

What is missing compared to Linux: bursts, the ECN bits of received datagrams, ICMP errors of
unconnected sockets, the path MTU except on Windows, and on a wildcard-bound socket the choice of
the source address: a host with several addresses should bind to one of them.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from utcp.udp.base import Address, Data, Pieces, UdpSocket, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PortableUdpSocket"]

_TOS: Final[dict[int, tuple[tuple[int, int], ...]]] = {
    socket.AF_INET: ((socket.IPPROTO_IP, socket.IP_TOS),),
    # Windows has no such name.
    socket.AF_INET6: ((socket.IPPROTO_IPV6, socket.IPV6_TCLASS),)
    if hasattr(socket, "IPV6_TCLASS")
    else (),
}


class PortableUdpSocket(UdpSocket):
    """A UDP socket that relies on nothing but recvfrom and sendto."""

    __slots__ = ("_tos",)

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`, a bound or connected UDP socket."""
        super().__init__(sock)
        self._tos = -1

    def recv(self) -> int:
        """Receive one datagram; see `UdpSocket.recv`."""
        try:
            if self._connected:
                return self._sock.recv_into(self.buffer)
            length, self.addr = self._sock.recvfrom_into(self.buffer)
        except BlockingIOError:
            return -1
        except OSError as error:
            return self._recv_failed(error)
        return length

    def send(self, addr: Address, data: Data | Pieces, segment_size: int, tos: int) -> int:
        """Send the datagrams one by one; see `UdpSocket.send`."""
        if isinstance(data, list | tuple):
            data = b"".join(data)
        if tos != self._tos:
            self._set_tos(tos)
        if len(data) > segment_size:
            return self._send_each(addr, data, segment_size, ())
        return self._send_one(addr, data, ())

    def _transmit(
        self,
        addr: Address,
        data: bytes | bytearray | memoryview,
        ancillary: Sequence[tuple[int, int, bytes]],
    ) -> None:
        del ancillary
        if self._connected:
            self._sock.send(data)
        else:
            self._sock.sendto(data, addr)

    def _set_tos(self, tos: int) -> None:
        self._tos = tos  # also where the system refuses: it will not change its mind
        options = _TOS[self.family]
        if self._dual:
            options += _TOS[socket.AF_INET]
        for level, name in options:
            set_option(self._sock, level, name, tos)
