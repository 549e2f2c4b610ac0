"""Bulk: the short way out for whole segments of new data.

In the middle of a transfer most bursts are cut from what is written, as far as the windows let it
go, and have nothing else to say. They pass every step of `output.poll` without leaving a trace,
so they are made here at once.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from utcp.core import burst
from utcp.core.segment import ECE, PSH, STAMPED_SIZE, STAMPED_WORD, TIMESTAMPS_WORD
from utcp.core.seq import MASK32
from utcp.core.timers import KEEPALIVE, NEVER
from utcp.core.transmit import Transmit

if TYPE_CHECKING:
    from utcp.core.connection import Connection
    from utcp.core.sender import Sender

_HEAD: Final = Struct(">HH")
# Acknowledgment; the word that opens the timestamps option; both timestamps.
_TAIL: Final = Struct(">IIII")
_MS: Final = 1_000_000
# Bursts that are cut and accounted for at once: half of the work is done once for all of them.
_BURSTS: Final = 4


def send(conn: Connection, now: int, max_bytes: int, max_segments: int) -> Transmit | None:
    """The next burst, if `conn.predict` and it has whole segments of new data only: at most
    `max_segments` of them, or `max_bytes`; those that follow it are left in `agenda.bursts`. None
    if it is not that simple: see `output.poll`, which this is like also in what it says by
    `conn.more`."""
    snd = conn.snd
    held = conn.rcv.reassembly
    if snd.pacer.on or snd.flight.lost_bytes or held.starts or held.duplicated:
        return None
    if snd.probe_due or snd.tail_probe_due or snd.cwr_pending or snd.cork:
        return None
    if now >= conn.pmtu.probe_at or snd.hold_until > now:
        return None
    # RFC 9293 §3.8.4 (MUST-24): the application has turned keepalive on. RFC 5681 §4.1: the
    # congestion window may be stale.
    if (conn.keepalive_on and conn.timers[KEEPALIVE] == NEVER) or (
        snd.snd_nxt == snd.snd_una and now - snd.last_sent_at > snd.rtt.rto_ns
    ):
        return None
    mss = snd.mss
    count = _segments(snd, mss)
    if count <= 0:
        return None
    most = max_bytes // (mss + STAMPED_SIZE) or 1
    if most > max_segments:
        most = max_segments
    conn.more = count > most * _BURSTS
    return _cut(conn, now, mss, most, most * _BURSTS if conn.more else count)


def _segments(snd: Sender, mss: int) -> int:
    """How many whole segments may go now, as `Sender.new_data_end` would have it; 0 if there are
    none, or not only such."""
    nxt = snd.snd_nxt
    allowed = queued = snd.buffer.end - nxt
    usable = snd.snd_una + snd.snd_wnd - nxt
    if usable < allowed:
        allowed = usable
    room = snd.cc.cwnd - snd.flight.pipe
    if allowed > room:
        if room >= mss:
            snd.cwnd_limited = True
        return room // mss
    count = allowed // mss
    rest = allowed - count * mss
    # It may go if it is the last, or large, or has waited for long.
    if rest and (allowed == queued or snd.override or rest >= snd.max_snd_wnd >> 1):
        return 0
    if count > 0:
        snd.cwnd_limited = room - allowed < mss
    return count


def _cut(conn: Connection, now: int, mss: int, most: int, count: int) -> Transmit:
    """The next `count` segments of `mss` bytes each, in bursts of `most`."""
    snd = conn.snd
    rcv = conn.rcv
    buffer = snd.buffer
    nxt = snd.snd_nxt
    end = nxt + count * mss
    word = STAMPED_WORD | ECE if rcv.ece else STAMPED_WORD
    window = rcv.offer_window()
    head = last_head = _HEAD.pack(word, window)
    if end == buffer.end:
        # RFC 9293 §3.9.1.2 (MUST-60, MUST-61)
        last_head = _HEAD.pack(word | PSH, window)
    tail = _TAIL.pack(
        rcv.rcv_nxt & MASK32, TIMESTAMPS_WORD, now // _MS + conn.ts_offset & MASK32, rcv.ts_recent
    )
    burst.sent(conn, now, nxt, end, count)
    step = most * mss
    bursts: list[Transmit] = []
    while nxt < end:
        stop = nxt + step
        last = head
        if stop >= end:
            stop = end
            last = last_head
        data = burst.cut(buffer, nxt, stop, mss, head, last, tail)
        bursts.append(Transmit(conn.addr, data, mss + STAMPED_SIZE, conn.data_tos))
        nxt = stop
    if len(bursts) > 1:
        conn.agenda.bursts.extend(bursts[1:])
    return bursts[0]
