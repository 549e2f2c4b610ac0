"""Messages: the short way out for a single segment.

A request, and its answer, is mostly one segment that leaves when nothing is in flight. It passes
every step of `output.poll` without leaving a trace, so it is made here at once.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from utcp.core import burst
from utcp.core.segment import ACK, ECE, HEADER_SIZE, PSH, TIMESTAMPS_SIZE, TIMESTAMPS_WORD
from utcp.core.seq import MASK32
from utcp.core.timers import KEEPALIVE, NEVER, PTO, RTO
from utcp.core.tlp import pto_ns
from utcp.core.transmit import Transmit

if TYPE_CHECKING:
    from utcp.core.connection import Connection

# Offset and flags, window; sequence; acknowledgment and the word that opens the timestamps
# option; both timestamps.
_HEADER: Final = Struct(">HHIIIII")
_WORD: Final = 0x5000 + (TIMESTAMPS_SIZE << 10) | ACK | PSH
_ECT0: Final = 2  # RFC 3168 §5
_MS: Final = 1_000_000


def send(conn: Connection, now: int) -> Transmit | None:
    """All that is written, as one segment, if `conn.predict` and nothing is in flight; then there
    is nothing left to send. None if it is not that simple: see `output.poll`."""
    snd = conn.snd
    nxt = snd.snd_nxt
    buffer = snd.buffer
    end = buffer.end
    size = end - nxt
    rcv = conn.rcv
    held = rcv.reassembly
    rtt = snd.rtt
    loss = snd.loss
    at = conn.timers.at
    mss = snd.mss
    if size > mss or size <= 0 or size > snd.snd_wnd or snd.probe_due or snd.tail_probe_due:
        return None
    if snd.cork or snd.pacer.on or snd.cwr_pending or snd.hold_until > now:
        return None
    if held.starts or held.duplicated or loss.state or loss.watch:
        return None
    # RFC 5681 §4.1: the congestion window may be stale. RFC 9293 §3.8.4 (MUST-24): the application
    # has turned keepalive on.
    if now - snd.last_sent_at > rtt.rto_ns or (conn.keepalive_on and at[KEEPALIVE] == NEVER):
        return None
    data = _HEADER.pack(
        _WORD | ECE if rcv.ece else _WORD,
        rcv.offer_window(),
        nxt & MASK32,
        rcv.rcv_nxt & MASK32,
        TIMESTAMPS_WORD,
        now // _MS + conn.ts_offset & MASK32,
        rcv.ts_recent,
    ) + buffer.rest(nxt)
    snd.cwnd_limited = conn.more = False
    if size < mss:
        snd.small_end = end
    burst.sent(conn, now, nxt, end, 1, size)
    if snd.probe_unarmed:
        # RFC 8985 §7.2
        snd.probe_unarmed = False
        due = now + pto_ns(rtt.srtt_ns, True, conn.acks.most_ns)
        at[PTO] = due if due < at[RTO] else at[RTO]
    tos = conn.dscp << 2 | _ECT0 if conn.ecn_ok else conn.dscp << 2
    return Transmit(conn.addr, data, HEADER_SIZE + TIMESTAMPS_SIZE + mss, tos)
