"""Arriving segments that hardly anybody sends: RFC 9293 says what they mean nevertheless."""

from __future__ import annotations

import pytest

from tests.script.arrivals import PLAIN, established
from utcp.config import Config
from utcp.core import Reason
from utcp.testing import Script

# -- flags that nobody sends who means well: the steps of RFC 9293 §3.10.7 in their order --------


@pytest.mark.parametrize("text", ["SF 1:1(0)", "SF. 1:1(0) ack 1", "SFP. 70:75(5) ack 1"])
def test_a_syn_is_challenged_whatever_comes_with_it(text: str) -> None:
    with established() as s:
        s.inject(f"{text} win 65535")
        s.expect(". 1:1(0) ack 1")
        assert str(s.state) == "ESTABLISHED"
        assert s.conn.readable == 0


@pytest.mark.parametrize(
    "text", ["RF 1:1(0)", "RF. 1:1(0) ack 1", "SR 1:1(0)", "SFR. 1:1(0) ack 1"]
)
def test_a_reset_resets_whatever_comes_with_it(text: str) -> None:
    with established() as s:
        s.inject(f"{text} win 0")
        assert str(s.state) == "CLOSED"
        assert s.conn.reason is Reason.RESET


@pytest.mark.parametrize("text", ["RF. 1:1(0) ack 1", "SR. 0:0(0) ack 1"])
def test_a_reset_refuses_whatever_comes_with_it(text: str) -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject(f"{text} win 0")
        assert s.conn.reason is Reason.REFUSED


def test_a_reset_with_a_syn_is_judged_by_its_number_alone() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject("S 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1 <mss 1460>")
        s.inject("SR 0:0(0)", "SR. 0:0(0) ack 1")  # below the window
        assert str(s.state) == "SYN-RECEIVED"
        s.inject("SR. 1:1(0) ack 1")
        assert s.conn.reason is Reason.REFUSED


def test_text_and_a_fin_on_the_answer_to_our_syn() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject("SF. 0:3(3) ack 1 win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 5")
        assert str(s.state) == "CLOSE-WAIT"
        assert len(s.read()) == 3


