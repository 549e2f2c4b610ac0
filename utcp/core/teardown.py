"""Ending a connection: CLOSE and ABORT, FIN, RST, challenge ACKs (RFC 9293 §3.6, §3.10.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utcp.core import events
from utcp.core.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    Reason,
)
from utcp.core.timers import NEVER, stop_all

if TYPE_CHECKING:
    from utcp.core.connection import Connection


def send_fin(conn: Connection) -> None:
    """RFC 9293 §3.10.4: no more is written; a FIN goes out behind what is queued."""
    state = conn.state
    snd = conn.snd
    if snd.fin_queued:
        return
    snd.fin_queued = True
    conn.calm = False
    if state is ESTABLISHED or (state is SYN_RECEIVED and snd.buffer.end == snd.iss + 1):
        conn.move(FIN_WAIT_1)
    elif state is CLOSE_WAIT:
        conn.move(LAST_ACK)
    # In SYN-SENT, and in SYN-RECEIVED with data queued, it waits for ESTABLISHED.
    conn.touch()


def close(conn: Connection, *, more: bool) -> None:
    """The application is done with the connection, in both directions (RFC 9293 §3.10.4).

    With `more` it still has something to write, and queues the FIN after that.
    """
    if conn.state is SYN_SENT:
        # RFC 9293 §3.10.4: delete the TCB.
        finish(conn, Reason.CLOSED)
        return
    conn.orphan = True
    conn.calm = False
    if conn.rcv.buffer.size:
        # RFC 9293 §3.6.1 (SHLD-3): what was received and never read is lost, and the peer told.
        abort(conn, Reason.ABORTED)
        return
    if not conn.agenda.admission.orphaned(conn):
        abort(conn, Reason.NO_ROOM)
        return
    if not more:
        send_fin(conn)
    conn.touch()


def abort(conn: Connection, reason: Reason) -> None:
    """RFC 9293 §3.10.5: drop everything and send a RST where the peer may have state."""
    state = conn.state
    if state is CLOSED or state is TIME_WAIT:
        return
    if state is CLOSING or state is LAST_ACK:
        # There the RFC sends none, for all was sent and all was received. Where that is not so
        # yet, or never will be, the peer is told as anywhere else (SHLD-3; Linux does the same).
        conn.reset_due = conn.snd.pending() or conn.rcv.buffer.size > 0
    else:
        conn.reset_due = state is not SYN_SENT
    finish(conn, reason)


def finish(conn: Connection, reason: Reason) -> None:
    """Enter CLOSED: nothing is sent or waited for any more, what was received can be read."""
    conn.move(CLOSED)
    conn.touch()
    conn.reason = reason
    stop_all(conn.timers)
    conn.rcv.reassembly.clear()
    _release_sent(conn)
    conn.signal(events.CLOSED)


def time_wait(conn: Connection) -> None:
    """Both FINs are done and ours was first: the endpoint keeps a record for 2 MSL."""
    conn.move(TIME_WAIT)
    conn.reason = Reason.CLOSED
    stop_all(conn.timers)
    _release_sent(conn)
    conn.signal(events.CLOSED)
    conn.touch()


def _release_sent(conn: Connection) -> None:
    """Free what was written: the connection sends no more."""
    buffer = conn.snd.buffer
    if buffer.end > buffer.start:
        buffer.clear()
    conn.writable_level = -1


def fin_acked(conn: Connection) -> None:
    """RFC 9293 §3.10.7.4 step 5: our FIN is acknowledged now."""
    state = conn.state
    conn.signal(events.FINISHED)
    if state is FIN_WAIT_1:
        conn.move(FIN_WAIT_2)
    elif state is CLOSING:
        time_wait(conn)
    elif state is LAST_ACK:
        finish(conn, Reason.CLOSED)
    # FIN-WAIT-2 of an orphan has a timer, which is set when the connection is polled.
    conn.touch()


def fin_received(conn: Connection) -> None:
    """RFC 9293 §3.10.7.4 step 8: the peer's FIN is next in order."""
    rcv = conn.rcv
    rcv.rcv_nxt += 1
    if rcv.rcv_adv < rcv.rcv_nxt:
        rcv.rcv_adv = rcv.rcv_nxt
    rcv.ack_now = True
    rcv.reassembly.clear()
    # No more text, so no more room for it.
    rcv.tuner.due_at = NEVER
    conn.signal(events.EOF)
    conn.touch()
    state = conn.state
    if state is ESTABLISHED:
        conn.move(CLOSE_WAIT)
    elif state is FIN_WAIT_1:
        # fin_acked() ran before, for the ACK field comes first: so ours is not acknowledged.
        conn.move(CLOSING)
    elif state is FIN_WAIT_2:
        time_wait(conn)


def challenge_ack(conn: Connection, now: int) -> None:
    """RFC 5961 §3.2, §4.2, §5.2: <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, at a limited rate."""
    if may_challenge(conn, now):
        conn.counters.challenge_acks += 1
        conn.rcv.ack_now = True
        conn.touch()


def may_challenge(conn: Connection, now: int) -> bool:
    """Whether a segment that brings nothing may be answered now, by the limit of RFC 5961 §7.

    It is the connection's own: a counter for all of them could be read from outside.
    """
    if now - conn.challenged_at < conn.agenda.terms.challenge_interval_ns:
        return False
    conn.challenged_at = now
    return True
