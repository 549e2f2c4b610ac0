"""Timestamps and PAWS (RFC 7323 §3 to §5)."""

from __future__ import annotations

import pytest

from tests.script.peers import client, plain
from utcp.core import State
from utcp.testing import Script

STAMPED = plain(timestamps=True)
_24_DAYS_MS = 24 * 86_400_000


def stamped() -> Script:
    """The peer's TSval is 1000 so far; ours was 0 in the SYN, at 0 ms."""
    s = Script(config=STAMPED)
    s.connect()
    s.expect("S 0:0(0) <mss 1460,TS val 0 ecr 0>")
    s.advance(ms=100)
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 1000 ecr 0>")
    s.expect(". 1:1(0) ack 1 <nop,nop,TS val 100 ecr 1000>")
    s.take_events()
    return s


def test_every_segment_carries_them_once_agreed() -> None:
    with stamped() as s:
        s.write(3000)
        segments = s.take()
        assert [len(seg.payload) for seg in segments] == [1448, 1448, 104]
        assert all(seg.timestamps for seg in segments)
        s.inject(". 1:1(0) ack 3001 <nop,nop,TS val 1100 ecr 100>")
        s.abort()
        # RFC 7323 §5.2: upon a user abort, too.
        s.expect("R. 3001:3001(0) ack 1 <nop,nop,TS val 100 ecr 1100>")
        # And in answer to a segment that has them: TSval 0, TSecr that of the segment.
        s.inject(". 1:1(0) ack 3001 <nop,nop,TS val 1200 ecr 100>")
        assert s.take()[-1].timestamps == (0, 1200)
        s.inject(". 1:1(0) ack 3001")
        s.expect("R 3001:3001(0) <>")


def test_without_the_peers_option_none_are_sent() -> None:
    with client(STAMPED, options="mss 1460") as s:
        s.write(10)
        s.expect("P. 1:11(10) ack 1 <>")
        s.inject(". 1:1(0) ack 11 <nop,nop,TS val 5 ecr 5>")
        s.write(10)
        s.expect("P. 11:21(10) ack 1 <>")
        s.inject(". 1:1(0) ack 21")


def test_the_clock_ticks_in_milliseconds() -> None:
    with stamped() as s:
        s.advance(ms=1234)
        s.write(1)
        s.expect("P. 1:2(1) ack 1 <nop,nop,TS val 1334 ecr 1000>")
        s.inject(". 1:1(0) ack 2 <nop,nop,TS val 1001 ecr 1334>")


def test_ts_recent_is_that_of_the_segment_that_the_ack_answers() -> None:
    # §4.3 (2): with a delayed ACK the first of the two, for it tells the whole round trip.
    with stamped() as s:
        s.inject(". 1:1449(1448) ack 1 <nop,nop,TS val 1010 ecr 100>")
        s.advance(ms=10)
        s.inject(". 1449:2897(1448) ack 1 <nop,nop,TS val 1020 ecr 100>")
        s.expect(". 1:1(0) ack 2897 <nop,nop,TS val * ecr 1010>")
        s.inject("P. 2897:2898(1) ack 1 <nop,nop,TS val 1030 ecr 100>")
        s.expect(". 1:1(0) ack 2898 <nop,nop,TS val * ecr 1030>", within_ms=40)


def test_what_is_out_of_order_does_not_set_ts_recent() -> None:
    # §4.3: of a hole, the last segment that was in order; when it is filled, the one that did it.
    with stamped() as s:
        s.inject(". 101:201(100) ack 1 <nop,nop,TS val 1010 ecr 100>")
        s.expect(". 1:1(0) ack 1 <nop,nop,TS val * ecr 1000>")
        s.inject(". 1:101(100) ack 1 <nop,nop,TS val 1005 ecr 100>")
        s.expect(". 1:1(0) ack 201 <nop,nop,TS val * ecr 1005>")


