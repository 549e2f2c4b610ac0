"""A shut window is probed for as long as it takes (RFC 9293 §3.8.6.1), and what a window that
shrinks does (§3.8.6).

Answers take the 100 ms that the first round trip took, so that the RTO stays at 300 ms.
"""

from __future__ import annotations

import pytest

from tests.script.peers import RTO_MS, RTT_MS, client, plain
from utcp.config import Config
from utcp.core import Reason, State, events
from utcp.core.loss import OPEN
from utcp.testing import SECOND, Script

SHUT_AT_MS = 2 * RTT_MS


def shut(config_retries: int = 15) -> Script:
    """100 bytes have been acknowledged with a window of zero, 200 more are waiting."""
    s = client(plain(retries2=config_retries, retries1=3), win=100)
    s.write(300)
    s.expect(". 1:101(100) ack 1")
    s.at(ms=SHUT_AT_MS)
    s.inject(". 1:1(0) ack 101 win 0")
    return s


@pytest.mark.rfc("MUST-36", "SHLD-29", "SHLD-30")
def test_probes_begin_after_one_rto_and_back_off() -> None:
    with shut() as s:
        at = SHUT_AT_MS
        # Each carries one octet of new data, the same one (§3.8.6.1).
        for wait in (300, 600, 1200, 2400, 4800, 9600):
            at += wait
            s.expect(". 101:102(1) ack 1", at_ms=at)
            s.inject(". 1:1(0) ack 101 win 0")


@pytest.mark.rfc("MUST-37")
def test_a_window_may_stay_shut_for_ever() -> None:
    with shut(config_retries=4) as s:
        for _ in range(300):
            s.expect(". 101:102(1) ack 1", within_ms=120_000)
            s.inject(". 1:1(0) ack 101 win 0")
        assert s.now_ms > 8 * 3600 * 1000
        s.expect_state(State.ESTABLISHED)
        s.inject(". 1:1(0) ack 101 win 1000")
        s.expect(". 101:102(1) ack 1")
        s.expect("P. 102:301(199) ack 1")
        s.inject(". 1:1(0) ack 301 win 1000")


def test_probes_that_nobody_answers_end_the_connection() -> None:
    with shut(config_retries=4) as s:
        for _ in range(5):
            s.expect(". 101:102(1) ack 1", within_ms=60_000)
        s.advance(ms=60_000)
        s.expect_state(State.CLOSED)
        assert s.conn.reason is Reason.TIMED_OUT
        assert s.take_events() & events.CLOSED


def test_a_probe_may_be_accepted() -> None:
    with shut() as s:
        s.expect(". 101:102(1) ack 1", at_ms=SHUT_AT_MS + RTO_MS)
        s.inject(". 1:1(0) ack 102 win 0")
        s.expect(". 102:103(1) ack 1", within_ms=2000)
        s.inject(". 1:1(0) ack 103 win 1000")
        s.expect("P. 103:301(198) ack 1")
        s.inject(". 1:1(0) ack 301 win 1000")


def test_a_window_that_opens_is_used_at_once_and_the_time_out_is_that_of_data() -> None:
    with shut() as s:
        for _ in range(8):
            s.expect(". 101:102(1) ack 1", within_ms=100_000)
            s.inject(". 1:1(0) ack 101 win 0")
        s.advance(ms=1)
        s.inject(". 1:1(0) ack 101 win 1000")
        at = s.now_ms
        s.expect(". 101:102(1) ack 1", at_ms=at)
        s.expect("P. 102:301(199) ack 1", at_ms=at)
        # Both are lost: the next try does not wait for what the backed off probe timer would say.
        s.expect("P. 101:301(200) ack 1", at_ms=at + RTO_MS)
        s.inject(". 1:1(0) ack 301 win 1000")


