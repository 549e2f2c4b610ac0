"""A program that cannot keep up takes nothing for lost that it has not looked at."""

from __future__ import annotations

import pytest

from tests.script.stage import Peer, opened
from utcp.config import Config

MS = 1_000_000


def written(tail_probe: bool) -> tuple[Peer, Peer, int]:
    """Two TCPs, the first of which has sent a segment; and the RTO, nanoseconds."""
    a, b = opened(Config(sack=tail_probe))
    a.conn.write(b"hello")
    b.receives(a.sends(".", 5))
    return a, b, a.conn.snd.rtt.rto_ns


@pytest.mark.parametrize("tail_probe", [False, True], ids=["rto", "pto"])
def test_an_ack_may_wait_to_be_received(tail_probe: bool) -> None:
    a, b, _ = written(tail_probe)
    a.clock.now = a.endpoint.poll_timeout()
    a.endpoint.handle_timeout(a.clock.now, behind=True)
    assert a.is_silent()
    assert a.endpoint.poll_timeout() > a.clock.now
    b.conn.rcv.ack_now = True
    b.conn.touch()
    a.receives(b.sends("."))
    a.wait(60_000 * MS)
    assert a.is_silent()
    counters = a.endpoint.counters
    assert counters.timeouts == counters.retransmitted_segments == 0


@pytest.mark.parametrize("tail_probe", [False, True], ids=["rto", "pto"])
def test_not_for_ever(tail_probe: bool) -> None:
    a, _, rto_ns = written(tail_probe)
    sent_at = a.clock.now
    while a.is_silent():
        a.clock.now = max(a.endpoint.poll_timeout(), a.clock.now + 1)
        a.endpoint.handle_timeout(a.clock.now, behind=True)
    waited_ns = a.clock.now - sent_at
    assert rto_ns < waited_ns <= 2 * rto_ns + 1


def test_who_is_not_behind_waits_no_longer() -> None:
    a, _, rto_ns = written(tail_probe=False)
    sent_at = a.clock.now
    a.clock.now = a.endpoint.poll_timeout()
    a.endpoint.handle_timeout(a.clock.now)
    a.sends(".", 5)
    assert a.clock.now - sent_at == rto_ns