def test_a_fin_on_the_answer_to_our_syn_when_ours_waits() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.write_eof()
        s.inject("SF. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.expect("F. 1:1(0) ack 2")
        assert str(s.state) == "CLOSING"
        s.inject(". 2:2(0) ack 2 win 65535")


def test_a_fin_on_a_syn_has_to_come_again() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.listen()
        s.inject("SF 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1 <mss 1460>")
        s.inject("F. 1:1(0) ack 1 win 65535")
        s.expect(". 1:1(0) ack 2")
        assert str(s.state) == "CLOSE-WAIT"


def test_a_fin_in_a_simultaneous_open() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject("S 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1 <mss 1460>")
        s.inject("SF. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 2")
        assert str(s.state) == "CLOSE-WAIT"


def test_nobody_is_there_for_any_flags() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        for text, answer in (
            ("SF 0:0(0)", "R. 0:0(0) ack 2"),
            ("- 0:0(0)", "R. 0:0(0) ack 0"),
            ("P 0:4(4)", "R. 0:0(0) ack 4"),
            ("FP 0:4(4)", "R. 0:0(0) ack 5"),
        ):
            s.inject(f"{text} win 0")
            s.expect(answer)
        s.inject("SFRP. 0:0(0) ack 7 win 0")  # never a RST with a RST
        s.listen()
        for text in ("- 0:0(0)", "P 0:4(4)", "FP 0:4(4)", "SR 0:0(0)"):
            s.inject(f"{text} win 0")


# -- old text, new acknowledgment (RFC 9293 Appendix A.2) -----------------------------------------


def test_data_crosses_and_both_acks_are_lost() -> None:
    with established() as s:
        s.write(100)
        s.expect("P. 1:101(100) ack 1")
        s.inject("P. 1:101(100) ack 1 win 65535")
        s.expect(". 101:101(0) ack 101")
        s.advance(ms=10)
        s.inject("P. 1:101(100) ack 101 win 65535")
        s.expect(". 101:101(0) ack 101")
        assert s.conn.buffered == 0
        assert s.conn.readable == 100
        s.expect_nothing(for_ms=5000)


def test_closing_ends_with_the_fin_that_acknowledges_ours() -> None:
    with established() as s:
        s.write_eof()
        s.expect("F. 1:1(0) ack 1")
        s.inject("F. 1:1(0) ack 1 win 65535")
        s.expect(". 2:2(0) ack 2")
        assert str(s.state) == "CLOSING"
        s.inject("F. 1:1(0) ack 2 win 65535")
        s.expect(". 2:2(0) ack 2")
        assert str(s.state) == "TIME-WAIT"


def test_windows_that_are_probed_from_both_sides() -> None:
    with established(window=100) as s:
        s.write(200)
        s.expect(". 1:101(100) ack 1")
        s.inject("P. 1:11(10) ack 101 win 0")
        s.expect(". 101:101(0) ack 11", within_ms=50)
        s.inject("P. 10:11(1) ack 101 win 1000")  # one old octet, as a probe; the window is open
        s.expect("P. 101:201(100) ack 11")
        s.inject(". 11:11(0) ack 201 win 1000")


def test_what_is_older_than_our_last_ack_says_nothing() -> None:
    with established() as s:
        s.write(100)
        s.expect("P. 1:101(100) ack 1")
        s.inject("P. 1:101(100) ack 1 win 65535")
        s.take()
        s.inject(". 1:100(99) ack 101 win 65535")
        s.expect(". 101:101(0) ack 101")
        assert s.conn.buffered == 100
        s.inject(". 101:101(0) ack 101 win 65535")


def test_a_syn_from_before_is_challenged_at_a_limited_rate() -> None:
    with established() as s:
        for _ in range(5):
            s.inject("S 0:0(0) win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 1")
        s.expect_nothing()
        assert s.endpoint.counters.challenge_acks == 1


@pytest.mark.parametrize("text", ["P. 1:101(100) ack 1", "FP. 1:101(100) ack 1"])
def test_text_that_comes_again_is_reported(text: str) -> None:
    # RFC 2883 §4; a tail loss probe of the peer is told by it from a loss.
    with Script(config=Config(timestamps=False, ecn=False), peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>")
        s.take()
        s.inject(text)
        s.take()
        s.advance(ms=50)
        s.take()
        s.inject(text)
        assert len(s.take()) == 1
        s.inject(text)
        s.expect(f". 1:1(0) ack {102 if 'F' in text else 101} <nop,nop,sack 1:101>")


# -- TIME-WAIT: step 5 applies there, too --------------------------------------------------------


def waiting() -> Script:
    s = established()
    s.write_eof()
    s.inject("F. 1:1(0) ack 2 win 65535")
    s.expect("F. 1:1(0) ack 1")
    s.expect(". 2:2(0) ack 2")
    assert str(s.state) == "TIME-WAIT"
    return s


def test_what_acknowledges_nothing_is_not_answered_in_time_wait() -> None:
    with waiting() as s:
        s.inject("F 2:2(0) win 65535")
        s.inject("P 2:5(3) win 65535")


@pytest.mark.parametrize("text", ["F 1:1(0)", "F. 1:1(0) ack 3", "F. 1:1(0) ack 70000"])
def test_only_a_fin_that_acknowledges_what_was_sent_begins_time_wait_anew(text: str) -> None:
    with waiting() as s:
        s.at(ms=50_000)
        s.inject(f"{text} win 65535")
        s.take()
        s.at(ms=70_000)
        assert str(s.state) == "CLOSED"


def test_the_fin_again_begins_time_wait_anew() -> None:
    with waiting() as s:
        s.at(ms=50_000)
        s.inject("F. 1:1(0) ack 1 win 65535")  # sent before it had seen ours
        s.expect(". 2:2(0) ack 2")
        s.at(ms=100_000)
        assert str(s.state) == "TIME-WAIT"
