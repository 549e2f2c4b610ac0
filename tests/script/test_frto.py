"""F-RTO (RFC 5682): new data after a time-out shows whether that was needless."""

from __future__ import annotations

import pytest

from tests.script.peers import RTT_MS, client, plain
from utcp.testing import Script

MSS = 1000
RTO_MS = 300


def seg(n: int) -> str:
    return f"{n * MSS + 1}:{(n + 1) * MSS + 1}({MSS})"


def timed_out(sack: bool, segments: int = 100) -> Script:
    """Ten segments went out at 100 ms and were not acknowledged; so many were written. With SACK
    there was a probe before the time-out."""
    s = client(plain(sack=sack, initial_window=10), options="mss 1000" + ",sackOK" * sack)
    s.write(segments * MSS)
    assert len(s.take()) == 10
    if sack:
        s.at(ms=310)
        assert len(s.take()) == 1
        s.expect(f". {seg(0)} ack 1", at_ms=310 + RTO_MS)
    else:
        s.expect(f". {seg(0)} ack 1", at_ms=100 + RTO_MS)
    assert s.conn.info().snd_cwnd == MSS
    return s


def stop(s: Script) -> None:
    s.abort()
    s.take()


def test_without_sack_a_needless_time_out_is_undone() -> None:
    # RFC 5682 §2.1
    with timed_out(sack=False) as s:
        s.advance(ms=50)
        s.inject(". 1:1(0) ack 1001")
        # Step 2b: two new segments instead of what is taken for lost.
        s.expect(f". {seg(10)} ack 1")
        s.expect(f". {seg(11)} ack 1")
        s.inject(". 1:1(0) ack 2001")
        # Step 3b: segment 1 was sent once, before the time-out. RFC 4015: cwnd is FlightSize and
        # what this ACK covers.
        info = s.conn.info()
        assert (info.lost, info.snd_cwnd) == (0, 11 * MSS)
        assert info.snd_ssthresh > 1 << 32
        s.expect(f". {seg(12)} ack 1")
        s.inject(". 1:1(0) ack 10001")
        assert s.conn.info().total_retrans == 1
        stop(s)


def test_without_sack_a_duplicate_means_that_it_was_needed() -> None:
    # RFC 5682 §2.1 step 3a
    with timed_out(sack=False) as s:
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(10)} ack 1")
        s.expect(f". {seg(11)} ack 1")
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(1)} ack 1")
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(2)} ack 1")
        s.inject(". 1:1(0) ack 2001")
        s.expect(f". {seg(3)} ack 1")
        s.expect(f". {seg(4)} ack 1")
        stop(s)


def test_without_sack_a_duplicate_first_means_it_too() -> None:
    # RFC 5682 §2.1 step 2a
    with timed_out(sack=False) as s:
        s.inject(". 1:1(0) ack 1")
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(1)} ack 1")
        s.expect(f". {seg(2)} ack 1")
        stop(s)


@pytest.mark.parametrize("sack", [False, True])
def test_an_ack_for_everything_proves_nothing(sack: bool) -> None:
    # RFC 5682 §2.1, §3.1 step 2a
    with timed_out(sack) as s:
        highest = s.conn.snd.snd_nxt - s.conn.snd.iss
        s.inject(f". 1:1(0) ack {highest}")
        assert s.conn.info().snd_ssthresh < 10 * MSS
        assert s.conn.info().snd_cwnd == 2 * MSS
        stop(s)


@pytest.mark.parametrize("sack", [False, True])
def test_without_new_data_recovery_goes_on(sack: bool) -> None:
    # RFC 5682 §2.1, §3.1 step 2b
    with timed_out(sack, segments=10) as s:
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(1)} ack 1")
        s.expect(f". {seg(2)} ack 1")
        stop(s)


def test_a_second_time_out_begins_again() -> None:
    # RFC 5682 §2.1: it may have been late both times.
    with timed_out(sack=False) as s:
        s.expect(f". {seg(0)} ack 1", at_ms=100 + RTO_MS + 2 * RTO_MS)
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(10)} ack 1")
        s.expect(f". {seg(11)} ack 1")
        s.inject(". 1:1(0) ack 2001")
        assert s.conn.info().lost == 0
        assert s.conn.info().snd_ssthresh > 1 << 32
        stop(s)