@pytest.mark.rfc("MUST-36")
def test_a_fin_waits_for_the_window_and_probes_it() -> None:
    with client(win=10) as s:
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        s.at(ms=SHUT_AT_MS)
        s.inject(". 1:1(0) ack 11 win 0")
        s.write_eof()
        s.expect_state(State.FIN_WAIT_1)
        s.expect("F. 11:11(0) ack 1", at_ms=SHUT_AT_MS + RTO_MS)
        s.inject(". 1:1(0) ack 11 win 0")
        s.expect("F. 11:11(0) ack 1", at_ms=SHUT_AT_MS + 3 * RTO_MS)
        # A FIN takes no room, so most peers accept it.
        s.inject(". 1:1(0) ack 12 win 0")
        s.expect_state(State.FIN_WAIT_2)
        s.expect_nothing(for_ms=1000)


@pytest.mark.rfc("MUST-34", "SHLD-15", "SHLD-16", "MUST-35", "SHLD-17")
def test_a_window_that_shrinks_below_what_is_in_flight() -> None:
    with client(win=5000) as s:
        s.write(6000)
        s.expect(". 1:1461(1460) ack 1")
        s.expect(". 1461:2921(1460) ack 1")
        s.expect(". 2921:4381(1460) ack 1")
        s.at(ms=SHUT_AT_MS)
        # It ends now at 2001, before SND.NXT: no new data ...
        s.inject(". 1:1(0) ack 1461 win 540")
        s.expect_nothing(for_ms=RTO_MS - 1)
        # ... and of the old data what lies in the window.
        s.advance(ms=1)
        s.expect(". 1461:2001(540) ack 1")
        # Then to zero: it is probed with the oldest octet, and nothing times out.
        s.inject(". 1:1(0) ack 2001 win 0")
        for _ in range(40):
            s.expect(". 2001:2002(1) ack 1", within_ms=120_000)
            s.inject(". 1:1(0) ack 2001 win 0")
        s.expect_state(State.ESTABLISHED)
        # It opens: the congestion window, which is one segment since the time-out, lets one go.
        s.inject(". 1:1(0) ack 2001 win 5000")
        s.expect(". 2001:3461(1460) ack 1")
        s.inject(". 1:1(0) ack 3461 win 5000")
        s.expect(". 3461:4381(920) ack 1")
        s.take()
        s.inject(". 1:1(0) ack 6001 win 5000")


def test_bare_acks_stay_within_a_shut_window() -> None:
    # A probe has moved SND.NXT beyond the window: an ACK with that number would be refused, and
    # two ends with shut windows would never hear each other again.
    with shut() as s:
        s.expect(". 101:102(1) ack 1", at_ms=SHUT_AT_MS + RTO_MS)
        s.inject("P. 1:11(10) ack 101 win 0")
        s.expect(". 101:101(0) ack 11", at_ms=SHUT_AT_MS + RTO_MS + 40)
        s.inject(". 11:11(0) ack 101 win 1000")
        s.take()
        s.inject(". 11:11(0) ack 301 win 1000")


@pytest.mark.rfc("MUST-36")
def test_a_receiver_with_a_shut_window_answers_probes() -> None:
    with client(plain(recv_buffer=2048)) as s:
        s.inject(". 1:1461(1460) ack 1", "P. 1461:2049(588) ack 1")
        s.expect(". 1:1(0) ack 2049 win 0", at_ms=RTT_MS + 40)
        for _ in range(3):
            s.inject(". 2049:2050(1) ack 1")
            s.expect(". 1:1(0) ack 2049 win 0")
        assert s.conn.readable == 2048
        # RFC 9293 §3.10.7.4 step 1 (MUST-66): but what they acknowledge counts.
        s.write(10)
        s.expect("P. 1:11(10) ack 2049 win 0")
        s.inject(". 2049:2050(1) ack 11")
        s.expect(". 11:11(0) ack 2049 win 0")
        assert s.conn.buffered == 0


