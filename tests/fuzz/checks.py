"""What must hold for an endpoint and its connections between any two calls."""

from __future__ import annotations

from utcp.core import Connection, Endpoint, State
from utcp.core.records import LOST, RESENT, SACKED
from utcp.core.state import CLOSED, SYN_SENT, TIME_WAIT
from utcp.core.timers import NEVER


def check_connection(conn: Connection) -> None:
    """Both sides of a connection are in order within themselves."""
    if conn.state is CLOSED or conn.state is TIME_WAIT:
        assert min(conn.timers) == NEVER, "a timer runs after the end"
        assert not conn.rcv.reassembly.starts
        assert not conn.buffered
        return
    if not conn.folded:
        assert conn.heap_at <= min(conn.timers), "the endpoint will call too late"
    if conn.folded:
        _check_folded(conn)
    else:
        _check_sender(conn)
    if conn.state is not SYN_SENT:
        _check_receiver(conn)


def _check_folded(conn: Connection) -> None:
    """All that the parts do not know of is one message."""
    snd = conn.snd
    assert conn.calm
    assert not conn.in_flight or not conn.written
    assert snd.snd_nxt - snd.snd_una == len(conn.in_flight) <= snd.mss
    assert len(snd.flight) == snd.buffer.end - snd.buffer.start == 0
    assert not conn.in_flight or conn.heap_at < NEVER, "nothing will ever be sent again"


def _check_sender(conn: Connection) -> None:
    snd = conn.snd
    una, nxt, buffer = snd.snd_una, snd.snd_nxt, snd.buffer
    assert snd.iss <= una <= nxt <= buffer.end + snd.fin_queued
    assert buffer.start == min(max(una, snd.iss + 1), buffer.end)
    flight = snd.flight
    assert (flight.una, flight.nxt) == (una, nxt)
    sacked = lost = resent = 0
    edge = una
    for burst in flight._bursts[flight._head :]:
        assert burst.start == edge < burst.end
        edge = burst.end
        size = edge - burst.start
        marks = burst.marks
        sacked += size if marks & SACKED else 0
        lost += size if marks & LOST else 0
        resent += size if marks & RESENT else 0
        assert not marks & SACKED or not marks & (LOST | RESENT)
    assert edge == nxt
    assert (sacked, lost, resent) == (flight.sacked_bytes, flight.lost_bytes, flight.resent_bytes)
    assert flight.pipe == nxt - una - sacked - lost + resent - flight.dup_bytes >= 0
    assert snd.cc.cwnd > 0
    assert snd.mss > 0
    if nxt > una:
        # What is in flight is watched over.
        assert min(conn.timers) < NEVER, "nothing will ever be sent again"


def _check_receiver(conn: Connection) -> None:
    rcv = conn.rcv
    held = rcv.reassembly
    assert rcv.irs < rcv.rcv_nxt <= rcv.rcv_adv
    assert rcv.buffer.size + held.nbytes <= conn.config.recv_buffer
    assert held.nbytes == sum(held.ends) - sum(held.starts)
    edge = rcv.rcv_nxt
    for start, end in zip(held.starts, held.ends, strict=True):
        assert edge < start < end
        edge = end
    assert edge <= rcv.rcv_adv


def check_endpoint(endpoint: Endpoint, backlog: int) -> None:
    """The endpoint knows each connection once, and keeps nothing that is over."""
    connections = endpoint.connections()
    agenda = endpoint._agenda
    assert len(set(connections)) == len(connections)
    assert len(agenda.half_open) <= backlog
    assert not agenda.to_send
    assert not agenda.bursts
    assert not agenda.replies
    assert not agenda.ready
    for conn in connections:
        assert conn.state not in (CLOSED, TIME_WAIT, State.LISTEN)
    assert all(conn in connections for conn in agenda.half_open)
    assert len(endpoint._deadlines._heap) <= 64 + 2 * len(connections)
    assert not endpoint.unsettled
    assert len(endpoint._time_waits._reopened) <= len(connections)
