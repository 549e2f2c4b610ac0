"""Find out, once and by trying, what this kernel can do for UDP sockets.

The version of a kernel says little: distributions backport, and sandboxes that imitate Linux
accept options which they then do not follow.
"""

from __future__ import annotations

import functools
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from utcp.udp.base import set_option

__all__ = ["Capabilities", "probe"]

UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
IP_PKTINFO: Final = 8
IP_RECVERR: Final = 11
IP_RECVTOS: Final = 13
SOL_UDP: Final = 17


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kernel offers beyond one datagram per system call."""

    segment: bool = False
    """UDP_SEGMENT: many datagrams in one send (generic segmentation offload). Linux 4.18."""
    gro: bool = False
    """UDP_GRO: many datagrams in one receive. Linux 5.0."""
    pktinfo: bool = False
    """The address that a datagram was sent to, and choosing the source of an answer."""
    recv_tos: bool = False
    """The TOS byte, and so the ECN bits, of received datagrams."""
    send_tos: bool = False
    """A TOS byte per datagram sent, not only per socket."""
    error_queue: bool = False
    """ICMP errors with the datagram they are about, also on unconnected sockets."""


@functools.cache
def probe() -> Capabilities:
    """Return what this kernel supports. Sends two datagrams over loopback, the first time."""
    if not sys.platform.startswith("linux"):
        return Capabilities()  # the numbers above are Linux's
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with suppress(OSError):
            sock.bind(("127.0.0.1", 0))
            sock.connect(sock.getsockname())
        segment = _sends(sock, SOL_UDP, UDP_SEGMENT, (1).to_bytes(2, sys.byteorder))
        send_tos = _sends(sock, socket.IPPROTO_IP, socket.IP_TOS, (2).to_bytes(4, sys.byteorder))
        return Capabilities(
            segment=segment,
            gro=set_option(sock, SOL_UDP, UDP_GRO, 1),
            pktinfo=set_option(sock, socket.IPPROTO_IP, IP_PKTINFO, 1),
            recv_tos=set_option(sock, socket.IPPROTO_IP, IP_RECVTOS, 1),
            send_tos=send_tos,
            error_queue=set_option(sock, socket.IPPROTO_IP, IP_RECVERR, 1),
        )


def _sends(sock: socket.socket, level: int, kind: int, value: bytes) -> bool:
    try:
        sock.sendmsg([b"\0\0"], [(level, kind, value)])
    except OSError:
        return False
    return True
