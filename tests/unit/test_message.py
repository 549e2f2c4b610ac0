"""Folded connections: what they say of themselves, and what the parts know when they are told.

That they do the same as others is `test_fastpath`'s to show.
"""

from __future__ import annotations

import pytest

from tests.unit.sides import MSS, PEER, Side, segment
from utcp.core import NEVER, State, calm
from utcp.core.cc import CongestionControl
from utcp.core.sample import AckSample
from utcp.core.segment import ACK, PSH
from utcp.core.timers import PTO, RTO, USER
from utcp.testing import MS, SECOND


def quiet() -> Side:
    """A connection on which nothing is unusual."""
    side = Side(True, ecn=False, sack=True, pacing=False, messages=True)
    request(side)
    side.write(10)
    side.turn()
    request(side)
    assert side.conn.calm
    assert side.conn.read()
    return side


def request(side: Side, size: int = 50, window: int = 1000) -> None:
    """A message comes that acknowledges everything."""
    conn = side.conn
    seq = conn.rcv.rcv_nxt - conn.rcv.irs
    ack = conn.snd.snd_nxt - conn.snd.iss
    data = segment(conn.snd.iss, ACK | PSH, seq, ack, size, window=window)
    side.arrive(data, len(data), 0)


def test_what_is_written_and_in_flight_is_counted() -> None:
    side = quiet()
    conn = side.conn
    sent = conn.bytes_sent
    assert conn.write(b"answer") == 6
    assert conn.folded
    assert (conn.buffered, conn.unsent, conn.bytes_sent - sent) == (6, 6, 0)
    side.turn()
    assert conn.folded
    assert (conn.buffered, conn.unsent, conn.bytes_sent - sent) == (6, 0, 6)
    request(side)
    assert conn.folded
    assert (conn.buffered, conn.unsent, conn.bytes_sent - sent) == (0, 0, 6)
    assert conn.info().bytes_acked == conn.bytes_sent
    assert not conn.folded


def test_the_parts_are_told_of_what_is_in_flight() -> None:
    side = quiet()
    conn, snd = side.conn, side.conn.snd
    conn.user_timeout_ns = 30 * SECOND
    una, sent_at = snd.snd_una, side.now
    conn.write(b"answer")
    side.turn()
    assert conn.timers[RTO] == NEVER
    side.now += MS
    conn.unfold()
    assert (snd.flight.una, snd.flight.nxt, snd.flight.pipe) == (una, una + 6, 6)
    assert snd.buffer.peek(una, una + 6) == b"answer"
    assert snd.progress_at == sent_at
    assert snd.small_end == una + 6
    at = conn.timers
    assert at[RTO] == sent_at + snd.rtt.rto_ns
    assert sent_at < at[PTO] <= at[RTO]
    assert at[USER] == sent_at + 30 * SECOND
    assert side.endpoint.poll_timeout() <= min(at)


def test_what_is_lost_is_sent_again() -> None:
    side = quiet()
    conn = side.conn
    conn.write(b"answer")
    side.turn()
    first = side.out[-1][0]
    side.out.clear()
    while not side.out:
        side.now = side.endpoint.poll_timeout()
        side.endpoint.handle_timeout(side.now)
        side.turn()
    assert conn.total_retrans == 1
    assert side.out[-1][0][-6:] == first[-6:] == b"answer"
    assert side.out[-1][0][4:8] == first[4:8]


@pytest.mark.parametrize(
    "data",
    [b"", bytes(MSS + 1), bytearray(b"mutable"), memoryview(b"view")],
    ids=["nothing", "large", "mutable", "view"],
)
def test_what_is_no_message_is_not_folded(data: bytes) -> None:
    side = quiet()
    side.conn.write(data)
    assert not side.conn.written
    assert side.conn.buffered == len(data)


def test_a_second_write_joins_the_first() -> None:
    side = quiet()
    conn = side.conn
    conn.write(b"first, ")
    assert conn.write(b"second") == 13
    assert not conn.folded
    side.out.clear()
    side.turn()
    assert [data[-13:] for data, _, _ in side.out] == [b"first, second"]


@pytest.mark.parametrize("what", ["close", "write_eof", "abort"])
def test_what_is_written_comes_before_the_end(what: str) -> None:
    side = quiet()
    conn = side.conn
    conn.write(b"answer")
    side.out.clear()
    getattr(conn, what)()
    assert not conn.folded
    side.turn()
    assert b"".join(data for data, _, _ in side.out).count(b"answer") == (what != "abort")
    assert conn.state is (State.CLOSED if what == "abort" else State.FIN_WAIT_1)


def test_segments_that_become_smaller_cut_what_is_written() -> None:
    side = quiet()
    conn, snd = side.conn, side.conn.snd
    conn.write(bytes(MSS))
    conn.unfold()
    snd.path_mss = MSS // 2 + 12
    snd.set_mss(timestamps=True)
    assert snd.mss < MSS
    side.out.clear()
    side.turn()
    assert sum(len(data) // size + (len(data) % size > 0) for data, size, _ in side.out) > 1


def test_what_is_given_back_is_read_later() -> None:
    side = quiet()
    conn = side.conn
    request(side, 50)
    request(side, 30)
    assert conn.readable == 80
    assert side.endpoint.poll_ready() is conn
    assert len(conn.read()) == 80


def test_text_behind_what_is_not_read_is_no_message() -> None:
    side = quiet()
    request(side, 50)
    seq = side.conn.rcv.rcv_nxt - side.conn.rcv.irs
    ack = side.conn.snd.snd_nxt - side.conn.snd.iss
    data = segment(side.conn.snd.iss, ACK, seq, ack, 50)
    assert side.endpoint.receive_message(side.now, PEER, memoryview(data), len(data), 0) is None


def test_a_folded_connection_is_calm_until_it_is_told() -> None:
    side = quiet()
    conn = side.conn
    conn.write(b"answer")
    conn.keepalive = True
    assert not conn.folded
    assert not conn.calm
    calm.look(conn, side.now)
    assert not conn.calm  # the timer is to be set first
    side.turn()
    assert conn.buffered == 6


def test_a_congestion_control_that_wants_to_hear_of_every_ack_does() -> None:
    heard = []

    class Listening(CongestionControl):
        __slots__ = ()

        def on_ack(self, sample: AckSample) -> None:
            heard.append((sample.acked, sample.rtt_ns, sample.cwnd_limited))

    side = quiet()
    side.conn.snd.cc = Listening(MSS, 10)
    for size in (10, 20):
        side.conn.write(bytes(size))
        side.turn()
        side.now += MS
        request(side)
        side.conn.read()
    assert heard == [(10, MS, False), (20, MS, False)]
