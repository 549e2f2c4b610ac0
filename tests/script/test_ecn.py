"""Explicit congestion notification (RFC 3168 §6.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.script.peers import RTO_MS, RTT_MS, client, plain
from utcp.testing import Script

ECN = plain(ecn=True, initial_window=4)


def marked() -> Script:
    """ECN is agreed; four segments of data are in flight, the congestion window is full."""
    s = client(ECN, flags="SE.")
    s.write(20_000)
    for i in range(4):
        s.expect(f"[ect0] . {i * 1460 + 1}:{(i + 1) * 1460 + 1}(1460) ack 1")
    return s


@pytest.mark.rfc("SHLD-8")
def test_a_syn_offers_it_and_a_syn_ack_agrees() -> None:
    with Script(config=ECN) as s:
        s.connect()
        s.expect("[noecn] SEW 0:0(0)")
        s.inject("SE. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.expect("[noecn] . 1:1(0) ack 1")
        assert "ecn" in s.conn.info().options
    with Script(config=ECN) as s:
        s.listen()
        s.inject("SEW 0:0(0) win 65535 <mss 1460>")
        s.expect("[noecn] SE. 0:0(0) ack 1")
        s.inject(". 1:1(0) ack 1")
        assert "ecn" in s.conn.info().options


@pytest.mark.parametrize("flags", ["S.", "SEW."])
def test_other_answers_do_not_agree(flags: str) -> None:
    # Both flags reflected come from hosts that copy what they do not know (§6.1.1).
    with client(ECN, flags=flags) as s:
        assert "ecn" not in s.conn.info().options
        s.write(10)
        s.expect("[noecn] P. 1:11(10) ack 1")
        s.inject(". 1:1(0) ack 11")


@pytest.mark.parametrize("flags", ["S", "SE", "SW"])
def test_a_syn_that_does_not_offer_it(flags: str) -> None:
    with Script(config=ECN) as s:
        s.listen()
        s.inject(f"{flags} 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1")
        s.inject(". 1:1(0) ack 1")


def test_a_syn_that_was_lost_does_not_offer_it_again() -> None:
    # §6.1.1.1: it may have been lost for that very reason.
    with Script(config=ECN) as s:
        s.connect()
        s.expect("SEW 0:0(0)", at_ms=0)
        s.expect("S 0:0(0)", at_ms=1000)
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 1")


def test_a_mark_is_echoed_until_the_peer_says_cwr() -> None:
    with client(ECN, flags="SE.") as s:
        s.inject("[ce] . 1:1461(1460) ack 1")
        s.expect("[noecn] E. 1:1(0) ack 1461")
        s.inject("[ect0] . 1461:2921(1460) ack 1", "[ect0] . 2921:4381(1460) ack 1")
        s.expect("E. 1:1(0) ack 4381")
        s.write(10)
        s.expect("[ect0] EP. 1:11(10) ack 4381")
        s.inject("[ect0] W. 4381:5841(1460) ack 11", "[ect0] . 5841:7301(1460) ack 11")
        s.expect(". 11:11(0) ack 7301")
        # CWR and a new mark at once: the new one counts (§6.1.3).
        s.inject("[ce] . 7301:8761(1460) ack 11")
        s.expect("E. 11:11(0) ack 8761")
        s.inject("[ce] W. 8761:10221(1460) ack 11")
        s.expect("E. 11:11(0) ack 10221")


def test_a_mark_on_old_text_says_nothing() -> None:
    # RFC 3168 §6.1.5
    with client(ECN, flags="SE.") as s:
        s.inject("[ect0] P. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 11", within_ms=40)
        s.inject("[ce] P. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 11")
        s.inject("[ce] . 11:1471(1460) ack 1")
        s.expect("E. 1:1(0) ack 1471")
        s.inject("[ect0] W. 11:1471(1460) ack 1")
        s.expect("E. 1:1(0) ack 1471")


def test_text_with_cwr_is_acknowledged_at_once() -> None:
    # The peer's window may be no larger than this segment.
    with client(replace(ECN, quick_acks=0), flags="SE.") as s:
        s.inject("[ect0] P. 1:11(10) ack 1")
        s.expect_nothing(for_ms=39)
        s.inject("[ect0] W. 11:21(10) ack 1")
        s.expect(". 1:1(0) ack 21")


def test_without_agreement_a_mark_means_nothing() -> None:
    with client() as s:
        s.inject("[ce] P. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 11", within_ms=40)


def test_an_echo_halves_the_window_once_per_round_trip() -> None:
    with marked() as s:
        assert s.conn.info().snd_cwnd == 4 * 1460
        s.advance(ms=RTT_MS)
        s.inject("E. 1:1(0) ack 1461")
        assert s.conn.info().snd_cwnd == 2 * 1460 == s.conn.info().snd_ssthresh
        # More echoes for the same window of data change nothing, and do not let it grow.
        s.inject("E. 1:1(0) ack 2921")
        s.inject("E. 1:1(0) ack 4381")
        # CWR is said on the next new data, once; no retransmission was needed.
        s.expect("[ect0] W. 5841:7301(1460) ack 1")
        s.inject("E. 1:1(0) ack 5841")
        s.expect("[ect0] . 7301:8761(1460) ack 1")
        assert s.conn.info().snd_cwnd == 2 * 1460
        assert s.conn.info().total_retrans == 0
        # The peer still echoes behind that window: another reduction would go below the least.
        s.inject(". 1:1(0) ack 8761")
        s.take()
        s.conn.abort()
        s.advance(ms=1)
        s.take()


def test_an_echo_leaves_more_than_a_loss_in_congestion_avoidance() -> None:
    # RFC 8511 §3.1: 0.8 of FlightSize, and 0.85 for CUBIC.
    for control, percent in (("reno", 80), ("cubic", 85)):
        config = plain(ecn=True, initial_window=10, congestion_control=control)
        with client(config, options="mss 1000", flags="SE.") as s:
            s.write(100_000)
            s.take()
            s.advance(ms=RTT_MS)
            # A loss, so that the window is no longer below ssthresh.
            s.inject(*[". 1:1(0) ack 1"] * 3)
            s.take()
            end = 1 + s.conn.info().unacked
            s.inject(f". 1:1(0) ack {end}")
            s.take()
            window = s.conn.info().snd_cwnd
            assert window == {"reno": 5000, "cubic": 7000}[control]
            s.advance(ms=RTT_MS)
            s.inject(f"E. 1:1(0) ack {end + 1000}")
            assert s.conn.info().snd_cwnd == window * percent // 100
            s.take()
            s.conn.abort()
            s.advance(ms=1)
            s.take()


def test_an_echo_to_a_window_of_one_segment_is_answered_by_waiting() -> None:
    """RFC 3168 §6.1.2: a new packet only when the retransmit timer expires."""
    with client(plain(ecn=True, initial_window=1), flags="SE.") as s:
        s.write(5000)
        s.expect("[ect0] . 1:1461(1460) ack 1")
        s.advance(ms=RTT_MS)
        s.inject("E. 1:1(0) ack 1461")
        at = s.now_ms
        s.expect("[ect0] W. 1461:2921(1460) ack 1", at_ms=at + s.conn.info().rto / 1000)
        s.advance(ms=RTT_MS)
        # No echo, no waiting.
        s.inject(". 1:1(0) ack 2921")
        s.expect("[ect0] . 2921:4381(1460) ack 1", at_ms=s.now_ms)
        s.take()
        s.inject(". 1:1(0) ack 5001")


def test_retransmissions_are_not_marked_and_any_reduction_says_cwr() -> None:
    with marked() as s:
        s.advance(ms=RTO_MS)
        s.expect("[noecn] . 1:1461(1460) ack 1")
        s.inject(". 1:1(0) ack 5841")
        # §6.1.2: the first new data behind the time-out.
        s.expect("[ect0] W. 5841:7301(1460) ack 1")
        s.take()
        s.conn.abort()
        s.advance(ms=1)
        s.take()


def test_fast_retransmit_says_cwr_too() -> None:
    with marked() as s:
        for _ in range(3):
            s.inject(". 1:1(0) ack 1")
        segments = [(seg.seq32 - (s.iss or 0), seg.flag_letters()) for seg in s.take()]
        # Limited transmit, twice; the retransmission.
        assert segments == [(5841, "."), (7301, "."), (1, ".")]
        s.inject(". 1:1(0) ack 8761")
        s.expect("[ect0] W. 8761:10221(1460) ack 1")
        s.take()
        s.conn.abort()
        s.advance(ms=1)
        s.take()


def test_window_probes_are_not_marked() -> None:
    # §6.1.6
    with client(ECN, flags="SE.", win=100) as s:
        s.write(200)
        s.expect("[ect0] . 1:101(100) ack 1")
        s.inject(". 1:1(0) ack 101 win 0")
        s.expect("[noecn] . 101:102(1) ack 1", within_ms=400)
        s.inject(". 1:1(0) ack 102 win 1000")
        s.expect("[ect0] P. 102:201(99) ack 1")
        s.inject(". 1:1(0) ack 201 win 1000")