@pytest.mark.rfc("MUST-66")
def test_a_shut_window_takes_acks_fins_and_resets() -> None:
    with client(plain(recv_buffer=2048)) as s:
        s.inject(". 1:1461(1460) ack 1", "P. 1461:2049(588) ack 1")
        s.expect(". 1:1(0) ack 2049 win 0", at_ms=RTT_MS + 40)
        s.write(10)
        s.take()
        s.inject(". 2049:2049(0) ack 11")
        assert s.conn.buffered == 0
        s.inject("F. 2049:2049(0) ack 11")
        s.expect(". 11:11(0) ack 2050 win 0")
        s.expect_state(State.CLOSE_WAIT)
        assert len(s.read()) == 2048
        s.inject("R 2050:2050(0)")
        s.expect_state(State.CLOSED)


@pytest.mark.parametrize("how", ["abort", "user time-out", "orphan"])
def test_a_reset_is_in_the_window_that_a_probe_has_left(how: str) -> None:
    # RFC 9293 §3.5.3: "R. 102:102(0)" the peer, whose window is empty, would drop without a word.
    with client(plain(orphan_retries=2), win=100) as s:
        s.write(200)
        s.expect(". 1:101(100) ack 1")
        s.inject(". 1:1(0) ack 101 win 0")
        if how == "user time-out":
            s.conn.user_timeout_ns = 5 * SECOND
        if how == "orphan":
            s.close()
        s.expect(". 101:102(1) ack 1", within_ms=400)
        s.inject(". 1:1(0) ack 101 win 0")
        if how == "abort":
            s.abort()
        while s.state is not State.CLOSED:
            if s.take():
                s.inject(". 1:1(0) ack 101 win 0")
            s.advance(ms=50)
        assert s.conn.reason is (Reason.ABORTED if how == "abort" else Reason.TIMED_OUT)
        s.expect("R. 101:101(0) ack 1")


def test_a_reset_is_in_the_window_that_has_shrunk() -> None:
    with client(win=5000) as s:
        s.write(4380)
        assert len(s.take()) == 3
        s.inject(". 1:1(0) ack 1461 win 0")
        s.abort()
        s.expect("R. 1461:1461(0) ack 1")


def test_a_reset_does_not_mind_what_the_peer_has_rounded() -> None:
    # RFC 7323 §2.4: 3540 bytes are left of its window, in units of 128 that is 27.
    with Script(config=plain(window_scaling=True)) as s:
        s.connect()
        s.expect("S 0:0(0) <mss 1460,nop,wscale *>")
        s.advance(ms=RTT_MS)
        s.inject("S. 0:0(0) ack 1 win 5000 <mss 1460,nop,wscale 7>")
        s.write(5000)
        assert len(s.take()) == 5
        s.inject(". 1:1(0) ack 1461 win 27")
        s.abort()
        s.expect("R. 5001:5001(0) ack 1")


def test_answers_to_probes_are_no_duplicate_acks() -> None:
    s = client(plain(), options="mss 1000")
    snd = s.conn.snd
    s.write(3000)
    s.take()
    s.inject(". 1:1(0) ack 3001 win 0")
    s.write(50_000)
    cwnd = snd.cc.cwnd
    for _ in range(5):
        s.advance(ms=130_000)
        assert s.take()
        s.inject(". 1:1(0) ack 3001 win 0")
        assert (snd.cc.cwnd, snd.loss.state) == (cwnd, OPEN)


@pytest.mark.rfc("MUST-37")
def test_probes_that_data_answers_are_answered() -> None:
    # With timestamps, so that what comes takes the short way.
    s = Script(config=Config(mtu_probing=False))
    s.listen()
    s.inject("S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>")
    s.expect("S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 1,nop,wscale *>")
    s.inject(". 1:1(0) ack 1 win 0 <nop,nop,TS val 2 ecr 100>")
    s.write(b"hello")
    seq = 1
    for stamp in range(10, 60):
        s.advance(ms=130_000)
        s.take()
        s.inject(f". {seq}:{seq + 100}(100) ack 1 win 0 <nop,nop,TS val {stamp} ecr 100>")
        seq += 100
        s.read()
    s.expect_state(State.ESTABLISHED)
