"""Silly windows are avoided on both sides (RFC 9293 §3.8.6.2), and the window never shrinks."""

from __future__ import annotations

import pytest

from tests.script.peers import RTO_MS, RTT_MS, client, plain
from utcp.config import Config


@pytest.mark.rfc("MUST-38", "SHLD-28")
def test_the_sender_does_not_fill_small_gaps() -> None:
    with client(win=4380) as s:
        s.write(20_000)
        s.expect(". 1:1461(1460) ack 1")
        s.expect(". 1461:2921(1460) ack 1")
        s.expect(". 2921:4381(1460) ack 1")
        # The edge moves by little: nothing goes. By half of the greatest window, or a segment: go.
        s.inject(". 1:1(0) ack 1461 win 3020")
        s.expect_nothing()
        s.inject(". 1:1(0) ack 2921 win 2919")
        s.expect_nothing()
        s.inject(". 1:1(0) ack 4381 win 2000")
        s.expect(". 4381:5841(1460) ack 1")
        s.inject(". 1:1(0) ack 5841 win 20000")
        s.take()
        s.inject(". 1:1(0) ack 20001 win 20000")
        s.take()


@pytest.mark.rfc("MUST-38")
def test_half_of_the_greatest_window_is_enough() -> None:
    with client(win=1000) as s:
        s.write(5000)
        s.expect(". 1:1001(1000) ack 1")
        s.inject(". 1:1(0) ack 1001 win 499")
        s.expect_nothing()
        s.inject(". 1:1(0) ack 1001 win 500")
        s.expect(". 1001:1501(500) ack 1")
        s.conn.abort()
        s.advance(ms=1)
        s.take()


@pytest.mark.rfc("MUST-38")
def test_the_override_time_out_sends_what_fits() -> None:
    with client(win=1000) as s:
        s.write(5000)
        s.expect(". 1:1001(1000) ack 1")
        s.advance(ms=RTT_MS)
        s.inject(". 1:1(0) ack 1001 win 300")
        s.expect_nothing(for_ms=RTO_MS - 1)
        s.expect(". 1001:1301(300) ack 1", at_ms=2 * RTT_MS + RTO_MS)
        s.advance(ms=RTT_MS)
        s.inject(". 1:1(0) ack 1301 win 300")
        s.expect(". 1301:1601(300) ack 1", within_ms=RTO_MS)
        s.inject(". 1:1(0) ack 1601 win 10000")
        s.take()
        s.inject(". 1:1(0) ack 5001 win 10000")


@pytest.mark.rfc("MUST-38")
def test_the_override_time_out_is_at_most_a_second() -> None:
    with client(plain(rto_min=20.0), win=1000) as s:
        s.write(5000)
        s.expect(". 1:1001(1000) ack 1")
        s.inject(". 1:1(0) ack 1001 win 300")
        s.expect(". 1001:1301(300) ack 1", at_ms=RTT_MS + 1000)
        s.inject(". 1:1(0) ack 1301 win 10000")
        s.take()
        s.inject(". 1:1(0) ack 5001 win 10000")


@pytest.mark.rfc("MUST-39", "SHLD-14")
def test_the_receiver_keeps_the_right_edge_until_it_can_move_by_a_segment() -> None:
    with client(plain(recv_buffer=10_000)) as s:
        seq = 1
        for _ in range(6):
            s.inject(f". {seq}:{seq + 1460}(1460) ack 1")
            seq += 1460
        assert [(seg.ack32 - s.peer_iss, seg.window) for seg in s.take()] == [
            (2921, 10_000 - 2920),
            (5841, 10_000 - 5840),
            (8761, 10_000 - 8760),
        ]
        # 1240 bytes of window are left. Reading a little opens nothing.
        s.read(500)
        s.expect_nothing()
        s.inject(f". {seq}:{seq + 100}(100) ack 1")
        s.expect(f". 1:1(0) ack {seq + 100} win 1140", within_ms=40)
        s.read(959)
        s.expect_nothing()
        # One segment's worth of room beyond the old edge: it moves.
        s.read(1)
        s.expect(f". 1:1(0) ack {seq + 100} win {1140 + 1460}")


@pytest.mark.rfc("MUST-39")
def test_a_small_buffer_opens_by_halves() -> None:
    with client(plain(recv_buffer=2048)) as s:
        s.inject(". 1:1461(1460) ack 1", "P. 1461:2049(588) ack 1")
        s.expect(". 1:1(0) ack 2049 win 0", within_ms=40)
        s.read(1023)
        s.expect_nothing()
        s.read(1)
        s.expect(". 1:1(0) ack 2049 win 1024")


def test_reading_from_a_window_that_is_wide_open_says_nothing() -> None:
    with client() as s:
        s.inject("P. 1:1001(1000) ack 1")
        s.expect(". 1:1(0) ack 1001", within_ms=40)
        s.read()
        s.expect_nothing(for_ms=1000)


@pytest.mark.rfc("SHLD-14", "MUST-1")
@pytest.mark.parametrize("size", [1, 7, 100, 1460])
@pytest.mark.parametrize("buffer", [10_000, 1 << 20])
def test_the_right_edge_never_moves_left(buffer: int, size: int) -> None:
    config = Config(timestamps=False, sack=False, ecn=False, recv_buffer=buffer)
    with client(config, options="mss 1460,nop,wscale 0") as s:
        shift = s.conn.rcv.rcv_wscale
        edge = seq = 1
        for i in range(3000):
            s.inject(f"P. {seq}:{seq + size}({size}) ack 1")
            for seg in s.take():
                ack = seg.ack32 - s.peer_iss & 0xFFFF_FFFF
                assert ack + (seg.window << shift) >= edge
                edge = ack + (seg.window << shift)
                seq = ack
            seq = s.conn.rcv.rcv_nxt - s.conn.rcv.irs
            if i % 40 == 39:
                s.read(20 * size)
            if edge - seq < size:
                break
        assert s.conn.readable <= buffer
        s.advance(ms=100)
        s.take()
