"""Whole segments take a short way out; what has a say in them is heard there too."""

from __future__ import annotations

import pytest

from tests.script.stage import Peer, opened
from utcp.config import Config
from utcp.testing import SECOND


@pytest.fixture
def a() -> Peer:
    """A TCP that has sent a segment, which is acknowledged."""
    a, b = opened(Config(pacing=False))
    a.conn.write(b"hello")
    b.receives(a.sends(".", 5))
    b.conn.rcv.ack_now = True
    b.conn.touch()
    a.receives(b.sends("."))
    assert a.is_silent()
    return a


def payload(a: Peer) -> int:
    """Bytes that leave now."""
    return sum(len(segment.payload) for segment in a.all_sent())


@pytest.mark.parametrize("idle", [False, True])
def test_a_window_that_was_not_used_for_long_is_given_up(a: Peer, idle: bool) -> None:
    """RFC 5681 §4.1"""
    snd = a.conn.snd
    snd.cc.cwnd = 4 * snd.cc.initial_cwnd
    a.clock.now += 60 * SECOND if idle else 0
    a.conn.write(bytes(30 * snd.mss))
    assert payload(a) == (snd.cc.initial_cwnd // snd.mss if idle else 30) * snd.mss


def test_a_tail_probe_that_is_due_is_no_other_segment(a: Peer) -> None:
    """RFC 8985 §7.3"""
    snd = a.conn.snd
    a.conn.write(bytes(snd.mss))
    assert payload(a) == snd.mss
    snd.tail_probe_due = True
    a.conn.write(bytes(3 * snd.mss))
    assert payload(a) == 3 * snd.mss
    assert not snd.tail_probe_due
    assert not snd.loss.may_probe  # one is in flight


def test_an_override_is_over_with_what_is_sent(a: Peer) -> None:
    """RFC 9293 §3.8.6.2.1"""
    snd = a.conn.snd
    snd.override = True
    a.conn.write(bytes(2 * snd.mss))
    assert payload(a) == 2 * snd.mss
    assert not snd.override
