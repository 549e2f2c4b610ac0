"""A deadline that an ACK moves to an earlier time is kept, also if nothing is to be sent."""

from __future__ import annotations

from tests.script.stage import opened
from utcp.config import Config

MS = 1_000_000


def test_the_time_out_of_what_is_left_when_a_backoff_has_ended() -> None:
    a, b = opened(Config(sack=False))
    size = a.conn.snd.mss
    acknowledgments = []
    for _ in range(2):
        a.clock.now += 10 * MS
        a.conn.write(bytes(size))
        b.receives(a.sends(".", size))
        b.conn.read()  # so that the window is the same in all ACKs, which is no news either
        b.conn.rcv.ack_now = True
        b.conn.touch()
        acknowledgments.append(b.sends("."))
    a.conn.write(bytes(size))
    a.sends(".", size)  # lost
    while a.is_silent():
        a.clock.now = a.endpoint.poll_timeout()
        a.endpoint.handle_timeout(a.clock.now)
    assert a.conn.snd.rtt.backoffs == 1
    # The time-out was needless: nothing else is sent again. The second ACK ends the backoff, and
    # so the last segment times out sooner.
    for acknowledgment in acknowledgments:
        a.receives(acknowledgment)
        assert a.is_silent()
    assert a.conn.snd.rtt.backoffs == 0
    assert a.conn.snd.snd_nxt - a.conn.snd.snd_una == size
    assert a.endpoint.poll_timeout() <= min(a.conn.timers)
