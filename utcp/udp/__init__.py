"""System calls on UDP sockets: bursts, ECN, path MTU, errors. Knows nothing of TCP.

`open_socket` makes a `UdpSocket`: on Linux a `LinuxUdpSocket`, which sends and receives many
datagrams per system call, elsewhere a `PortableUdpSocket`. Both behave alike; `probe` tells what
this kernel can do. How to use one is at the top of `utcp.udp.base`.
"""

from utcp.udp.base import (
    DEFAULT_MTU,
    LOST,
    SENT,
    TOO_BIG,
    WOULD_BLOCK,
    Address,
    ErrorReport,
    Path,
    UdpSocket,
)
from utcp.udp.linux import LinuxUdpSocket
from utcp.udp.opening import open_socket
from utcp.udp.portable import PortableUdpSocket
from utcp.udp.probe import Capabilities, probe

__all__ = [
    "DEFAULT_MTU",
    "LOST",
    "SENT",
    "TOO_BIG",
    "WOULD_BLOCK",
    "Address",
    "Capabilities",
    "ErrorReport",
    "LinuxUdpSocket",
    "Path",
    "PortableUdpSocket",
    "UdpSocket",
    "open_socket",
    "probe",
]
