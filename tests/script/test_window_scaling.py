"""Window scaling (RFC 7323 §2)."""

from __future__ import annotations

import pytest

from tests.script.peers import client, plain, server
from utcp.config import Config
from utcp.core import State
from utcp.testing import Script

SCALED = plain(window_scaling=True, recv_buffer=4 << 20)


def test_both_sides_scale() -> None:
    with client(SCALED, options="mss 1460,nop,wscale 2", win=1000) as s:
        assert s.conn.info().snd_wscale == 2
        assert s.conn.info().rcv_wscale == 7
        # The window of a SYN is never scaled.
        assert s.conn.info().snd_wnd == 1000
        s.inject(". 1:1(0) ack 1 win 1000")
        assert s.conn.info().snd_wnd == 4000


def test_our_first_ack_opens_the_window_beyond_what_a_syn_can_say() -> None:
    with Script(config=SCALED) as s:
        s.connect()
        s.expect("S 0:0(0) win 65535 <mss 1460,nop,wscale 7>")
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 0>")
        segment = s.expect(". 1:1(0) ack 1")
        assert 224 << 10 <= segment.window << 7 <= 256 << 10


@pytest.mark.parametrize("capacity", [2048, 65_535, 65_536, 1 << 20, 1 << 30])
def test_the_shift_is_the_least_that_does(capacity: int) -> None:
    with Script(config=plain(window_scaling=True, recv_buffer=capacity)) as s:
        s.connect()
        shift = next(n for n in range(15) if capacity >> n <= 0xFFFF or n == 14)
        s.expect(f"S 0:0(0) win {min(capacity, 65535)} <mss 1460,nop,wscale {shift}>")
        s.conn.abort()
        s.advance(ms=1)


def test_a_shift_above_14_is_taken_for_14() -> None:
    # RFC 7323 §2.3
    with client(SCALED, options="mss 1460,nop,wscale 200") as s:
        assert s.conn.info().snd_wscale == 14
        s.inject(". 1:1(0) ack 1 win 65535")
        assert s.conn.info().snd_wnd == 65_535 << 14


def test_one_side_alone_does_not_scale() -> None:
    with client(SCALED, options="mss 1460") as s:
        assert (s.conn.info().snd_wscale, s.conn.info().rcv_wscale) == (0, 0)
        s.inject(". 1:1461(1460) ack 1 win 1000", ". 1461:2921(1460) ack 1 win 1000")
        s.expect(". 1:1(0) ack 2921 win 62615")
        assert s.conn.info().snd_wnd == 1000
    with client(plain(recv_buffer=4 << 20), options="mss 1460,nop,wscale 5") as s:
        # Not asked for, so it means nothing.
        assert (s.conn.info().snd_wscale, s.conn.info().rcv_wscale) == (0, 0)


def test_a_syn_ack_agrees_only_to_what_was_offered() -> None:
    for options, answer in (
        ("mss 1460,nop,wscale 5", "<mss 1460,nop,wscale 7>"),
        ("mss 1460", "<mss 1460>"),
    ):
        with Script(config=SCALED) as s:
            s.listen()
            s.inject(f"S 0:0(0) win 65535 <{options}>")
            s.expect(f"S. 0:0(0) ack 1 win 65535 {answer}")
            s.inject(". 1:1(0) ack 1 win 65535")


def test_an_option_behind_the_handshake_means_nothing() -> None:
    with server(SCALED, options="mss 1460,nop,wscale 1") as s:
        s.inject(". 1:1(0) ack 1 win 1000 <nop,wscale 9>")
        assert s.conn.info().snd_wnd == 2000


def test_the_window_of_a_crossing_syn_ack_is_not_scaled() -> None:
    s = Script(config=Config(timestamps=False))
    s.connect()
    s.take()
    s.inject("S 0:0(0) win 8192 <mss 1460,sackOK,nop,wscale 14>")
    s.take()
    s.inject("S. 0:0(0) ack 1 win 8192 <mss 1460,sackOK,nop,wscale 14>")
    s.expect_state(State.ESTABLISHED)
    assert s.conn.snd.snd_wnd == 8192
