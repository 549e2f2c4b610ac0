"""Header prediction: the short way for what nearly every segment is.

A received buffer holds a train of datagrams, each `stride` bytes long. Segments with the same
flags, window, acknowledgment and timestamps whose sequence numbers follow one another are one
*run*: they are one burst of the sender. A run that begins at RCV.NXT, lies in the window and says
nothing new but its bytes and an acknowledgment passes every step of RFC 9293 §3.10.7.4 without
leaving a trace, so it is processed here once, as if it were one long segment. A FIN, or the ACK
of ours, goes to `farewell`, if nothing else is unusual; everything else to `arrival`, segment by
segment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import ack as acks
from utcp.core import arrival, farewell, train, tuning
from utcp.core.events import READABLE
from utcp.core.segment import (
    NOT_OURS,
    OK,
    PSH,
    STAMPED,
    STAMPED_SIZE,
    STAMPED_WORD,
    TIMESTAMPS_WORD,
    Segment,
)
from utcp.core.seq import MASK32

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_UNPACK: Final = STAMPED.unpack_from
_WORD: Final = STAMPED_WORD | PSH
_HALF: Final = 0x8000_0000


def receive(
    conn: Connection, now: int, buf: memoryview, length: int, stride: int, ce: bool, seg: Segment
) -> None:
    """Process the datagrams in `buf[:length]`, cut every `stride` bytes; `ce`: marked CE."""
    pos = 0
    while pos < length:
        end = pos + stride
        if end > length:
            end = length
        done = pos
        if conn.predict and end - pos >= STAMPED_SIZE:
            done = _run(conn, now, buf, pos, end, length, stride)
        if done == pos:
            if end - pos != STAMPED_SIZE or ce or not farewell.receive(conn, now, buf, pos):
                _segment(conn, now, buf, pos, end, ce, seg)
            done = end
        elif ce and conn.ecn_ok:
            # RFC 3168 §6.1.3: echo from now on, and at once.
            conn.rcv.ece = conn.rcv.ack_now = True
            conn.calm = False
        pos = done
    if now >= conn.rcv.tuner.due_at:
        # Once per round trip. What came together echoes the same timestamp, or nearly so.
        echo = -1
        if length >= STAMPED_SIZE:
            *_, option, _, ts_ecr = _UNPACK(buf, 0)
            if option == TIMESTAMPS_WORD:
                echo = ts_ecr
        tuning.tune(conn, now, echo)


def _segment(
    conn: Connection, now: int, buf: memoryview, pos: int, end: int, ce: bool, seg: Segment
) -> None:
    """Process the datagram `buf[pos:end]` step by step."""
    conn.segs_in += 1
    conn.counters.segments_in += 1
    status = seg.parse(buf, pos, end)
    if status == OK:
        arrival.segment_arrives(conn, now, seg, buf, ce)
    elif status == NOT_OURS:
        conn.counters.not_ours += 1
    else:
        conn.counters.malformed += 1


def _run(
    conn: Connection, now: int, buf: memoryview, pos: int, end: int, length: int, stride: int
) -> int:
    """Take the run that begins at `pos`. Returns where it ends, `pos` if it is not as predicted."""
    word, wnd, seq32, ack32, option, ts_val, ts_ecr = _UNPACK(buf, pos)
    rcv = conn.rcv
    seq = rcv.rcv_nxt
    if (
        word | PSH != _WORD
        or seq32 != seq & MASK32
        or option != TIMESTAMPS_WORD
        or (ts_val - rcv.ts_recent) & _HALF
    ):
        return pos
    snd = conn.snd
    una = snd.snd_una
    ack = snd.snd_nxt
    if ack32 != ack & MASK32 and (ack := _in_flight(una, ack32, ack)) < 0:
        return pos
    total = end - pos - STAMPED_SIZE
    count = 1
    last = seq
    views: list[bytes | memoryview] = []
    if total:
        if rcv.reassembly.starts or rcv.fin_seq >= 0 or conn.orphan:
            return pos
        room = rcv.rcv_adv - seq
        if end < length:
            end = train.gather(views, buf, pos, end, length, stride, room)
            if not views:
                return pos
            count = len(views)
            total = end - pos - count * STAMPED_SIZE
            last += total - len(views[-1])
        elif total > room:
            return pos
        else:
            # One by itself, or the last one.
            views.append(buf[pos + STAMPED_SIZE : end])
    conn.segs_in += count
    conn.counters.segments_in += count
    if seq <= rcv.last_ack_sent:
        # RFC 7323 §4.3 (2)
        rcv.ts_recent = ts_val
        rcv.ts_recent_at = now
    wnd <<= snd.snd_wscale
    if ack == una and total and wnd == snd.snd_wnd:
        acks.nothing_new(conn, now, last, ack)
    elif ack == una or not acks.predicted(conn, now, last, ack, wnd):
        acks.process(conn, now, last, ack, wnd, total, False, None, ts_ecr)
    if views:
        rcv.next_run(views, total)
        conn.signal(READABLE)
        conn.touch()
    return end


def _in_flight(una: int, ack32: int, nxt: int) -> int:
    """The acknowledgment of something between SND.UNA and SND.NXT, -1 if it is outside of that."""
    ack = una + ((ack32 - una + _HALF) & MASK32) - _HALF
    return ack if una <= ack <= nxt else -1
