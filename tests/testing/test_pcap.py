from __future__ import annotations

import io
import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.testing import (
    MS,
    Trace,
    drop_nth,
    encode_segment,
    from_native,
    pair,
    to_native,
    write_pcap,
)
from utcp.testing.pcap import IpAddress, checksum

V4: tuple[IpAddress, IpAddress] = (
    (ipaddress.ip_address("192.0.2.1"), 1000),
    (ipaddress.ip_address("192.0.2.2"), 65_535),
)
V6: tuple[IpAddress, IpAddress] = (
    (ipaddress.ip_address("2001:db8::1"), 1),
    (ipaddress.ip_address("2001:db8::2"), 2),
)


def slow_checksum(data: bytes) -> int:
    """RFC 1071 as its text says it."""
    total = 0
    for i in range(0, len(data), 2):
        total += int.from_bytes(data[i : i + 2].ljust(2, b"\0"), "big")
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def packets(file: bytes) -> list[tuple[int, bytes]]:
    """Reads a pcap file: times in nanoseconds, and packets."""
    magic, major, minor, _, _, _, linktype = struct.unpack_from(">IHHiIII", file)
    assert (magic, major, minor, linktype) == (0xA1B23C4D, 2, 4, 101)
    found = []
    at = 24
    while at < len(file):
        seconds, fraction, kept, length = struct.unpack_from(">IIII", file, at)
        assert kept == length
        found.append((seconds * 10**9 + fraction, file[at + 16 : at + 16 + kept]))
        at += 16 + kept
    assert at == len(file)
    return found


@given(st.binary(max_size=99))
def test_checksum(data: bytes) -> None:
    assert checksum(data) == slow_checksum(data)


def test_native_layout() -> None:
    datagram = encode_segment(0x12, 0x01020304, 0x05060708, 0x1234, [(2, b"\x05\xb4")], b"payload")
    packet = to_native(*V4, datagram, tos=0xB9, ttl=63, ident=7)
    assert packet[:10] == bytes.fromhex("45b9 0033 0007 4000 3f06".replace(" ", ""))
    assert packet[12:20] == bytes((192, 0, 2, 1, 192, 0, 2, 2))
    tcp = packet[20:]
    assert tcp[:16] == bytes.fromhex("03e8ffff 01020304 05060708 60121234".replace(" ", ""))
    assert tcp[18:20] == b"\0\0"
    assert tcp[20:] == b"\x02\x04\x05\xb4payload"
    pseudo = packet[12:20] + b"\0\x06" + len(tcp).to_bytes(2, "big")
    assert slow_checksum(packet[:20]) == slow_checksum(pseudo + tcp) == 0


@pytest.mark.parametrize("ends", [V4, V6], ids=["ipv4", "ipv6"])
@given(payload=st.binary(max_size=40))
def test_there_and_back(ends: tuple[IpAddress, IpAddress], payload: bytes) -> None:
    datagram = encode_segment(0x18, 1, 2, 3, [(1, b""), (1, b""), (8, bytes(8))], payload)
    packet = to_native(*ends, datagram)
    assert from_native(packet) == (*ends, datagram)
    spoilt = packet[:-1] + bytes((packet[-1] ^ 1,))
    with pytest.raises(ValueError, match="checksum"):
        from_native(spoilt)


def test_what_cannot_be_translated() -> None:
    datagram = encode_segment(0x10, 1)
    with pytest.raises(ValueError, match="at least 12"):
        to_native(*V4, b"short")
    with pytest.raises(ValueError, match="families"):
        to_native(V4[0], V6[1], datagram)
    with pytest.raises(ValueError, match="not an IP"):
        from_native(b"")
    packet = to_native(*V4, datagram)
    with pytest.raises(ValueError, match="IP header"):
        from_native(packet[:8] + b"\x01" + packet[9:])
    with pytest.raises(ValueError, match="not a TCP"):
        from_native(to_native(*V6, datagram)[:6] + b"\x11" + to_native(*V6, datagram)[7:])


def test_a_trace_as_pcap() -> None:
    world = pair(seed=1)
    world.rules.append(drop_nth(2, src="a"))
    world.transfer(5000)
    file = io.BytesIO()
    assert write_pcap(file, world.trace) == len(world.trace)
    found = packets(file.getvalue())
    assert [at for at, _ in found] == [entry.sent_at for entry in world.trace]
    for (_, packet), entry in zip(found, world.trace, strict=True):
        src, _, datagram = from_native(packet)
        assert datagram == entry.data
        assert str(src[0]) == ("10.0.0.1" if entry.src == "a" else "10.0.0.2")


def test_as_one_end_sees_it() -> None:
    world = pair(seed=1)
    world.rules.append(drop_nth(2, src="a"))
    world.transfer(5000)
    world.run_until_idle()
    seen = {}
    for end in "ab":
        file = io.BytesIO()
        write_pcap(file, world.trace, seen_by=end)
        seen[end] = packets(file.getvalue())
        assert [at for at, _ in seen[end]] == sorted(at for at, _ in seen[end])
    assert len(seen["a"]) == len(world.trace)
    assert len(seen["b"]) == len(world.trace) - 1


def test_names_that_only_look_like_addresses() -> None:
    trace = Trace()
    trace.sent(0, ("host.example", 5), ("fe80::1%eth0", 6), encode_segment(0x10, 1), 0)
    with pytest.raises(ValueError, match="families"):
        write_pcap(io.BytesIO(), trace)


def test_socket_addresses_are_kept() -> None:
    trace = Trace()
    datagram = encode_segment(0x10, 1)
    trace.sent(5 * MS, ("192.0.2.9", 99), ("somewhere", 1), datagram, 0)
    trace.limit = 2
    trace.sent(6 * MS, ("somewhere", 1), ("192.0.2.9", 99), b"stun", 0)
    assert trace.sent(7 * MS, "a", "b", datagram, 0) is None
    file = io.BytesIO()
    names = {("somewhere", 1): V4[0]}
    assert write_pcap(file, trace, addresses=names) == 1
    ((at, packet),) = packets(file.getvalue())
    assert at == 5 * MS
    assert from_native(packet)[:2] == ((ipaddress.ip_address("192.0.2.9"), 99), V4[0])