def test_not_in_fast_recovery() -> None:
    # RFC 5682 §2.1
    with client(plain(initial_window=10), options="mss 1000") as s:
        s.write(100 * MSS)
        s.take()
        for _ in range(3):
            s.inject(". 1:1(0) ack 1")
        assert len(s.take()) == 3
        s.expect(f". {seg(0)} ack 1", within_ms=400)
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(1)} ack 1")
        s.expect(f". {seg(2)} ack 1")
        stop(s)


def test_with_sack_data_that_was_only_late_shows_in_any_order() -> None:
    # RFC 5682 §3.1 step 3b
    with timed_out(sack=True) as s:
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(11)} ack 1")
        s.expect(f". {seg(12)} ack 1")
        s.inject(". 1:1(0) ack 1001 <nop,nop,sack 3001:4001>")
        info = s.conn.info()
        assert (info.lost, info.snd_ssthresh > 1 << 32) == (0, True)
        assert info.snd_cwnd == 10 * MSS
        stop(s)


def test_with_sack_the_new_data_means_that_it_was_needed() -> None:
    # RFC 5682 §3.1 step 3a
    with timed_out(sack=True) as s:
        s.inject(". 1:1(0) ack 1001")
        s.expect(f". {seg(11)} ack 1")
        s.expect(f". {seg(12)} ack 1")
        s.advance(ms=100)
        s.inject(". 1:1(0) ack 1001 <nop,nop,sack 11001:12001>")
        s.expect(f". {seg(1)} ack 1")
        s.inject(". 1:1(0) ack 1001 <nop,nop,sack 11001:13001>")
        s.expect(f". {seg(2)} ack 1")
        assert s.conn.info().snd_ssthresh < 10 * MSS
        stop(s)


def test_with_sack_duplicates_are_waited_out() -> None:
    # RFC 5682 §3.1 step 2
    with timed_out(sack=True) as s:
        s.inject(". 1:1(0) ack 1 <nop,nop,sack 10001:11001>")
        s.take()
        s.inject(". 1:1(0) ack 1001 <nop,nop,sack 10001:11001>")
        s.expect(f". {seg(11)} ack 1")
        stop(s)


def test_the_rtt_of_new_data_restarts_the_estimator() -> None:
    # RFC 4015 §3.1 step (11)
    with timed_out(sack=False) as s:
        s.advance(ms=50)
        s.inject(". 1:1(0) ack 1001")
        s.take()
        s.inject(". 1:1(0) ack 2001")
        s.take()
        s.inject(". 1:1(0) ack 10001")
        s.take()
        s.advance(ms=400)
        s.inject(". 1:1(0) ack 14001")
        info = s.conn.info()
        assert (info.rtt, info.rttvar, info.rto) == (400_000, 200_000, 1_200_000)
        stop(s)


def test_new_data_that_the_nagle_algorithm_holds_back_is_not_waited_for() -> None:
    # RFC 5682 §2.1 step 2b: then recovery goes on; not one more time-out for each segment.
    with client(plain(nodelay=False)) as s:
        s.write(1460)
        s.write(12)
        s.write(100)
        s.expect("P. 1:1461(1460) ack 1")
        s.expect("P. 1461:1473(12) ack 1")
        s.expect(". 1:1461(1460) ack 1", at_ms=RTT_MS + RTO_MS)
        s.advance(ms=RTT_MS)
        s.inject(". 1:1(0) ack 1461")
        s.expect(". 1461:1473(12) ack 1", at_ms=RTT_MS + RTO_MS + RTT_MS)
        s.inject(". 1:1(0) ack 1473")
        s.expect("P. 1473:1573(100) ack 1")
        s.inject(". 1:1(0) ack 1573")


def test_new_data_that_the_window_is_too_small_for_is_not_waited_for() -> None:
    # The same without Nagle: 80 bytes of window are left (RFC 9293 §3.8.6.2.1).
    with client(win=3000) as s:
        s.write(4000)
        s.expect(". 1:1461(1460) ack 1")
        s.expect(". 1461:2921(1460) ack 1")
        s.expect(". 1:1461(1460) ack 1", within_ms=RTO_MS)
        s.inject(". 1:1(0) ack 1461 win 1540")
        s.expect(". 1461:2921(1460) ack 1")
        s.inject(". 1:1(0) ack 2921 win 3000")
        s.expect("P. 2921:4001(1080) ack 1")
        s.inject(". 1:1(0) ack 4001 win 3000")
