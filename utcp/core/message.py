"""Messages: the short way in and out for a single segment that has no company.

A request, and its answer, is mostly one segment that leaves when nothing is in flight, and that
acknowledges all that the other side has sent. It passes every step of `fastpath`, `ack` and
`output` without leaving a trace, so it is taken in here at once, and made here at once.

What could be in the way of that is a long list, and hardly ever true. So `send` goes through it
once, sets `conn.calm`, and whoever changes something that is on the list clears it: a segment or
an ACK that takes the long way, a time-out, a burst of `output`'s, an option, a close.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from utcp.core import events
from utcp.core.segment import ACK, HEADER_SIZE, PSH, TIMESTAMPS_SIZE, TIMESTAMPS_WORD
from utcp.core.seq import MASK32
from utcp.core.timers import CORK, DELAYED_ACK, KEEPALIVE, NEVER, PERSIST, PTO, RTO, USER
from utcp.core.tlp import pto_ns
from utcp.core.transmit import Transmit

if TYPE_CHECKING:
    from utcp.core.connection import Connection

# Offset and flags; window; sequence; acknowledgment; the word that opens the timestamps option;
# both timestamps.
_HEADER: Final = Struct(">HHIIIII")
_PACK: Final = _HEADER.pack
_UNPACK: Final = _HEADER.unpack_from
_SIZE: Final = HEADER_SIZE + TIMESTAMPS_SIZE
_WORD: Final = 0x5000 + (TIMESTAMPS_SIZE << 10) | ACK | PSH
_ECT0: Final = 2  # RFC 3168 §5
_MS: Final = 1_000_000
_HALF: Final = 0x8000_0000


def receive(conn: Connection, now: int, buf: memoryview, length: int) -> bool:
    """Take in the datagram `buf[:length]`, if `conn.calm` and it has text that is next in order,
    and acknowledges all that is in flight, which is something. If it is not that simple nothing is
    done: False, see `fastpath.receive`."""
    size = length - _SIZE
    if size <= 0:
        return False
    word, wnd, seq32, ack32, option, ts_val, _ = _UNPACK(buf)
    rcv = conn.rcv
    snd = conn.snd
    seq = rcv.rcv_nxt
    ack = snd.snd_nxt
    if (
        seq32 != seq & MASK32
        or ack32 != ack & MASK32
        or word | PSH != _WORD
        or option != TIMESTAMPS_WORD
        or (ts_val - rcv.ts_recent) & _HALF
        or size > rcv.rcv_adv - seq
        or not wnd
        or ack == snd.snd_una
        or now >= rcv.tuner.due_at
    ):
        return False
    conn.segs_in += 1
    conn.counters.segments_in += 1
    if seq <= rcv.last_ack_sent:
        # RFC 7323 §4.3 (2)
        rcv.ts_recent = ts_val
        rcv.ts_recent_at = now
    # RFC 9293 §3.10.7.4 step 5
    conn.last_heard_at = snd.progress_at = now
    snd.snd_wl1 = seq
    snd.snd_wl2 = snd.snd_una = ack
    wnd <<= snd.snd_wscale
    if wnd != snd.snd_wnd:
        snd.snd_wnd = wnd
        if wnd > snd.max_snd_wnd:
            snd.max_snd_wnd = wnd
    snd.buffer.release(ack)
    sample = snd.sample
    snd.flight.ack_all(now, sample)
    sample.una = sample.snd_nxt = ack
    sample.cwnd_limited = snd.cwnd_limited
    snd.cwnd_limited = False
    rtt = snd.rtt
    if rtt.update(sample.rtt_ns, now):
        snd.pacer.on_rtt(rtt.min_rtt_ns)
        conn.calm = False
    sample.srtt_ns = rtt.srtt_ns
    snd.cc.on_ack(sample)
    # RFC 6298 §5 (5.2): all acknowledged.
    at = conn.timers.at
    at[RTO] = at[PTO] = at[USER] = NEVER
    # RFC 9293 §3.10.7.4 step 7
    if size > rcv.rcv_mss:
        rcv.rcv_mss = size if size < rcv.adv_mss else rcv.adv_mss
    rcv.buffer.append(buf[_SIZE:length], True)
    rcv.rcv_nxt = seq + size
    conn.signal(events.READABLE)
    if not conn.queued:
        conn.touch()
    return True


def send(conn: Connection, now: int) -> Transmit | None:
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
    if not conn.calm and not _look(conn, now):
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
    if snd.loss.may_probe:
        # RFC 8985 §7.2
        probe_at = now + pto_ns(snd.rtt.srtt_ns, True, acks.most_ns)
        at[PTO] = probe_at if probe_at < due else due
    if conn.user_timeout_ns:
        at[USER] = now + conn.user_timeout_ns
    at[DELAYED_ACK] = NEVER
    conn.segs_out += 1
    conn.counters.segments_out += 1
    tos = conn.dscp << 2 | _ECT0 if conn.ecn_ok else conn.dscp << 2
    return Transmit(conn.addr, data, _SIZE + mss, tos)


def _look(conn: Connection, now: int) -> bool:
    """Whether nothing is in the way of messages, while nothing is in flight: `conn.calm`."""
    snd = conn.snd
    rcv = conn.rcv
    held = rcv.reassembly
    at = conn.timers.at
    loss = snd.loss
    conn.calm = not (
        # In `send`
        snd.probe_due
        or snd.tail_probe_due
        or snd.cork
        or snd.override
        or snd.pacer.on
        or snd.cwr_pending
        or snd.hold_until > now
        or conn.keepalive_due
        # RFC 9293 §3.8.4 (MUST-24): the application has turned it on.
        or (conn.keepalive_on and at[KEEPALIVE] == NEVER)
        or at[PERSIST] != NEVER
        or at[CORK] != NEVER
        # In both
        or held.starts
        or held.duplicated
        or rcv.ece
        or loss.state
        or loss.watch
        # In `receive`
        or conn.orphan
        or rcv.fin_seq >= 0
        or loss.dup_acks
        or snd.retries
        or conn.keepalive_probes
        or conn.writable_level >= 0
        or snd.snd_wl1 > rcv.rcv_nxt
        or snd.snd_una < snd.flight.repeated_below
        or conn.pmtu.probed
    )
    return conn.calm