def test_what_a_retransmission_overtakes_is_not_old() -> None:
    # §5.2: while there is a hole, the value to compare with is that of what came before the first
    # one. Else the filling of one hole would make others of what is late on the way.
    with stamped() as s:
        s.inject(". 1:101(100) ack 1 <nop,nop,TS val 1010 ecr 100>")
        s.inject(". 301:401(100) ack 1 <nop,nop,TS val 1013 ecr 100>")
        s.expect(". 1:1(0) ack 101 <nop,nop,TS val * ecr 1010>")
        # 101 was lost, and 201 is late.
        s.inject(". 101:201(100) ack 1 <nop,nop,TS val 1050 ecr 100>")
        s.expect(". 1:1(0) ack 201 <nop,nop,TS val * ecr 1050>")
        s.inject(". 501:601(100) ack 1 <nop,nop,TS val 1009 ecr 100>")
        s.expect(". 1:1(0) ack 201 <nop,nop,TS val * ecr 1050>")
        assert s.endpoint.counters.paws_drops == 1
        # It fills a hole, and TS.Recent stays (§4.3 (2)).
        s.inject(". 201:301(100) ack 1 <nop,nop,TS val 1010 ecr 100>")
        s.expect(". 1:1(0) ack 401 <nop,nop,TS val * ecr 1050>")
        assert s.endpoint.counters.paws_drops == 1
        # Nothing is missing any more.
        s.inject(". 401:501(100) ack 1 <nop,nop,TS val 1049 ecr 100>")
        s.expect(". 1:1(0) ack 401 <nop,nop,TS val * ecr 1050>")
        assert s.endpoint.counters.paws_drops == 2


def test_paws_drops_what_is_older_and_acknowledges_it() -> None:
    with stamped() as s:
        s.inject("P. 1:11(10) ack 1 <nop,nop,TS val 999 ecr 100>")
        s.expect(". 1:1(0) ack 1 <nop,nop,TS val 100 ecr 1000>")
        assert s.conn.readable == 0
        assert s.endpoint.counters.paws_drops == 1
        # Equal is not older.
        s.inject("P. 1:11(10) ack 1 <nop,nop,TS val 1000 ecr 100>")
        s.expect(". 1:1(0) ack 11", within_ms=40)
        # Nor is what lies ahead by less than half of the range, as when the clock wraps.
        s.inject(f"P. 11:21(10) ack 1 <nop,nop,TS val {1000 + (1 << 31) - 1} ecr 100>")
        s.expect(". 1:1(0) ack 21", within_ms=40)
        s.inject("P. 21:31(10) ack 1 <nop,nop,TS val 998 ecr 100>")
        s.expect(". 1:1(0) ack 31", within_ms=40)


def test_paws_takes_back_nothing_of_an_old_acknowledgment() -> None:
    with stamped() as s:
        s.write(10)
        s.take()
        s.inject(". 1:1(0) ack 11 win 5 <nop,nop,TS val 999 ecr 100>")
        assert s.conn.buffered == 10
        assert s.conn.info().snd_wnd == 65_535
        s.take()
        s.inject(". 1:1(0) ack 11 <nop,nop,TS val 1000 ecr 100>")
        assert s.conn.buffered == 0


def test_after_24_idle_days_ts_recent_is_outdated() -> None:
    # §5.5
    with stamped() as s:
        s.advance(ms=_24_DAYS_MS - 1)
        s.inject("P. 1:11(10) ack 1 <nop,nop,TS val 999 ecr 100>")
        s.expect(". 1:1(0) ack 1")
        s.advance(ms=1)
        s.inject("P. 1:11(10) ack 1 <nop,nop,TS val 999 ecr 100>")
        s.expect(". 1:1(0) ack 11 <nop,nop,TS val * ecr 999>", within_ms=40)


@pytest.mark.parametrize("text", ["P. 1:11(10) ack 1", ". 1:1(0) ack 11", "F. 1:1(0) ack 1"])
def test_a_segment_without_them_is_dropped(text: str) -> None:
    # §3.2
    with stamped() as s:
        s.write(10)
        s.take()
        s.inject(text)
        s.expect_nothing(for_ms=100)
        assert s.conn.readable == 0
        assert s.conn.buffered == 10
        s.expect_state(State.ESTABLISHED)
        s.inject(". 1:1(0) ack 11 <nop,nop,TS val 1000 ecr 100>")


def test_a_reset_needs_none() -> None:
    for text in ("R 1:1(0)", "R. 1:1(0) ack 1 <nop,nop,TS val 5 ecr 0>"):
        with stamped() as s:
            s.inject(text)
            s.expect_state(State.CLOSED)
