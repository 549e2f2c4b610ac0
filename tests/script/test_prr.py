"""Proportional rate reduction (RFC 9937): the window shrinks along with what arrives."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.script.peers import RTT_MS, client, plain
from utcp.core.loss import RECOVERY
from utcp.core.prr import Prr
from utcp.testing import Script

MSS = 1000


def opened(segments: int = 20) -> Script:
    """So many segments are in flight at 100 ms, which is the congestion window."""
    s = client(plain(sack=True, initial_window=segments), options="mss 1000,sackOK", win=65_535)
    s.write(1000 * MSS)
    assert len(s.take()) == min(segments, 29)
    s.at(ms=200)
    return s


def sent(s: Script) -> str:
    """What goes out, as R and N for retransmissions and new segments."""
    out = [(seg.seq32 - (s.iss or 0) - 1) // MSS for seg in s.take()]
    letters = ""
    for n in out:
        letters += "R" if n in s.seen else "N"  # type: ignore[attr-defined]
        s.seen.add(n)  # type: ignore[attr-defined]
    return letters


def answers(s: Script, lost: int, segments: int) -> list[str]:
    """One ACK with SACK for each segment from `lost` to `segments`; what is sent for each."""
    s.seen = set(range(segments))  # type: ignore[attr-defined]
    out = []
    for n in range(lost, segments):
        s.inject(f". 1:1(0) ack 1 <nop,nop,sack {lost * MSS + 1}:{(n + 1) * MSS + 1}>")
        out.append(sent(s))
        s.advance(ms=1)
    return out


def stop(s: Script) -> None:
    s.abort()
    s.take()


def test_a_single_loss_spreads_the_reduction_over_the_round_trip() -> None:
    # RFC 6937 §3.1, the first example: two by limited transmit, the retransmission, then one for
    # every other ACK, until the flight is as large as ssthresh.
    with opened() as s:
        out = answers(s, 1, 20)
        assert out[:3] == ["N", "N", "R"]
        assert s.conn.info().snd_ssthresh == 10 * MSS
        assert all(len(step) <= 1 for step in out)
        assert not any(a and b for a, b in pairwise(out[3:-3]))
        # 22 were sent when recovery began; the flight ends at the target.
        assert s.conn.snd.flight.pipe == 10 * MSS
        stop(s)


def test_many_losses_are_repaired_one_for_each_ack_and_faster_when_it_goes_well() -> None:
    # RFC 6937 §3.1, the second example, with RFC 9937's rule: the slow-start bound is only for
    # ACKs that advance SND.UNA and bring no new loss.
    with opened() as s:
        out = answers(s, 15, 20)
        assert out == ["N", "N", "R", "R", "R"]
        s.at(ms=300)
        s.inject(f". 1:1(0) ack 1001 <nop,nop,sack {15 * MSS + 1}:{22 * MSS + 1}>")
        # Three are delivered, and one more.
        assert sent(s) == "RRRR"
        s.inject(f". 1:1(0) ack 2001 <nop,nop,sack {15 * MSS + 1}:{22 * MSS + 1}>")
        assert sent(s) == "RR"
        stop(s)


def test_the_window_at_the_end_is_ssthresh() -> None:
    with opened() as s:
        answers(s, 1, 20)
        s.at(ms=300)
        highest = s.conn.snd.snd_nxt - s.conn.snd.iss
        s.inject(f". 1:1(0) ack {22 * MSS + 1} win 65535")
        assert highest > 22 * MSS
        assert s.conn.info().snd_cwnd == 10 * MSS
        stop(s)


def test_what_the_peer_repeats_moves_nothing() -> None:
    with opened() as s:
        answers(s, 1, 4)
        for _ in range(5):
            s.inject(f". 1:1(0) ack 1 <nop,nop,sack {MSS + 1}:{4 * MSS + 1}>")
            assert sent(s) == ""
        stop(s)


def test_duplicate_acks_without_sack_are_believed_up_to_what_was_outstanding() -> None:
    # RFC 9937 §6.2: or a peer could draw out as much as it likes.
    s = client(plain(sack=False, initial_window=20), options="mss 1000", win=65_535)
    with s:
        s.write(1000 * MSS)
        assert len(s.take()) == 20
        s.seen = set(range(20))  # type: ignore[attr-defined]
        s.at(ms=200)
        out = ""
        for _ in range(200):
            s.inject(". 1:1(0) ack 1 win 65535")
            out += sent(s)
        # Two by limited transmit, the retransmission, and what the halved window lets go.
        assert out == "NNR" + "N" * 10
        stop(s)


def test_an_ack_of_nothing_leaves_the_window_alone() -> None:
    # RFC 9937 §6.2: what may be sent and was not yet is not taken back.
    with opened() as s:
        answers(s, 15, 20)
        s.at(ms=300)
        snd = s.conn.snd
        snd.pacer.on = snd.pacer.enabled = True
        snd.pacer.next_at = 1 << 60
        for _ in range(3):
            s.inject(f". 1:1(0) ack 1001 <nop,nop,sack {15 * MSS + 1}:{22 * MSS + 1}>")
            assert snd.cc.cwnd - snd.flight.pipe == 4 * MSS
        stop(s)


@pytest.mark.parametrize("ratio", [0.5, 0.7, 0.85])
def test_by_numbers(ratio: float) -> None:
    """20 segments, one lost, any target: what is sent in all is the target."""
    ssthresh = int(20 * MSS * ratio)
    prr = Prr(20 * MSS, ssthresh, 7777)
    sent_bytes = 7777
    pipe = 18 * MSS
    for _ in range(19):
        cwnd = prr.cwnd(MSS, False, pipe, MSS, sent_bytes)
        while cwnd - pipe >= MSS:
            sent_bytes += MSS
            pipe += MSS
        pipe -= MSS
    assert abs(pipe + MSS - ssthresh) <= MSS


def test_what_is_lost_behind_the_recovery_is_another_loss() -> None:
    # RFC 5681 §4.3: two windows with losses lower ssthresh twice.
    s = client(plain(sack=True, initial_window=20, rto_min=1.0), options="mss 1000,sackOK")
    snd = s.conn.snd
    s.write(125_000)
    s.take()
    s.advance(ms=RTT_MS)
    for end in range(2, 21):  # the first is lost
        s.inject(f". 1:1(0) ack 1 <sack 1001:{1000 * end + 1}>")
    s.take()
    assert snd.cc.ssthresh == 10_000
    s.advance(ms=RTT_MS)
    last = (snd.snd_nxt - snd.iss - 1) // 1000
    for end in range(25, last + 1):  # and beyond `recover` 22001:24001
        s.inject(f". 1:1(0) ack 1 <sack 24001:{1000 * end + 1} 1001:22001>")
    s.take()
    s.advance(ms=RTT_MS)
    s.inject(f". 1:1(0) ack 22001 <sack 24001:{1000 * last + 1}>")
    assert (snd.loss.state, snd.cc.ssthresh) == (RECOVERY, 5000)


def test_a_time_out_in_recovery_does_not_take_its_trickle_for_the_window() -> None:
    s = client(plain(sack=True, initial_window=40), options="mss 500,sackOK")
    snd = s.conn.snd
    s.write(60_000)
    count = len(s.take())
    s.advance(ms=RTT_MS)
    s.inject(f". 1:1(0) ack 1 <sack {1 + 500 * (count - 3)}:{1 + 500 * count}>")
    assert snd.cc.ssthresh == 250 * count > 4 * snd.cc.cwnd
    while not s.endpoint.counters.timeouts:
        s.advance(ms=10)
    assert snd.cc.ssthresh == 125 * count
