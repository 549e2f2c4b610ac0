"""Messages: the short way in and out for a single segment.

A request, and its answer, is mostly one segment that leaves when nothing is in flight, and is
acknowledged by the next one that comes. While all is `calm`, it passes every step of `arrival` and
`output` without leaving a trace but a few numbers. So those are all that is kept of it here: a
connection is *folded* while its send buffer, its flight and its timers have not been told of the
one message that is written, or in flight. Nothing else may look at these before `unfold` has told
them; it is called first by whatever is not for messages. A folded connection is calm.

This saves work, and the memory that it would touch: of a hundred connections there is next to
nothing of any one in the processor's caches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import calm, tuning
from utcp.core.ackdelay import LARGE
from utcp.core.segment import PSH, STAMPED, STAMPED_SIZE, STAMPED_WORD, TIMESTAMPS_WORD
from utcp.core.seq import MASK32
from utcp.core.timers import DELAYED_ACK, NEVER, PTO, RTO, USER
from utcp.core.tlp import pto_ns

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_PACK: Final = STAMPED.pack
_UNPACK: Final = STAMPED.unpack_from
_WORD: Final = STAMPED_WORD | PSH
_HALF: Final = 0x8000_0000
_MS: Final = 1_000_000


def receive(conn: Connection, now: int, buf: memoryview, length: int) -> bytes:
    """The text of `buf[:length]`, more than STAMPED_SIZE bytes, if `conn.calm`, and it is next in
    order, and acknowledges all that is in flight, or nothing new, and nothing before it is still to
    be read. Then it has been read. If it is not that simple nothing is done: b""."""
    word, wnd, seq32, ack32, option, ts_val, ts_ecr = _UNPACK(buf)
    rcv = conn.rcv
    snd = conn.snd
    seq = rcv.rcv_nxt
    size = length - STAMPED_SIZE
    if (
        seq32 != seq & MASK32
        or word | PSH != _WORD
        or option != TIMESTAMPS_WORD
        or (ts_val - rcv.ts_recent) & _HALF
        # Then reading it opens no window that would be worth an ACK: see `Connection.read`.
        or rcv.rcv_adv - seq - size <= rcv.capacity + 1 >> 1
        or rcv.buffer.size
    ):
        return b""
    wnd <<= snd.snd_wscale
    una = snd.snd_una
    ack = snd.snd_nxt
    if ack == una or ack32 != ack & MASK32:
        if ack32 != una & MASK32 or wnd != snd.snd_wnd:
            return b""
        ack = una
    elif not wnd:
        return b""
    elif conn.folded and not snd.cc.hears_every_ack:
        _acknowledged(conn, now, ack, wnd)
    else:
        conn.unfold()
        calm.acknowledged(conn, now, ack, wnd)
    conn.segs_in += 1
    conn.counters.segments_in += 1
    if seq <= rcv.last_ack_sent:
        # RFC 7323 §4.3 (2)
        rcv.ts_recent = ts_val
        rcv.ts_recent_at = now
    conn.last_heard_at = now
    snd.snd_wl1 = seq
    snd.snd_wl2 = ack
    if size > rcv.rcv_mss:
        rcv.rcv_mss = size if size < rcv.adv_mss else rcv.adv_mss
    if now >= rcv.tuner.due_at:
        tuning.tune(conn, now, ts_ecr)
    rcv.rcv_nxt = seq + size
    return buf[STAMPED_SIZE:length].tobytes()


def _acknowledged(conn: Connection, now: int, ack: int, wnd: int) -> None:
    """As `calm.acknowledged`, for the one message that is in flight."""
    snd = conn.snd
    conn.in_flight = b""
    if wnd != snd.snd_wnd:
        snd.snd_wnd = wnd
        if wnd > snd.max_snd_wnd:
            snd.max_snd_wnd = wnd
    rtt = snd.rtt
    if rtt.update(now - snd.last_sent_at, now):
        snd.pacer.on_rtt(rtt.min_rtt_ns)
    # A message does not fill the congestion window.
    snd.cc.on_rate_limited(now, ack - snd.snd_una, rtt.srtt_ns)
    snd.snd_una = ack


def write(conn: Connection, data: bytes) -> bool:
    """Fold it, if `conn.calm`: `data` is a message, as it seems, for nothing is in flight and
    nothing else is written. If it is not that simple nothing is done: False."""
    snd = conn.snd
    nxt = snd.snd_nxt
    if (
        conn.written
        or snd.snd_una != nxt
        or not 0 < len(data) <= snd.mss
        or snd.fin_queued
        or not (conn.folded or snd.buffer.end == nxt)
    ):
        return False
    conn.folded = True
    conn.written = data
    if not conn.queued:
        conn.queued = True
        conn.agenda.to_send.append(conn)
    return True


def send(conn: Connection, now: int) -> bytes | None:
    """`conn.written`, which is something, as one segment. None if it is not that simple: see
    `output.poll`."""
    snd = conn.snd
    rtt = snd.rtt
    rto_ns = rtt.rto_ns
    data = conn.written
    size = len(data)
    # RFC 5681 §4.1: the congestion window may be stale.
    if size > snd.snd_wnd or now - snd.last_sent_at > rto_ns or snd.pacer.on:
        return None
    rcv = conn.rcv
    start = snd.snd_nxt
    rcv_nxt = rcv.rcv_nxt
    header = _PACK(
        _WORD,
        rcv.offer_window(),
        start & MASK32,
        rcv_nxt & MASK32,
        TIMESTAMPS_WORD,
        now // _MS + conn.ts_offset & MASK32,
        rcv.ts_recent,
    )
    conn.written = b""
    conn.in_flight = data
    conn.more = snd.cwnd_limited = snd.probe_unarmed = rcv.ack_now = False
    snd.snd_nxt = start + size
    snd.last_sent_at = now
    acks = conn.acks
    if acks.unanswered:
        acks.answered(now, rcv_nxt)
    rcv.last_ack_sent = rcv_nxt
    conn.timers[DELAYED_ACK] = NEVER
    if conn.heap_at > now + conn.agenda.terms.soon_ns or conn.user_timeout_ns:
        conn.agenda.deadlines.schedule(conn)
    conn.segs_out += 1
    conn.counters.segments_out += 1
    return header + data


def awaited(conn: Connection, now: int) -> bytes | None:
    """Nothing (b"") if the ACK of what has come waits for an answer that is not written yet, where
    `conn.calm` and nothing is in flight; its timer is set. None if it is not that simple: see
    `output.poll`."""
    acks = conn.acks
    rcv = conn.rcv
    waiting = rcv.rcv_nxt - rcv.last_ack_sent
    if not acks.interactive or not 0 < waiting < LARGE or rcv.ack_due() or conn.await_data:
        return None
    snd = conn.snd
    nxt = snd.snd_nxt
    if snd.snd_una != nxt or not (conn.folded or snd.buffer.end == nxt):
        return None
    at = conn.timers
    if at[DELAYED_ACK] != NEVER:
        return None
    snd.probe_unarmed = False
    rtt = snd.rtt
    at[DELAYED_ACK] = due = now + acks.arrived(now, rcv.rcv_nxt, rtt.rto_ns, rtt.min_rtt_ns)
    if due < conn.heap_at:
        conn.agenda.deadlines.note(conn, due)
    return b""


def unfold(conn: Connection) -> None:
    """Tell the parts of a folded connection what they have not been told."""
    conn.folded = False
    snd = conn.snd
    una = snd.snd_una
    buffer = snd.buffer
    buffer.restart(una)
    snd.flight.restart(una)
    data = conn.in_flight
    if data:
        nxt = snd.snd_nxt
        sent_at = snd.last_sent_at
        buffer.append(data)
        snd.flight.sent(una, nxt, sent_at)
        snd.progress_at = sent_at
        if len(data) < snd.mss:
            snd.small_end = nxt
        at = conn.timers
        # RFC 6298 §5 (5.1)
        at[RTO] = due = sent_at + snd.rtt.rto_ns
        if snd.loss.may_probe:
            # RFC 8985 §7.2
            at[PTO] = min(due, sent_at + pto_ns(snd.rtt.srtt_ns, True, conn.acks.most_ns))
        if conn.user_timeout_ns:
            at[USER] = sent_at + conn.user_timeout_ns
        conn.in_flight = b""
    if conn.written:
        buffer.append(conn.written)
        conn.written = b""
