"""Calm: while nothing is unusual, the shortest way in.

What could be in the way of header prediction (`fastpath`), and of `message`, is a long list, and
hardly ever true. So `look` goes through it once and sets `conn.calm`; and whoever changes something
that is on the list clears it: a segment that is not predicted, a time-out, a burst that `output`
had to decide on, an option, a close. What `message` and `bulk` send leaves it as it is. The
endpoint calls `look` when a segment has come by the long way and nothing is in flight.

While it is set, all that is in flight was sent once, and bears no mark.

`receive` does what `fastpath` does, as does `message.receive`, and `acknowledged` what
`ack.predicted` does: a change there is one here, too. `tests/unit/test_fastpath.py` compares them,
and with the long way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import train, tuning
from utcp.core.segment import PSH, STAMPED, STAMPED_SIZE, STAMPED_WORD, TIMESTAMPS_WORD
from utcp.core.seq import MASK32
from utcp.core.timers import CORK, KEEPALIVE, NEVER, PERSIST, PTO, RTO, USER

if TYPE_CHECKING:
    from utcp.core.connection import Connection
    from utcp.core.receiver import Receiver

_UNPACK: Final = STAMPED.unpack_from
_WORD: Final = STAMPED_WORD | PSH
_HALF: Final = 0x8000_0000


def receive(conn: Connection, now: int, buf: memoryview, length: int, stride: int) -> bool:
    """Take in `buf[:length]`, more than STAMPED_SIZE bytes, cut every `stride` bytes (0: one
    datagram), if `conn.calm`, and it is text that is next in order, and acknowledges all that is in
    flight, or nothing new. It is for the caller to announce that. If it is not that simple nothing
    is done: False, see `fastpath.receive`."""
    word, wnd, seq32, ack32, option, ts_val, ts_ecr = _UNPACK(buf)
    rcv = conn.rcv
    snd = conn.snd
    seq = last = rcv.rcv_nxt
    ack = snd.snd_nxt
    if (
        seq32 != seq & MASK32
        or word | PSH != _WORD
        or option != TIMESTAMPS_WORD
        or (ts_val - rcv.ts_recent) & _HALF
    ):
        return False
    wnd <<= snd.snd_wscale
    una = snd.snd_una
    if ack32 != ack & MASK32 or ack == una:
        if ack32 != una & MASK32 or wnd != snd.snd_wnd:
            return False
        ack = una
    elif not wnd:
        return False
    count = 1
    if stride and stride < length:
        count = _train(rcv, buf, length, stride)
        if not count:
            return False
        last += (count - 1) * (stride - STAMPED_SIZE)
    else:
        total = length - STAMPED_SIZE
        if total > rcv.rcv_adv - seq:
            return False
        rcv.next_text(buf[STAMPED_SIZE:length], total)
    conn.segs_in += count
    conn.counters.segments_in += count
    if seq <= rcv.last_ack_sent:
        # RFC 7323 §4.3 (2)
        rcv.ts_recent = ts_val
        rcv.ts_recent_at = now
    conn.last_heard_at = now
    snd.snd_wl1 = last
    snd.snd_wl2 = ack
    if ack != una:
        acknowledged(conn, now, ack, wnd)
    conn.touch()
    if now >= rcv.tuner.due_at:
        tuning.tune(conn, now, ts_ecr)
    return True


def _train(rcv: Receiver, buf: memoryview, length: int, stride: int) -> int:
    """Take in a train that fits into the window as a whole. Returns of how many segments, 0 if it
    is no such train."""
    views: list[bytes | memoryview] = []
    room = rcv.rcv_adv - rcv.rcv_nxt
    if train.gather(views, buf, 0, stride, length, stride, room) != length:
        return 0
    count = len(views)
    rcv.next_run(views, length - count * STAMPED_SIZE)
    return count


def acknowledged(conn: Connection, now: int, ack: int, wnd: int) -> None:
    """All that is in flight is acknowledged (RFC 9293 §3.10.7.4 step 5), by a segment with this
    window, in bytes."""
    snd = conn.snd
    snd.progress_at = now
    snd.snd_una = ack
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
    sample.srtt_ns = rtt.srtt_ns
    snd.cc.on_ack(sample)
    # RFC 6298 §5 (5.2): all acknowledged.
    at = conn.timers
    at[RTO] = at[PTO] = at[USER] = NEVER


def look(conn: Connection, now: int) -> None:
    """Look whether all is calm, and keep the answer in `conn.calm`."""
    snd = conn.snd
    rcv = conn.rcv
    held = rcv.reassembly
    at = conn.timers
    loss = snd.loss
    conn.calm = conn.predict and not (
        # Marks in the flight would be in the way.
        snd.snd_una != snd.snd_nxt
        # What would have to be sent first, or otherwise
        or snd.probe_due
        or snd.tail_probe_due
        or snd.cork
        or snd.override
        or snd.cwr_pending
        or snd.hold_until > now
        or conn.keepalive_due
        # RFC 9293 §3.8.4 (MUST-24): the application has turned it on.
        or (conn.keepalive_on and at[KEEPALIVE] == NEVER)
        or at[PERSIST] != NEVER
        or at[CORK] != NEVER
        or held.starts
        or held.duplicated
        or rcv.ece
        # A message would fill the window.
        or snd.cc.cwnd < 2 * snd.mss
        # What an ACK, or text, would have to end, or could be about
        or loss.state
        or loss.watch
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
