"""Tail loss probes (RFC 8985 §7): a flight whose end is lost needs no time-out."""

from __future__ import annotations

import pytest

from tests.script.peers import RTT_MS, client, plain
from utcp.config import Config
from utcp.testing import Script

SACK = plain(sack=True)
MSS = 1000
# 2 * SRTT and 10 ms of slack; for a single segment also the 40 ms that an ACK may be delayed.
PTO_MS = 2 * 100 + 10
PTO_ONE_MS = PTO_MS + 40
RTO_MS = 300


def opened(config: Config = SACK, options: str = "mss 1000,sackOK", win: int = 65_535) -> Script:
    return client(config, options=options, win=win)


def written(s: Script, segments: int) -> None:
    s.write(segments * MSS)
    assert len(s.take()) == segments


def test_the_last_segment_is_sent_again_after_two_round_trips() -> None:
    with opened() as s:
        written(s, 3)
        s.expect("P. 2001:3001(1000) ack 1", at_ms=100 + PTO_MS)
        s.advance(ms=100)
        s.inject(". 1:1(0) ack 3001")
        s.expect_nothing(for_ms=10_000)
        assert s.endpoint.counters.timeouts == 0


def test_an_ack_that_advances_starts_the_wait_anew() -> None:
    with opened() as s:
        written(s, 4)
        s.at(ms=200)
        s.inject(". 1:1(0) ack 2001")
        s.expect("P. 3001:4001(1000) ack 1", at_ms=200 + PTO_MS)
        s.inject(". 1:1(0) ack 4001")


def test_new_data_starts_it_anew_too_but_never_beyond_the_rto() -> None:
    with opened() as s:
        written(s, 2)
        s.at(ms=150)
        written(s, 1)
        s.at(ms=200)
        written(s, 1)
        # 200 + 210 ms would be after the time-out, at 100 + 300 ms.
        s.expect("P. 3001:4001(1000) ack 1", at_ms=100 + RTO_MS)
        assert s.endpoint.counters.timeouts == 0
        s.inject(". 1:1(0) ack 4001")


def test_a_single_segment_waits_for_a_delayed_ack() -> None:
    with opened() as s:
        written(s, 1)
        s.expect("P. 1:1001(1000) ack 1", at_ms=100 + PTO_ONE_MS)
        s.inject(". 1:1(0) ack 1001")


def test_unsent_data_goes_first_whatever_the_congestion_window_says() -> None:
    with opened(plain(sack=True, initial_window=2)) as s:
        s.write(4 * MSS)
        assert len(s.take()) == 2
        s.expect(". 2001:3001(1000) ack 1", at_ms=100 + PTO_MS)
        s.advance(ms=100)
        s.inject(". 1:1(0) ack 3001")
        s.expect("P. 3001:4001(1000) ack 1")
        s.inject(". 1:1(0) ack 4001")
        assert s.conn.info().total_retrans == 0


def test_unsent_data_outside_of_the_peers_window_does_not() -> None:
    with opened(win=2000) as s:
        s.write(4 * MSS)
        assert len(s.take()) == 2
        s.expect(". 1001:2001(1000) ack 1", at_ms=100 + PTO_MS)
        s.inject(". 1:1(0) ack 4001")
        s.conn.abort()
        s.advance(ms=1)
        s.take()


def test_after_the_probe_the_time_out_and_no_second_probe() -> None:
    with opened() as s:
        written(s, 3)
        probe_at = 100 + PTO_MS
        s.expect("P. 2001:3001(1000) ack 1", at_ms=probe_at)
        s.expect(". 1:1001(1000) ack 1", at_ms=probe_at + RTO_MS)
        assert s.endpoint.counters.timeouts == 1
        s.inject(". 1:1(0) ack 3001")


