"""When the receiver acknowledges (RFC 9293 §3.8.6.3, RFC 5681 §4.2)."""

from __future__ import annotations

import pytest

from tests.script.peers import RTT_MS, client, plain
from utcp.config import Config
from utcp.testing import Script


@pytest.mark.rfc("SHLD-18", "MUST-40")
def test_a_lone_segment_is_acknowledged_after_40_ms() -> None:
    with client() as s:
        s.inject("P. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 11", at_ms=RTT_MS + 40)
        s.expect_nothing(for_ms=1000)


@pytest.mark.rfc("MUST-40")
def test_the_delay_is_below_half_a_second_whatever_is_asked_for() -> None:
    assert Config().delayed_ack < 0.5
    with pytest.raises(ValueError, match="delayed_ack"):
        Config(delayed_ack=0.5)
    with client(plain(delayed_ack=0.499)) as s:
        s.inject("P. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 11", at_ms=RTT_MS + 499)


def test_the_delay_counts_from_the_first_segment() -> None:
    with client() as s:
        s.inject("P. 1:11(10) ack 1")
        s.advance(ms=30)
        s.inject("P. 11:21(10) ack 1")
        s.expect(". 1:1(0) ack 21", at_ms=RTT_MS + 40)


@pytest.mark.rfc("SHLD-19")
def test_every_second_full_segment_is_acknowledged_at_once() -> None:
    with client() as s:
        for seq in range(1, 1 + 6 * 1460, 2 * 1460):
            s.inject(f". {seq}:{seq + 1460}(1460) ack 1")
            s.expect_nothing()
            s.inject(f". {seq + 1460}:{seq + 2920}(1460) ack 1")
            s.expect(f". 1:1(0) ack {seq + 2920}")


@pytest.mark.rfc("SHLD-19")
def test_full_segments_are_as_full_as_they_come() -> None:
    # The peer's segments are smaller than our MSS, and still every second one is acknowledged.
    with client() as s:
        s.inject(". 1:1001(1000) ack 1")
        s.expect_nothing()
        s.inject(". 1001:2001(1000) ack 1")
        s.expect(". 1:1(0) ack 2001")


@pytest.mark.rfc("MUST-58", "MUST-59")
def test_one_ack_answers_all_segments_that_arrive_together() -> None:
    with client() as s:
        s.inject(*(f". {seq}:{seq + 1460}(1460) ack 1" for seq in range(1, 1 + 10 * 1460, 1460)))
        s.expect(". 1:1(0) ack 14601")
        s.expect_nothing(for_ms=1000)


@pytest.mark.rfc("MUST-58")
def test_data_carries_the_ack() -> None:
    with client() as s:
        s.inject("P. 1:11(10) ack 1")
        s.advance(ms=10)
        s.write(5)
        s.expect("P. 1:6(5) ack 11")
        s.inject(". 11:11(0) ack 6")
        s.expect_nothing(for_ms=1000)


def out_of_order() -> Script:
    s = client()
    s.inject(". 1461:2921(1460) ack 1")
    return s


def test_out_of_order_is_acknowledged_at_once_every_time() -> None:
    with out_of_order() as s:
        s.expect(". 1:1(0) ack 1")
        for seq in (2921, 5841, 4381):
            s.inject(f". {seq}:{seq + 1460}(1460) ack 1")
            s.expect(". 1:1(0) ack 1")


def test_what_fills_a_hole_is_acknowledged_at_once() -> None:
    with out_of_order() as s:
        s.inject(". 4381:5841(1460) ack 1")
        s.take()
        # A part of the hole ...
        s.inject(". 1:101(100) ack 1")
        s.expect(". 1:1(0) ack 101")
        # ... the first hole, with another above it ...
        s.inject(". 101:1461(1360) ack 1")
        s.expect(". 1:1(0) ack 2921")
        # ... and the last one.
        s.inject(". 2921:4381(1460) ack 1")
        s.expect(". 1:1(0) ack 5841")


def test_a_duplicate_is_acknowledged_at_once() -> None:
    with client() as s:
        s.inject("P. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 11", within_ms=40)
        s.inject("P. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 11")
        # Partly old:
        s.inject("P. 1:21(20) ack 1")
        s.expect(". 1:1(0) ack 21")
        assert s.conn.readable == 20


def test_an_ack_is_never_acknowledged() -> None:
    with client() as s:
        for _ in range(10):
            s.inject(". 1:1(0) ack 1")
        s.expect_nothing(for_ms=1000)


def test_without_delay() -> None:
    with client(plain(delayed_ack=0.0)) as s:
        s.inject("P. 1:2(1) ack 1")
        s.expect(". 1:1(0) ack 2", at_ms=RTT_MS)
