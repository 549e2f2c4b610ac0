"""Retransmission: times exact to the nanosecond (RFC 6298), and when to give up (§3.8.3)."""

from __future__ import annotations

import pytest

from tests.script.peers import RTO_MS, RTT_MS, client, plain
from utcp.config import Config
from utcp.core import Reason, State, events
from utcp.testing import SECOND, Script


@pytest.mark.rfc("MUST-19")
def test_the_rto_follows_the_measured_round_trip() -> None:
    with client() as s:
        assert s.conn.info().rto == RTO_MS * 1000
        s.write(10)
        s.expect("P. 1:11(10) ack 1", at_ms=RTT_MS)
        s.expect("P. 1:11(10) ack 1", at_ms=RTT_MS + RTO_MS)
        s.inject(". 1:1(0) ack 11")


@pytest.mark.rfc("MUST-19")
def test_each_time_out_doubles_the_wait_up_to_the_maximum() -> None:
    with client(plain(rto_max=2.0)) as s:
        s.write(10)
        at = RTT_MS
        for wait in (0, 300, 600, 1200, 2000, 2000, 2000):
            at += wait
            s.expect("P. 1:11(10) ack 1", at_ms=at)
        s.inject(". 1:1(0) ack 11")
        s.expect_nothing(for_ms=10_000)


@pytest.mark.rfc("MUST-18")
def test_karn_an_ack_of_what_was_sent_twice_says_nothing_of_the_round_trip() -> None:
    with client() as s:
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        s.expect("P. 1:11(10) ack 1", at_ms=RTT_MS + RTO_MS)
        s.advance(ms=20)
        before = s.conn.info()
        s.inject(". 1:1(0) ack 11")
        after = s.conn.info()
        assert (after.rtt, after.rttvar, after.rto) == (before.rtt, before.rttvar, before.rto)
        # RFC 6298 §5, and §3: the doubled time-out stays until something sent once is acknowledged.
        assert after.rto == 2 * RTO_MS * 1000
        s.write(10)
        s.expect("P. 11:21(10) ack 1")
        s.advance(ms=100)
        s.inject(". 1:1(0) ack 21")
        # RTTVAR = 3/4 * 50 + 1/4 * |100 - 100| = 37.5; SRTT = 100
        assert s.conn.info().rtt == 100_000
        assert s.conn.info().rttvar == 37_500
        assert s.conn.info().rto == 300_000


def test_an_ack_that_advances_starts_the_timer_anew_and_the_last_one_stops_it() -> None:
    # RFC 6298 §5 (5.1) to (5.3)
    with client() as s:
        s.write(1460)
        s.expect("P. 1:1461(1460) ack 1")
        s.advance(ms=100)
        s.write(10)
        s.expect("P. 1461:1471(10) ack 1")
        # Sending more does not move the timer, acknowledging does.
        s.advance(ms=100)
        s.inject(". 1:1(0) ack 1461")
        rto_ms = s.conn.info().rto / 1000
        s.expect("P. 1461:1471(10) ack 1", at_ms=s.now_ms + rto_ms)
        s.inject(". 1:1(0) ack 1471")
        s.expect_nothing(for_ms=60_000)


@pytest.mark.rfc("MUST-20", "MUST-21", "SHLD-9", "SHLD-10", "SHLD-11", "MUST-47")
def test_r1_is_reported_and_r2_ends_the_connection() -> None:
    config = plain(retries2=5)
    assert config.retries1 >= 3
    with client(config) as s:
        s.write(10)
        at = RTT_MS
        s.expect("P. 1:11(10) ack 1", at_ms=at)
        for n, wait in enumerate((300, 600, 1200, 2400, 4800), start=1):
            assert bool(s.take_events() & events.ADVICE) == (n == 4)
            at += wait
            s.expect("P. 1:11(10) ack 1", at_ms=at)
        assert s.conn.soft_error == "retransmissions"
        s.expect_nothing(for_ms=9599)
        s.expect_state(State.ESTABLISHED)
        s.advance(ms=1)
        s.expect_state(State.CLOSED)
        assert s.take_events() & events.CLOSED
        assert s.conn.reason is Reason.TIMED_OUT
        s.expect_nothing(for_ms=100_000)


