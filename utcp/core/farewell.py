"""Farewell: the short way in for the two segments that end a connection.

A FIN that comes by itself, and the ACK of ours, pass every step of RFC 9293 §3.10.7.4 without a
word where all was well until then. Both acknowledge all that is in flight, or nothing new. With
either of them the connection may be over, and then nobody asks any more what the path was like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import ack as acks
from utcp.core import teardown
from utcp.core.segment import FIN, PSH, STAMPED, STAMPED_WORD, TIMESTAMPS_WORD
from utcp.core.seq import MASK32
from utcp.core.state import CLOSING, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, LAST_ACK

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_UNPACK: Final = STAMPED.unpack_from
_WORD: Final = STAMPED_WORD | PSH | FIN
_HALF: Final = 0x8000_0000
# Where a FIN can be news, and where an ACK can be that of our FIN.
_FIN_EXPECTED: Final = frozenset((ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2))
_ACK_EXPECTED: Final = frozenset((FIN_WAIT_1, CLOSING, LAST_ACK))


def receive(conn: Connection, now: int, buf: memoryview, pos: int) -> bool:
    """Take in the `STAMPED_SIZE` bytes at `pos`, all of a datagram without a CE mark. If it is not
    that simple nothing is done: False, see `arrival`."""
    word, wnd, seq32, ack32, option, ts_val, _ = _UNPACK(buf, pos)
    rcv = conn.rcv
    snd = conn.snd
    seq = rcv.rcv_nxt
    ack = snd.snd_nxt
    state = conn.state
    fin = word & FIN
    if (
        word | PSH | FIN != _WORD
        or seq32 != seq & MASK32
        or ack32 != ack & MASK32
        or option != TIMESTAMPS_WORD
        or (ts_val - rcv.ts_recent) & _HALF
        or not conn.ts_ok
        or state not in (_FIN_EXPECTED if fin else _ACK_EXPECTED)
        or (fin and (rcv.reassembly.starts or rcv.fin_seq >= 0))
    ):
        return False
    una = snd.snd_una
    wnd <<= snd.snd_wscale
    acked = ack > una and snd.fin_queued  # our FIN, if it is not still to be sent
    if (acked and ack <= snd.buffer.end) or not (acked or fin):
        return False
    if ack == una:
        if wnd != snd.snd_wnd or snd.probes or not snd.loss.settled:
            return False
        acks.nothing_new(conn, now, seq, ack)
    elif acked and (fin or state is not FIN_WAIT_1):
        # Nothing of it will matter but that all has arrived.
        if snd.flight.pipe != ack - una or snd.loss.state:
            return False
        snd.snd_una = ack
    elif not acks.predicted(conn, now, seq, ack, wnd):
        return False
    conn.segs_in += 1
    conn.counters.segments_in += 1
    conn.calm = False
    if seq <= rcv.last_ack_sent:
        # RFC 7323 §4.3 (2)
        rcv.ts_recent = ts_val
        rcv.ts_recent_at = now
    if acked:
        teardown.fin_acked(conn)
    if fin:
        rcv.fin_seq = seq
        teardown.fin_received(conn)
    return True
