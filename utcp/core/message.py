"""Messages: the short way out for a single segment.

A request, and its answer, is mostly one segment that leaves when nothing is in flight. It passes
every step of `output.poll` without leaving a trace, so it is made here at once, while all is
`calm`. Where the answer is not written yet, the ACK waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import calm
from utcp.core.ackdelay import LARGE
from utcp.core.segment import PSH, STAMPED, STAMPED_WORD, TIMESTAMPS_WORD
from utcp.core.seq import MASK32
from utcp.core.timers import DELAYED_ACK, NEVER, PTO, RTO, USER
from utcp.core.tlp import pto_ns

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_PACK: Final = STAMPED.pack
_WORD: Final = STAMPED_WORD | PSH
_MS: Final = 1_000_000


def send(conn: Connection, now: int) -> bytes | None:
    """All that is written, which is something, as one segment, if `conn.predict` and nothing is in
    flight; then there is nothing left to send. None if it is not that simple: see `output.poll`."""
    snd = conn.snd
    start = snd.snd_nxt
    buffer = snd.buffer
    end = buffer.end
    size = end - start
    mss = snd.mss
    rto_ns = snd.rtt.rto_ns
    # RFC 5681 §4.1: the congestion window may be stale.
    if size > mss or size > snd.snd_wnd or now - snd.last_sent_at > rto_ns:
        return None
    if snd.pacer.on or (not conn.calm and not calm.look(conn, now)):
        return None
    rcv = conn.rcv
    rcv_nxt = rcv.rcv_nxt
    data = _PACK(
        _WORD,
        rcv.offer_window(),
        start & MASK32,
        rcv_nxt & MASK32,
        TIMESTAMPS_WORD,
        now // _MS + conn.ts_offset & MASK32,
        rcv.ts_recent,
    ) + buffer.rest(start)
    conn.more = snd.cwnd_limited = rcv.ack_now = False
    if size < mss:
        snd.small_end = end
    snd.flight.sent(start, end, now)
    snd.snd_nxt = end
    snd.last_sent_at = snd.progress_at = now
    acks = conn.acks
    if acks.unanswered:
        acks.answered(now, rcv_nxt)
    rcv.last_ack_sent = rcv_nxt
    at = conn.timers.at
    # RFC 6298 §5 (5.1)
    at[RTO] = due = now + rto_ns
    snd.probe_unarmed = False
    if snd.loss.may_probe:
        # RFC 8985 §7.2
        probe_at = now + pto_ns(snd.rtt.srtt_ns, True, acks.most_ns)
        if probe_at < due:
            due = probe_at
        at[PTO] = due
    if conn.user_timeout_ns:
        at[USER] = user = now + conn.user_timeout_ns
        if user < due:
            due = user
    at[DELAYED_ACK] = NEVER
    if due < conn.heap_at:
        conn.agenda.deadlines.schedule(conn)
    conn.segs_out += 1
    conn.counters.segments_out += 1
    return data


def awaited(conn: Connection, now: int) -> bytes | None:
    """Nothing (b"") if the ACK of what has come waits for an answer that is not written yet, where
    `conn.predict`, nothing is in flight and nothing written; its timer is set. None if it is not
    that simple: see `output.poll`."""
    acks = conn.acks
    if not acks.interactive or (not conn.calm and not calm.look(conn, now)):
        return None
    rcv = conn.rcv
    waiting = rcv.rcv_nxt - rcv.last_ack_sent
    if not 0 < waiting < LARGE or rcv.ack_due() or conn.await_data:
        return None
    at = conn.timers.at
    if at[DELAYED_ACK] != NEVER:
        return None
    snd = conn.snd
    snd.probe_unarmed = False
    rtt = snd.rtt
    at[DELAYED_ACK] = due = now + acks.arrived(now, rcv.rcv_nxt, rtt.rto_ns, rtt.min_rtt_ns)
    if due < conn.heap_at:
        conn.agenda.deadlines.schedule(conn)
    return b""
