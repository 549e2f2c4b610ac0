"""Small segments: Nagle on and off (RFC 9293 §3.7.4), and how writes become segments."""

from __future__ import annotations

import pytest

from tests.script.peers import client, plain
from utcp.core.segment import PSH

NAGLE = plain(nodelay=False)


@pytest.mark.rfc("SHLD-7", "MUST-38")
def test_a_small_segment_waits_while_another_is_not_acknowledged() -> None:
    with client(NAGLE) as s:
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        s.write(20)
        s.write(30)
        s.expect_nothing(for_ms=100)
        s.inject(". 1:1(0) ack 11")
        s.expect("P. 11:61(50) ack 1")
        s.inject(". 1:1(0) ack 61")


@pytest.mark.rfc("SHLD-7", "SHLD-28")
def test_a_full_segment_does_not_wait() -> None:
    with client(NAGLE) as s:
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        s.write(2000)
        s.expect(". 11:1471(1460) ack 1")
        s.expect_nothing()
        s.inject(". 1:1(0) ack 1471")
        s.expect("P. 1471:2011(540) ack 1")
        s.inject(". 1:1(0) ack 2011")


def test_the_tail_of_a_large_write_does_not_wait_for_its_beginning() -> None:
    # Appendix A.3: else the peer's delayed ACK would hold up the end of every message.
    with client(NAGLE) as s:
        s.write(2000)
        s.expect(". 1:1461(1460) ack 1")
        s.expect("P. 1461:2001(540) ack 1")
        s.write(10)
        s.expect_nothing(for_ms=50)
        s.inject(". 1:1(0) ack 1461")
        s.expect_nothing(for_ms=50)
        s.inject(". 1:1(0) ack 2001")
        s.expect("P. 2001:2011(10) ack 1")
        s.inject(". 1:1(0) ack 2011")


@pytest.mark.rfc("MUST-17")
def test_it_can_be_turned_off_and_on_again() -> None:
    with client(NAGLE) as s:
        s.conn.nodelay = True
        s.write(10)
        s.write(20)
        s.expect("P. 1:11(10) ack 1")
        s.expect("P. 11:31(20) ack 1")
        s.conn.nodelay = False
        s.write(30)
        s.expect_nothing(for_ms=100)
        # Turning it off lets go what waits.
        s.conn.nodelay = True
        s.advance(ms=0)
        s.write(b"")
        s.expect("P. 31:61(30) ack 1")
        s.inject(". 1:1(0) ack 61")


@pytest.mark.rfc("MUST-17")
def test_it_is_off_by_default() -> None:
    with client() as s:
        assert s.conn.nodelay
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        s.write(10)
        s.expect("P. 11:21(10) ack 1")
        s.inject(". 1:1(0) ack 21")


def test_the_end_of_the_stream_does_not_wait() -> None:
    with client(NAGLE) as s:
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        s.write(20)
        s.expect_nothing()
        s.write_eof()
        s.expect("FP. 11:31(20) ack 1")
        s.inject(". 1:1(0) ack 32")


@pytest.mark.rfc("MUST-60", "MUST-61", "SHLD-27", "SHLD-28")
def test_writes_of_one_turn_are_one_segment_with_one_push() -> None:
    with client() as s:
        for size in (10, 20, 30):
            s.conn.write(bytes(size))
        s.write(b"")
        assert [(bool(seg.flags & PSH), len(seg.payload)) for seg in s.take()] == [(True, 60)]
        # Only the last segment of what there is to send carries PSH, and it always does.
        s.write(b"x" * 4000)
        assert [(bool(seg.flags & PSH), len(seg.payload)) for seg in s.take()] == [
            (False, 1460),
            (False, 1460),
            (True, 1080),
        ]
        s.inject(". 1:1(0) ack 4061")


@pytest.mark.rfc("MUST-61")
def test_a_retransmission_carries_the_push_again() -> None:
    with client() as s:
        s.write(2000)
        s.expect(". 1:1461(1460) ack 1")
        s.expect("P. 1461:2001(540) ack 1")
        s.advance(ms=100)
        s.inject(". 1:1(0) ack 1461")
        s.expect("P. 1461:2001(540) ack 1", within_ms=300)
        s.inject(". 1:1(0) ack 2001")
