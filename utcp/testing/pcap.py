"""Traces for Wireshark, tshark, tcptrace: each segment as a native TCP/IP packet.

utcp's header is TCP's with the parts left out that UDP carries, so a segment becomes native TCP
by arithmetic alone: ports and checksum from UDP and IP, urgent pointer 0. `to_native` and
`from_native` do that; `write_pcap` writes a whole trace.
"""

from __future__ import annotations

import ipaddress
import struct
import sys
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, BinaryIO, Final

from utcp.testing.clock import SECOND
from utcp.testing.trace import TraceEntry

__all__ = ["IpAddress", "checksum", "from_native", "to_native", "write_pcap"]

IpAddress = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]
"""An IP address and a port."""

_MAGIC_NS: Final = 0xA1B2_3C4D  # pcap with nanosecond time stamps
_LINKTYPE_RAW: Final = 101  # packets begin with the IP header
_TCP: Final = 6


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over data that contains a correct one."""
    if len(data) % 2:
        data += b"\0"
    total = sum(memoryview(data).cast("H")) if data else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    # The sum was made in the machine's byte order, which only swaps the bytes of the result.
    return int.from_bytes((~total & 0xFFFF).to_bytes(2, sys.byteorder), "big")


def to_native(
    src: IpAddress, dst: IpAddress, datagram: bytes, *, tos: int = 0, ttl: int = 64, ident: int = 0
) -> bytes:
    """The IP packet with the native TCP segment that `datagram`, a utcp segment, stands for.

    ValueError if it is too short to be a segment or if the addresses are of two families.
    """
    if len(datagram) < 12:
        raise ValueError("a segment has at least 12 bytes")
    ports = src[1].to_bytes(2, "big") + dst[1].to_bytes(2, "big")
    # Ours: offset and flags, window, sequence, acknowledgment. TCP's: the other way round.
    tcp = ports + datagram[4:12] + datagram[:4] + bytes(4) + datagram[12:]
    pseudo = src[0].packed + dst[0].packed + len(tcp).to_bytes(4, "big") + _TCP.to_bytes(4, "big")
    tcp = tcp[:16] + checksum(pseudo + tcp).to_bytes(2, "big") + tcp[18:]
    return _ip_header(src, dst, len(tcp), tos, ttl, ident) + tcp


def _ip_header(
    src: IpAddress, dst: IpAddress, length: int, tos: int, ttl: int, ident: int
) -> bytes:
    if src[0].version != dst[0].version:
        raise ValueError(f"{src[0]} and {dst[0]} are of different families")
    addresses = src[0].packed + dst[0].packed
    if src[0].version == 6:
        first = (6 << 28 | tos << 20).to_bytes(4, "big")
        return first + length.to_bytes(2, "big") + bytes((_TCP, ttl)) + addresses
    head = (
        bytes((0x45, tos)) + (20 + length).to_bytes(2, "big") + (ident & 0xFFFF).to_bytes(2, "big")
    )
    head += b"\x40\0" + bytes((ttl, _TCP))  # don't fragment
    return head + checksum(head + addresses).to_bytes(2, "big") + addresses


def from_native(packet: bytes) -> tuple[IpAddress, IpAddress, bytes]:
    """Source, destination and utcp segment of an IP packet with a TCP segment.

    ValueError if it is something else or a checksum is wrong. The urgent pointer is lost.
    """
    version = packet[0] >> 4 if packet else 0
    src: ipaddress.IPv4Address | ipaddress.IPv6Address
    dst: ipaddress.IPv4Address | ipaddress.IPv6Address
    if version == 4:
        start = (packet[0] & 15) * 4
        if checksum(packet[:start]):
            raise ValueError("the IP header's checksum is wrong")
        protocol, end = packet[9], int.from_bytes(packet[2:4], "big")
        src, dst = ipaddress.IPv4Address(packet[12:16]), ipaddress.IPv4Address(packet[16:20])
    elif version == 6:
        start, protocol = 40, packet[6]
        end = 40 + int.from_bytes(packet[4:6], "big")
        src, dst = ipaddress.IPv6Address(packet[8:24]), ipaddress.IPv6Address(packet[24:40])
    else:
        raise ValueError("not an IP packet")
    tcp = packet[start:end]
    if protocol != _TCP or len(tcp) < 20:
        raise ValueError("not a TCP segment")
    pseudo = src.packed + dst.packed + len(tcp).to_bytes(4, "big") + _TCP.to_bytes(4, "big")
    if checksum(pseudo + tcp):
        raise ValueError("the TCP checksum is wrong")
    ports = int.from_bytes(tcp[:2], "big"), int.from_bytes(tcp[2:4], "big")
    return (src, ports[0]), (dst, ports[1]), tcp[12:16] + tcp[4:12] + tcp[20:]


def write_pcap(
    file: BinaryIO,
    trace: Iterable[TraceEntry],
    *,
    addresses: Mapping[Any, IpAddress] | None = None,
    seen_by: Hashable = None,
) -> int:
    """Write a trace as a pcap file of native TCP packets; returns how many there are.

    Without `seen_by` every datagram is there at the time when it was sent, lost ones included.
    With it, only what the node at that address sent, and what reached it, when it did. Addresses
    that are not (IP address, port) pairs, nor in `addresses`, are named 10.0.0.1, 10.0.0.2, ...
    """
    # Version 2.4, no time zone, no accuracy, longest packet, link type.
    file.write(struct.pack(">IHHiIII", _MAGIC_NS, 2, 4, 0, 0, 1 << 18, _LINKTYPE_RAW))
    book = _AddressBook(addresses or {})
    packets = []
    for order, entry in enumerate(trace):
        at = entry.sent_at
        if seen_by is not None and entry.src != seen_by:
            at = entry.arrived_at if entry.dst == seen_by else -1
        if at >= 0 and len(entry.data) >= 12:
            packets.append((at, order, entry))
    packets.sort(key=lambda packet: packet[:2])
    for at, order, entry in packets:
        src, dst = book.find(entry.src), book.find(entry.dst)
        packet = to_native(src, dst, entry.data, tos=entry.tos, ident=order)
        length = len(packet)
        file.write(struct.pack(">IIII", at // SECOND, at % SECOND, length, length) + packet)
    return len(packets)


class _AddressBook:
    """Gives every node an IP address."""

    def __init__(self, known: Mapping[Any, IpAddress]) -> None:
        self._known: dict[Hashable, IpAddress] = dict(known)

    def find(self, address: Hashable) -> IpAddress:
        if address not in self._known:
            self._known[address] = self._parse(address)
        return self._known[address]

    def _parse(self, address: Hashable) -> IpAddress:
        if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[1], int):
            try:
                return ipaddress.ip_address(str(address[0]).partition("%")[0]), address[1]
            except ValueError:
                pass
        number = len(self._known) + 1
        return ipaddress.IPv4Address(0x0A00_0000 + number), 10_000 + number