@pytest.mark.rfc("SHLD-11")
def test_r2_is_at_least_100_seconds() -> None:
    with client() as s:
        s.write(10)
        s.advance(ms=100_000)
        s.expect_state(State.ESTABLISHED)
        s.advance(ms=3_600_000)
        s.expect_state(State.CLOSED)
        assert len(s.take()) == 1 + Config().retries2


def test_acks_that_acknowledge_nothing_do_not_put_off_r2() -> None:
    # A peer that goes on sending, yet does not acknowledge, has lost us.
    with client(plain(retries2=4, retries1=3)) as s:
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        at = RTT_MS
        for n, wait in enumerate((300, 600, 1200, 2400)):
            at += wait
            s.expect(f"P. 1:11(10) ack {1 + n}", at_ms=at)
            s.inject(f"P. {1 + n}:{2 + n}(1) ack 1")
            s.at(ms=at + 40)
            s.expect(f". 11:11(0) ack {2 + n}")
        s.advance(ms=5000)
        s.expect_state(State.CLOSED)
        assert s.conn.reason is Reason.TIMED_OUT


def test_progress_starts_the_count_anew() -> None:
    with client(plain(retries2=4, retries1=3)) as s:
        s.write(2)
        s.take()
        for i in (2, 3):
            s.advance(ms=3000)
            s.expect_state(State.ESTABLISHED)
            s.take()
            s.inject(f". 1:1(0) ack {i}")
            assert s.conn.info().retransmits == 0
        s.take()


@pytest.mark.rfc("MUST-22", "MUST-23")
def test_a_syn_is_retransmitted_for_three_minutes_at_least() -> None:
    with Script(config=plain()) as s:
        s.connect()
        for at in (0, 1, 3, 7, 15, 31, 63, 127):
            s.expect("S 0:0(0) <mss 1460>", at_ms=at * 1000)
        assert s.take_events() & events.ADVICE
        s.at(ms=180_000)
        s.expect_state(State.SYN_SENT)
        s.at(ms=(127 + 120) * 1000)
        s.expect_state(State.CLOSED)
        assert s.conn.reason is Reason.TIMED_OUT
        assert s.take_events() == events.CLOSED


@pytest.mark.rfc("MUST-22")
def test_r2_of_a_syn_can_be_set() -> None:
    with Script(config=plain(syn_retries=1)) as s:
        s.connect()
        s.expect("S 0:0(0)", at_ms=0)
        s.expect("S 0:0(0)", at_ms=1000)
        s.at(ms=3000)
        s.expect_state(State.CLOSED)


def test_a_lost_syn_leaves_a_time_out_of_three_seconds() -> None:
    # RFC 6298 §5 (5.7)
    with Script(config=plain()) as s:
        s.connect()
        s.expect("S 0:0(0)", at_ms=0)
        s.expect("S 0:0(0)", at_ms=1000)
        s.at(ms=1100)
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 1")
        assert s.conn.info().rtt == 0
        s.write(10)
        s.expect("P. 1:11(10) ack 1", at_ms=1100)
        s.expect("P. 1:11(10) ack 1", at_ms=4100)
        s.inject(". 1:1(0) ack 11")


def test_a_lost_syn_ack_is_sent_again() -> None:
    with Script(config=plain()) as s:
        s.listen()
        s.inject("S 0:0(0) win 65535 <mss 1460>")
        for at in (0, 1, 3, 7, 15, 31):
            s.expect("S. 0:0(0) ack 1 <mss 1460>", at_ms=at * 1000)
        s.at(ms=63_000)
        s.expect_state(State.CLOSED)
        assert s.conn is None  # the application never hears of it