def test_no_probe_before_a_new_measurement() -> None:
    # RFC 8985 §7.3: else an increase of the round trip would never be learnt.
    with opened() as s:
        written(s, 3)
        s.expect("P. 2001:3001(1000) ack 1", at_ms=100 + PTO_MS)
        s.inject(". 1:1(0) ack 3001")
        s.inject(". 1:1(0) ack 3001 <nop,nop,sack 2001:3001>")
        s.at(ms=400)
        written(s, 1)
        s.expect("P. 3001:4001(1000) ack 1", at_ms=400 + RTO_MS)
        assert s.endpoint.counters.timeouts == 1
        s.inject(". 1:1(0) ack 4001")


def test_the_sack_of_the_probe_shows_what_else_is_missing() -> None:
    with opened() as s:
        written(s, 4)
        s.expect("P. 3001:4001(1000) ack 1", at_ms=100 + PTO_MS)
        s.at(ms=100 + PTO_MS + 100)
        s.inject(". 1:1(0) ack 1 <nop,nop,sack 3001:4001>")
        s.expect(". 1:1001(1000) ack 1")
        s.at(ms=510)
        s.inject(". 1:1(0) ack 1001 <nop,nop,sack 3001:4001>")
        s.expect(". 1001:2001(1000) ack 1")
        s.expect(". 2001:3001(1000) ack 1")
        s.inject(". 1:1(0) ack 4001")
        s.expect_nothing(for_ms=10_000)
        assert s.endpoint.counters.timeouts == 0


@pytest.mark.parametrize("twice", [False, True])
def test_a_loss_repaired_by_the_probe_reduces_the_window(twice: bool) -> None:
    # RFC 8985 §7.4.2; with D-SACK for the probe nothing was lost.
    with opened() as s:
        written(s, 10)
        s.expect("P. 9001:10001(1000) ack 1", at_ms=100 + PTO_MS)
        s.inject(". 1:1(0) ack 10001")
        if twice:
            s.inject(". 1:1(0) ack 10001 <nop,nop,sack 9001:10001>")
        cwnd = s.conn.info().snd_cwnd
        written(s, 2)
        s.advance(ms=100)
        s.inject(". 1:1(0) ack 12001")
        assert s.conn.info().snd_cwnd == (cwnd if twice else cwnd // 2)


def test_a_fin_is_probed_like_data() -> None:
    with opened() as s:
        s.write(2500)
        s.write_eof()
        assert len(s.take()) == 4
        s.expect("F. 2501:2501(0) ack 1", at_ms=100 + PTO_MS)
        s.inject(". 1:1(0) ack 2502")


def test_without_sack_there_is_no_probe() -> None:
    with opened(plain(), "mss 1000") as s:
        written(s, 3)
        s.expect(". 1:1001(1000) ack 1", at_ms=100 + RTO_MS)
        s.inject(". 1:1(0) ack 3001")


def test_after_a_syn_that_was_lost_there_are_probes_from_the_first_round_trip_on() -> None:
    s = Script(config=plain(sack=True))
    s.connect()
    s.take()
    s.expect("S 0:0(0) <mss 1460,sackOK>", at_ms=1000)
    s.advance(ms=RTT_MS)
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>")
    s.take()
    s.write(1000)
    s.take()
    s.advance(ms=RTT_MS)
    s.inject(". 1:1(0) ack 1001")
    s.write(3000)
    s.take()
    s.advance(ms=2 * RTT_MS + 15)
    assert [len(seg.payload) for seg in s.take()] == [1000]
    assert s.endpoint.counters.timeouts == 1  # that of the SYN


def test_without_any_round_trip_there_is_no_probe() -> None:
    # RFC 8985 §7.2: where there is no SRTT, none before a second. Here the RTO is the first.
    s = Script(config=plain(sack=True))
    s.connect()
    s.take()
    s.expect("S 0:0(0) <mss 1460,sackOK>", at_ms=1000)
    s.advance(ms=200)
    s.inject("S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK>")
    s.take()
    s.write(1000)
    s.take()
    while s.endpoint.counters.timeouts < 2:  # one was the SYN's
        s.advance(ms=100)
    s.take()
    s.advance(ms=200)
    s.inject(". 1:1(0) ack 1001")
    assert s.conn.snd.rtt.srtt_ns == 0
    s.write(3000)
    s.take()
    s.advance(ms=900)
    assert s.take() == []
