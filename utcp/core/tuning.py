"""Receive buffer auto-tuning of a connection: what `autotune` measures, done to the receiver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core.pmtu import LOOPBACK_MTU
from utcp.core.seq import MASK32

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_FAST_RTT_NS: Final = 1_000_000
# With as much as this unread when more has come, it is no message.
_BULK: Final = 32 << 10
# How often it is seen then who is there besides.
_BULK_INTERVAL_NS: Final = 10_000_000
_MOST_ECHO_MS: Final = 10_000
# Where all of a window stands in the socket's buffer, more than this does not make it faster, but
# slower, for it falls out of the processor's caches; and it is what other connections on the
# socket wait for.
_FAST_WINDOW: Final = 2 << 20


def start(conn: Connection, now: int) -> None:
    """The handshake is over: from now on the receive buffer fits itself to the path."""
    rcv = conn.rcv
    rcv.tuner.start(now, conn.snd.rtt.min_rtt_ns, conn.snd.mss)
    fast = _fast(conn)
    most = _most(conn, fast)
    if fast:
        most = min(most, conn.agenda.sharing.part(now, conn.burst_capacity))
    # What the UDP socket's buffer allows is little and held anyway: no need to grow into it.
    if fast or most < rcv.capacity:
        rcv.capacity = most


def tune(conn: Connection, now: int, ts_ecr: int) -> None:
    """Segments have come, with this timestamp echoed (-1: none), and `rcv.tuner` is due."""
    rcv = conn.rcv
    if conn.ts_ok and ts_ecr >= 0:
        # RFC 7323 §3: the echo is that of an ACK of ours.
        age_ms = conn.ts_clock(now) - ts_ecr & MASK32
        rcv.tuner.note_rtt(min(age_ms, _MOST_ECHO_MS) * 1_000_000)
    elif conn.snd.rtt.srtt_ns:
        rcv.tuner.note_rtt(conn.snd.rtt.srtt_ns)
    taken = rcv.total - rcv.buffer.size
    fast = _fast(conn)
    most = _most(conn, fast)
    rcv.capacity = rcv.tuner.adjust(now, taken, rcv.capacity, most, rcv.rcv_mss)
    if fast:
        # What was measured is for the day when the path is not fast any more.
        _share(conn, now, most)
    if conn.agenda.memory.pressed:
        conn.agenda.memory.squeeze(conn)


def _share(conn: Connection, now: int, most: int) -> None:
    """Give the connection, which alone would have `most`, its part of the socket's buffer."""
    rcv = conn.rcv
    sharing = conn.agenda.sharing
    if rcv.buffer.size >= _BULK:
        sharing.note(conn, now)
        rcv.tuner.due_at = now + _BULK_INTERVAL_NS
    # RFC 9293 §3.8.6 (SHLD-14): what was promised before stands, and is used up first.
    rcv.capacity = min(most, sharing.part(now, conn.burst_capacity))


def _most(conn: Connection, fast: bool) -> int:
    """What the receive buffer may grow to: the size asked for, what the window field can say,
    and, if the path is `fast`, what the UDP socket's buffer can hold."""
    most = conn.most_received
    if fast:
        most = min(most, conn.burst_capacity, _FAST_WINDOW)
    return most


def _fast(conn: Connection) -> bool:
    """Whether a whole window can arrive between two wake-ups, and what that must fit into."""
    if not conn.burst_capacity:
        return False
    return conn.snd.rtt.min_rtt_ns < _FAST_RTT_NS or conn.path_mtu >= LOOPBACK_MTU
