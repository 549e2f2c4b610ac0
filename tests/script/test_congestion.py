"""Slow start, congestion avoidance, fast retransmit and NewReno, segment by segment
(RFC 5681, RFC 6582, RFC 3042, RFC 6928)."""

from __future__ import annotations

import pytest

from tests.script.peers import RTO_MS, RTT_MS, client, plain
from utcp.config import Config
from utcp.testing import Script

MSS = 1000


def sent(s: Script) -> list[int]:
    """The segments sent, each by the number of its first byte in full segments."""
    firsts = [seg.seq32 - (s.iss or 0) - 1 & 0xFFFF_FFFF for seg in s.take()]
    assert all(first % MSS == 0 for first in firsts)
    return [first // MSS for first in firsts]


def ack(s: Script, n: int, more: str = "") -> list[int]:
    """All segments below number `n` are acknowledged; returns what is sent upon it."""
    s.inject(f". 1:1(0) ack {n * MSS + 1} {more}")
    return sent(s)


def start(config: Config | None = None, segments: int = 10, options: str = "mss 1000") -> Script:
    """So many segments (the initial window) are in flight, and a lot waits."""
    s = client(config or plain(initial_window=segments), options=options)
    s.write(1_000 * MSS)
    assert sent(s) == list(range(segments))
    s.advance(ms=RTT_MS)
    return s


def cwnd(s: Script) -> int:
    return int(s.conn.info().snd_cwnd) // MSS


def end(s: Script) -> None:
    s.abort()
    s.take()


@pytest.mark.parametrize(
    ("mss", "segments"), [(1460, 10), (1000, 10), (536, 10), (2000, 7), (8960, 2)]
)
def test_the_initial_window(mss: int, segments: int) -> None:
    # RFC 6928 §2: min (10*MSS, max (2*MSS, 14600)), in whole segments.
    with client(options=f"mss {mss}", path_mtu=9000) as s:
        s.write(100_000)
        assert [len(seg.payload) for seg in s.take()] == [mss] * segments
        end(s)


@pytest.mark.parametrize(("segments", "grown"), [(10, 20), (9, 10)])
def test_a_window_that_is_just_filled_grows(segments: int, grown: int) -> None:
    # Nothing waits for it, but nothing more would have found room either.
    with client(plain(), options="mss 1000") as s:
        s.write(segments * MSS)
        assert len(sent(s)) == segments
        s.advance(ms=RTT_MS)
        assert ack(s, segments) == []
        assert cwnd(s) == grown
        end(s)


def test_a_syn_lost_twice_leaves_an_initial_window_of_one() -> None:
    with Script(config=plain()) as s:
        s.connect()
        s.advance(ms=3000)
        assert len(s.take()) == 3
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1000>")
        s.take()
        s.write(10_000)
        assert sent(s) == [0]
        end(s)


@pytest.mark.rfc("MUST-19")
def test_slow_start_sends_two_for_each_one_acknowledged() -> None:
    with start(segments=2) as s:
        assert ack(s, 1) == [2, 3]
        assert ack(s, 2) == [4, 5]
        s.advance(ms=RTT_MS)
        # An ACK for two counts for two: bytes are counted (RFC 3465).
        assert ack(s, 4) == [6, 7, 8, 9]
        assert ack(s, 6) == [10, 11, 12, 13]
        assert cwnd(s) == 8
        end(s)


@pytest.mark.rfc("MUST-19")
def test_congestion_avoidance_grows_by_one_segment_for_a_window() -> None:
    with start(segments=8) as s:
        s.expect_nothing(for_ms=RTO_MS - RTT_MS - 1)
        s.advance(ms=1)
        assert sent(s) == [0]  # the time-out: ssthresh is 4
        assert s.conn.info().snd_ssthresh == 4 * MSS
        assert ack(s, 8) == [8, 9]
        assert ack(s, 9) == [10, 11]
        assert ack(s, 10) == [12, 13]
        assert cwnd(s) == 4
        for i in range(11, 14):
            assert ack(s, i) == [i + 3]
        assert ack(s, 14) == [17, 18]
        assert cwnd(s) == 5
        for i in range(15, 19):
            assert ack(s, i) == [i + 4]
        assert ack(s, 19) == [23, 24]
        assert cwnd(s) == 6
        end(s)


def test_the_window_does_not_grow_while_it_is_not_used() -> None:
    # RFC 7661 §1, RFC 5681 §3.1: an application that sends little has not probed the path.
    with client(plain(initial_window=10), options="mss 1000") as s:
        for i in range(50):
            s.write(MSS)
            assert sent(s) == [i]
            s.advance(ms=RTT_MS)
            ack(s, i + 1)
        assert cwnd(s) == 10


@pytest.mark.rfc("MUST-19")
def test_fast_retransmit_and_recovery_of_a_single_loss() -> None:
    with start(segments=10) as s:
        # Segment 0 is lost. RFC 3042: the first two duplicates let new ones out.
        assert ack(s, 0) == [10]
        assert ack(s, 0) == [11]
        # RFC 5681 §3.2: the third sends what is missing; the window is half of FlightSize, which
        # is ten without what limited transmit sent.
        assert ack(s, 0) == [0]
        assert s.conn.info().snd_ssthresh == 5 * MSS
        assert cwnd(s) == 9
        # Pipe is 12 - 3 duplicates - 1 lost + 1 resent = 9. Each further duplicate takes one off,
        # and PRR answers every other one, until five are left.
        further = [ack(s, 0) for _ in range(8)]
        assert further == [[], [], [12], [], [], [13], [14], [15]]
        # RFC 6582 §3.2 step 3: all that was outstanding is acknowledged, and there it ends.
        s.advance(ms=RTT_MS)
        assert ack(s, 12) == [16]
        assert cwnd(s) == 5
        assert s.conn.info().total_retrans == 1
        end(s)


def test_newreno_a_partial_ack_names_the_next_hole() -> None:
    with start(segments=10) as s:
        # 0, 3 and 6 are lost.
        for _ in range(3):
            ack(s, 0)
        for _ in range(4):
            ack(s, 0)
        s.advance(ms=10)
        assert ack(s, 3)[0] == 3
        s.advance(ms=10)
        assert ack(s, 6)[0] == 6
        s.advance(ms=10)
        done = ack(s, 12)
        assert all(n >= 12 for n in done)
        assert s.conn.info().total_retrans == 3
        assert cwnd(s) == 5
        end(s)


def test_a_time_out_collapses_the_window_and_sends_all_again_in_slow_start() -> None:
    with start(segments=10) as s:
        s.expect_nothing(for_ms=RTO_MS - RTT_MS - 1)
        s.advance(ms=1)
        assert sent(s) == [0]
        assert cwnd(s) == 1
        assert s.conn.info().snd_ssthresh == 5 * MSS
        # F-RTO looks whether it was needless; the duplicate that the new data causes denies that.
        assert ack(s, 1) == [10, 11]
        assert ack(s, 1) == [1]
        assert ack(s, 1) == [2]
        assert ack(s, 2) == [3, 4]
        assert ack(s, 3) == [5, 6]
        assert ack(s, 4) == [7, 8]
        assert cwnd(s) == 5
        end(s)


def test_a_second_time_out_holds_ssthresh() -> None:
    # RFC 5681 §3.1
    with start(segments=10) as s:
        s.advance(ms=RTO_MS - RTT_MS)
        assert sent(s) == [0]
        s.advance(ms=2 * RTO_MS)
        assert sent(s) == [0]
        assert s.conn.info().snd_ssthresh == 5 * MSS
        assert cwnd(s) == 1
        end(s)


def test_after_a_time_out_duplicates_start_no_fast_retransmit() -> None:
    # RFC 6582 §3.2 step 2 and §4.1: the duplicates answer what was sent again needlessly.
    with start(segments=10) as s:
        s.advance(ms=RTO_MS - RTT_MS)
        assert sent(s) == [0]
        assert ack(s, 4) == [10, 11]
        assert [ack(s, 4) for _ in range(5)] == [[4], [5], [], [], []]
        assert cwnd(s) == 2
        assert s.conn.info().snd_ssthresh == 5 * MSS
        end(s)


def test_with_sack_only_the_holes_are_sent_again() -> None:
    config = plain(sack=True, initial_window=10)
    with start(config, options="mss 1000,sackOK") as s:
        # 0, 2 and 5 are lost.
        blocks = ("1001:2001", "3001:5001", "6001:10001")
        out = ack(s, 0, f"<nop,nop,sack {blocks[0]}>")
        out += ack(s, 0, f"<nop,nop,sack {blocks[1]} {blocks[0]}>")
        out += ack(s, 0, f"<nop,nop,sack {blocks[2]} {blocks[1]} {blocks[0]}>")
        assert [n for n in out if n < 10] == [0, 2, 5]
        s.advance(ms=RTT_MS)
        assert all(n >= 10 for n in ack(s, 10))
        assert s.conn.info().total_retrans == 3
        end(s)


@pytest.mark.parametrize(("idle_ms", "segments"), [(RTO_MS, 8), (RTO_MS + 1, 4)])
def test_restart_after_idle(idle_ms: int, segments: int) -> None:
    # RFC 5681 §4.1: after more than one RTO the window is at most the initial one.
    with client(plain(initial_window=4), options="mss 1000") as s:
        s.write(8 * MSS)
        assert sent(s) == [0, 1, 2, 3]
        s.advance(ms=RTT_MS)
        assert ack(s, 4) == [4, 5, 6, 7]
        sent_at = s.now_ms
        assert cwnd(s) == 8
        s.advance(ms=RTT_MS)
        ack(s, 8)
        s.at(ms=sent_at + idle_ms)
        s.write(20 * MSS)
        assert len(sent(s)) == segments
        end(s)


def test_ack_division_gains_nothing() -> None:
    # RFC 3465: ten ACKs for a hundred bytes each are one for a segment.
    with start(segments=4) as s:
        out = []
        for i in range(1, 11):
            s.inject(f". 1:1(0) ack {i * 100 + 1}")
            out += sent(s)
        assert out == [4, 5]
        assert cwnd(s) == 5
        end(s)
