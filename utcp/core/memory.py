"""How many bytes the buffers of all connections hold together, and what is done when it is much.

Nothing is counted while segments and calls go the usual way, which leaves nothing behind. Bytes
are noted where they begin to stay: what an application has not read at the end of a wake-up, what
is held out of order, what was not acknowledged in time or waits for a window, what fills a send
buffer. So the sum may be too large, for nobody notes what goes; before it counts for anything it
is worked out anew.

Under pressure, as with Linux's tcp_mem, no connection comes to be, and those that there are get
buffers of four segments: what their peers were promised still comes in, but windows do not open
again, and what is written makes the application pause. Whatever has been acknowledged stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import autotune
from utcp.core.state import CLOSED, TIME_WAIT
from utcp.core.timers import NEVER

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_INTERVAL_NS: Final = 100_000_000
_SEGMENTS: Final = 4  # as in Linux


class Memory:
    """The account of one endpoint, which stands at `limit` bytes at most; 0: no limit."""

    __slots__ = ("_held", "_level", "_limit", "_squeezed", "look_at", "pressed", "used")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._level = limit
        self._held: dict[Connection, int] = {}
        self._squeezed: dict[Connection, None] = {}
        self.used = 0
        """Bytes, as far as they were noted."""
        self.pressed = False
        """Whether there are too many."""
        self.look_at = NEVER
        """When `look` wants to be called."""

    def note(self, conn: Connection) -> None:
        """Some bytes have begun to stay in the buffers of `conn`."""
        if not self._limit or conn.state is CLOSED or conn.state is TIME_WAIT:
            return
        nbytes = _held_by(conn)
        self.used += nbytes - self._held.get(conn, 0)
        if nbytes:
            self._held[conn] = nbytes
        else:
            self._held.pop(conn, None)
        if self.used > self._level and not self.pressed:
            self.look_at = 0

    def forget(self, conn: Connection) -> None:
        """The connection is over."""
        self.used -= self._held.pop(conn, 0)
        self._squeezed.pop(conn, None)

    def look(self, now: int) -> None:
        """Count, and make or end the pressure."""
        held = {conn: nbytes for conn in self._held if (nbytes := _held_by(conn))}
        self._held = held
        self.used = sum(held.values())
        if self.used > self._limit:
            self.pressed = True
            for conn in held:
                self.squeeze(conn)
        elif self.pressed and self.used <= self._limit - (self._limit >> 3):
            self.pressed = False
            for conn in self._squeezed:
                _relax(conn)
            self._squeezed.clear()
        self.look_at = now + _INTERVAL_NS if self.pressed else NEVER
        # Not again for a few bytes more: each time costs something for every connection.
        self._level = max(self._limit, self.used + (self._limit >> 6))

    def squeeze(self, conn: Connection) -> None:
        """Take in no more than what the peer was promised, and buffer no more of what is written.

        RFC 9293 §3.8.6 (SHLD-14): the right edge of the window stays where it is.
        """
        rcv = conn.rcv
        rcv.capacity = min(rcv.capacity, _SEGMENTS * rcv.rcv_mss)
        conn.squeezed = True
        self._squeezed[conn] = None


def _held_by(conn: Connection) -> int:
    rcv = conn.rcv
    return rcv.buffer.size + rcv.reassembly.nbytes + conn.buffered


def _relax(conn: Connection) -> None:
    """Give back what a new connection has; it grows from there."""
    rcv = conn.rcv
    rcv.capacity = max(rcv.capacity, autotune.initial(rcv.adv_mss, conn.most_received))
    conn.squeezed = False
    if rcv.window_update_due():
        conn.window_opened()
    conn.check_writable()
