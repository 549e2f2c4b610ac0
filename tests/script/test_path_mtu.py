"""The path's MTU drops in the middle of a transfer (RFC 9293 §3.7.2)."""

from __future__ import annotations

import pytest

from tests.script.peers import RTT_MS, client, plain
from utcp.testing import Script


def lengths(s: Script) -> list[tuple[int, int]]:
    base = (s.iss or 0) + 1
    return [(seg.seq32 - base & 0xFFFF_FFFF, len(seg.payload)) for seg in s.take()]


@pytest.mark.rfc("MUST-16", "SHLD-6")
def test_what_is_in_flight_is_cut_anew_and_sent_again_at_once() -> None:
    with client(path_mtu=9000, options="mss 8960") as s:
        s.write(20_000)
        assert lengths(s) == [(0, 8960), (8960, 8960)]
        s.advance(ms=10)
        s.packet_too_big(1500)
        # RFC 5681 §3.1: the window stays the same number of segments.
        assert lengths(s) == [(0, 1460), (1460, 1460)]
        assert s.conn.info().snd_cwnd == 2 * 1460
        assert s.conn.info().pmtu == 1500
        assert s.conn.info().snd_mss == 1460
        s.advance(ms=RTT_MS)
        s.inject(". 1:1(0) ack 17921")
        s.take()
        s.inject(". 1:1(0) ack 20001")


def test_what_is_small_enough_is_not_sent_again() -> None:
    with client() as s:
        s.write(100)
        assert lengths(s) == [(0, 100)]
        s.advance(ms=1)
        s.write(600)
        assert lengths(s) == [(100, 600)]
        s.packet_too_big(1000)
        s.expect_nothing()
        # What is in flight now may have left in one segment, for all we know.
        s.packet_too_big(700)
        assert lengths(s) == [(0, 660), (660, 40)]
        s.inject(". 1:1(0) ack 701")


def test_small_writes_that_a_time_out_has_joined_are_cut_again() -> None:
    with client() as s:
        for i in range(4):
            s.write(330)
            s.take()
            s.advance(ms=i)
        s.advance(ms=1000)
        assert lengths(s)[-1] == (0, 1320)
        s.packet_too_big(1000)
        assert lengths(s) == [(0, 960)]
        s.inject(". 1:1(0) ack 961")
        s.take()
        s.inject(". 1:1(0) ack 1321")


@pytest.mark.parametrize("writes", [1, 4])
def test_a_path_that_swallows_large_segments_gets_smaller_ones(writes: int) -> None:
    # RFC 8899 §4.3; what was written in small pieces has been joined to go again.
    with client(plain(mtu_probing=True)) as s:
        for _ in range(writes):
            s.write(1320 // writes)
        s.advance(ms=20_000)
        s.take()
        assert s.conn.info().snd_mss < 1320
        s.inject(". 1:1(0) ack 1321")


def test_segments_are_smaller_from_then_on() -> None:
    with client() as s:
        s.packet_too_big(1000)
        s.write(2000)
        assert lengths(s) == [(0, 960), (960, 960), (1920, 80)]
        s.inject(". 1:1(0) ack 2001")


def test_an_mtu_below_all_reason_is_not_believed() -> None:
    # RFC 5927 §7: else anybody could have us send one segment per byte.
    with client() as s:
        s.packet_too_big(68)
        assert s.conn.info().pmtu == 552
        s.packet_too_big(4000)
        assert s.conn.info().pmtu == 552
        s.write(1000)
        assert lengths(s) == [(0, 512), (512, 488)]
        s.inject(". 1:1(0) ack 1001")


def test_during_the_handshake_of_a_passive_open() -> None:
    with Script(config=plain()) as s:
        s.listen()
        s.inject("S 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1 <mss 1460>")
        s.packet_too_big(1000)
        s.expect_nothing()
        s.inject(". 1:1(0) ack 1")
        s.take()
        s.write(2000)
        assert lengths(s) == [(0, 960), (960, 960), (1920, 80)]
        s.inject(". 1:1(0) ack 2001")


def test_during_the_handshake_of_an_active_open() -> None:
    with Script(config=plain()) as s:
        s.connect()
        s.take()
        s.packet_too_big(1000)
        s.expect_nothing()
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.take()
        s.write(2000)
        assert lengths(s) == [(0, 960), (960, 960), (1920, 80)]
        s.inject(". 1:1(0) ack 2001")
