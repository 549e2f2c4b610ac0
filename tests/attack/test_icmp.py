"""Forged ICMP (RFC 5927): whoever knows addresses and ports can send it, and it needs no answer.

It must quote a sequence number that is in flight; even then it ends nothing that is established,
and makes no segment smaller than every path takes.
"""

from __future__ import annotations

import pytest

from tests.attack.foe import ACK, ADDRESS, RST, SYN, Foe
from utcp.config import Config
from utcp.core import Endpoint, Reason, events
from utcp.testing import SegmentView, encode_segment

MTU = 1500


def loaded() -> Foe:
    """A connection with ten segments in flight."""
    foe = Foe.opens(Config(pacing=False))
    foe.write(14_600)
    assert len(foe.take()) == 10
    return foe


def quote(foe: Foe, seq: int, size: int = 12) -> bytes:
    """What a router would send back of a segment that begins at `seq`."""
    return encode_segment(ACK, seq + foe.iss)[:size]


NOT_IN_FLIGHT = [0, -1, -1000, 14_601, 14_602, 100_000, 1 << 31]


@pytest.mark.parametrize("seq", NOT_IN_FLIGHT)
def test_what_is_not_in_flight_is_no_quote(seq: int) -> None:
    # RFC 5927 §4.1
    foe = loaded()
    foe.endpoint.unreachable(foe.now, ADDRESS, True, quote(foe, seq))
    foe.endpoint.packet_too_big(foe.now, ADDRESS, 600, quote(foe, seq))
    foe.turn()
    assert foe.take() == []
    assert foe.events & events.ADVICE == 0
    assert foe.conn.info().pmtu == MTU


@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_quote_too_short_for_its_number_is_none(size: int) -> None:
    foe = loaded()
    foe.endpoint.unreachable(foe.now, ADDRESS, True, quote(foe, 1, size))
    foe.endpoint.packet_too_big(foe.now, ADDRESS, 600, quote(foe, 1, size))
    foe.turn()
    assert foe.take() == []
    assert foe.events & events.ADVICE == 0
    assert foe.conn.info().pmtu == MTU


def test_eight_bytes_are_enough() -> None:
    # RFC 792 asks routers for no more than that, after the headers of IP and UDP.
    foe = loaded()
    foe.endpoint.packet_too_big(foe.now, ADDRESS, 1400, quote(foe, 1, 8))
    assert foe.conn.info().pmtu == 1400


def test_hard_errors_end_nothing_that_is_established() -> None:
    # RFC 5927 §5.2
    foe = loaded()
    for seq in range(1, 14_601, 1460):
        foe.endpoint.unreachable(foe.now, ADDRESS, True, quote(foe, seq))
        foe.turn()
    assert str(foe.state) == "ESTABLISHED"
    assert foe.take() == []
    foe.ack(14_601)
    assert foe.conn.buffered == 0


@pytest.mark.parametrize("guess", [1, 2, 7, 1 << 16, 1 << 31])
def test_connecting_is_refused_by_nobody_who_guesses(guess: int) -> None:
    foe = Foe()
    conn = foe.endpoint.connect(foe.now, ADDRESS)
    foe.turn()
    iss = foe.take()[-1].seq32
    for hard in (True, False):
        foe.endpoint.unreachable(foe.now, ADDRESS, hard, encode_segment(SYN, iss + guess))
        foe.endpoint.unreachable(foe.now, ADDRESS, hard, b"\x50")
    assert str(conn.state) == "SYN-SENT"
    foe.endpoint.unreachable(foe.now, ADDRESS, True, encode_segment(SYN, iss))
    assert conn.reason is Reason.REFUSED


@pytest.mark.parametrize("mtu", [1, 28, 68, 296, 551])
@pytest.mark.parametrize(("ipv6", "least"), [(False, 552), (True, 1280)])
def test_no_message_makes_segments_smaller_than_every_path_takes(
    mtu: int, ipv6: bool, least: int
) -> None:
    endpoint = Endpoint(Config(), bytes(32), ipv6=ipv6)
    conn = endpoint.connect(0, ADDRESS)
    burst = endpoint.poll_transmit(0)
    assert burst is not None
    syn = SegmentView(burst.data)
    endpoint.packet_too_big(0, ADDRESS, mtu, burst.data)
    reply = encode_segment(SYN | ACK, 1, syn.seq32 + 1)
    endpoint.receive(0, ADDRESS, reply, len(reply))
    assert conn.info().pmtu == least
    conn.write(bytes(100_000))
    endpoint.packet_too_big(0, ADDRESS, mtu)
    assert conn.info().pmtu == least
    while (burst := endpoint.poll_transmit(0)) is not None:
        assert not len(burst.data) > burst.segment_size < 400


def test_what_is_sent_again_for_such_messages_is_bounded() -> None:
    """A thousand of the same come to nothing more than one."""
    foe = loaded()
    sent = 0
    for _ in range(1000):
        foe.endpoint.packet_too_big(foe.now, ADDRESS, 1300, quote(foe, 1))
        foe.turn()
        sent += sum(len(segment.payload) for segment in foe.take())
    assert sent <= 14_600
    for _ in range(1000):
        foe.endpoint.packet_too_big(foe.now, ADDRESS, 68, quote(foe, 1))
        foe.turn()
        sent += sum(len(segment.payload) for segment in foe.take())
    assert sent <= 2 * 14_600
    assert foe.conn.info().pmtu == 552


def test_errors_about_nobody_leave_nothing_behind() -> None:
    endpoint = Endpoint(Config(), bytes(32))
    for number in range(1000):
        endpoint.unreachable(0, number, True)
        endpoint.packet_too_big(0, number, 600, encode_segment(RST, 1))
    assert endpoint.idle
    assert endpoint.poll_transmit(0) is None