def test_a_fin_is_retransmitted_like_data() -> None:
    with client() as s:
        s.close()
        s.expect("F. 1:1(0) ack 1", at_ms=RTT_MS)
        s.expect("F. 1:1(0) ack 1", at_ms=RTT_MS + 300)
        s.expect("F. 1:1(0) ack 1", at_ms=RTT_MS + 900)
        s.inject(". 1:1(0) ack 2")
        s.expect_state(State.FIN_WAIT_2)
        s.expect_nothing(for_ms=10_000)


def test_after_a_time_out_segments_are_cut_anew() -> None:
    with client() as s:
        for size in (10, 20, 30):
            s.write(size)
        s.expect("P. 1:11(10) ack 1")
        s.expect("P. 11:31(20) ack 1")
        s.expect("P. 31:61(30) ack 1")
        s.expect("P. 1:61(60) ack 1", at_ms=RTT_MS + RTO_MS)
        s.inject(". 1:1(0) ack 61")


def test_the_user_time_out_counts_from_the_last_progress() -> None:
    with client(plain(user_timeout=10.0)) as s:
        s.write(20)
        s.advance(ms=5000)
        s.take()
        s.inject(". 1:1(0) ack 11")
        s.advance(ms=9999)
        s.expect_state(State.ESTABLISHED)
        s.take()
        s.advance(ms=1)
        s.expect("R. 21:21(0) ack 1")
        s.expect_state(State.CLOSED)
        assert s.conn.reason is Reason.TIMED_OUT


def test_a_user_time_out_set_while_something_is_in_flight() -> None:
    with client() as s:
        s.write(20)
        s.conn.user_timeout_ns = 10 * 10**9
        s.advance(ms=9999)
        s.take()
        s.expect_state(State.ESTABLISHED)
        s.advance(ms=1)
        s.expect("R. 21:21(0) ack 1")
        assert s.conn.reason is Reason.TIMED_OUT


def test_a_user_time_out_made_shorter_holds_from_the_next_retransmission_on() -> None:
    with client(plain(user_timeout=60.0)) as s:
        s.write(100)
        s.take()
        s.conn.user_timeout_ns = 2 * SECOND
        s.advance(ms=5000)
        s.take()
        s.expect_state(State.CLOSED)
        assert s.conn.reason is Reason.TIMED_OUT


def after_an_outage() -> Script:
    """Four segments were lost at 100 ms, and a tail loss probe, and then the first of them five
    times more. It went once more at 19210 ms, and the RTO is 19.2 s."""
    s = Script(config=plain(timestamps=True, sack=True))
    s.connect()
    s.expect("S 0:0(0) <mss 1460,sackOK,TS val 1000 ecr 0>")
    s.at(ms=RTT_MS)
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 1 ecr 1000>")
    s.write(4 * 1448)
    s.at(ms=19_200)
    s.take()
    s.expect(". 1:1449(1448) ack 1 <nop,nop,TS val 20210 ecr 1>", at_ms=19_210)
    assert s.conn.info().rto == 19_200_000
    return s


def test_with_timestamps_the_ack_of_a_retransmission_ends_the_backoff() -> None:
    # RFC 6298 §3: the echo tells which of them was answered.
    with after_an_outage() as s:
        s.at(ms=19_310)
        s.inject(". 1:1(0) ack 1449 win 65535 <nop,nop,TS val 2 ecr 20210>")
        s.expect(". 1449:2897(1448) ack 1")
        s.expect(". 2897:4345(1448) ack 1")
        # Both are lost, too.
        s.expect(". 1449:2897(1448) ack 1", at_ms=19_310 + RTO_MS)


@pytest.mark.parametrize("ecr", [0, 1100, 1309, 10_610, 20_412, 1 << 31])
def test_no_other_timestamp_ends_the_backoff(ecr: int) -> None:
    # None, of what was sent before, of an earlier retransmission whose ACK was lost (what waits
    # below Last.ACK.sent does not change TS.Recent), or of nothing that was sent yet.
    with after_an_outage() as s:
        s.at(ms=19_310)
        s.inject(f". 1:1(0) ack 1449 win 65535 <nop,nop,TS val 2 ecr {ecr}>")
        s.take()
        assert s.conn.info().rto == 19_200_000
