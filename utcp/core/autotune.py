"""Receive buffer auto-tuning: a window that is large enough for the path, and no larger.

Dynamic right-sizing, as in Linux. Once per round trip the receiver looks how many bytes its
application took out since the last look. That is what a window's worth of data came to, so a
buffer of twice as much lets the sender double its rate in the next round trip; slow start needs
that, and four times as much when the rate is growing. A sender that is slow, or an application
that does not read, never makes the buffer grow.

The round trip is measured by the receiver, which sends little itself: a segment of data echoes the
timestamp of the ACK that let it go (RFC 7323 §3).
"""

from __future__ import annotations

from typing import Final

from utcp.core.timers import NEVER

INITIAL: Final = 256 << 10
"""Bytes of buffer to begin with, unless segments are very large."""

_INITIAL_SEGMENTS: Final = 16
_UNKNOWN_RTT_NS: Final = 100_000_000
_LEAST_RTT_NS: Final = 1_000_000
_SETTLED_NS: Final = 1_000_000_000


def initial(mss: int, limit: int) -> int:
    """The receive buffer of a new connection, bytes; never more than `limit`."""
    return min(max(INITIAL, _INITIAL_SEGMENTS * mss), limit)


class ReceiveTuner:
    """The measurements of one connection. Bytes and nanoseconds."""

    __slots__ = ("_rtt_ns", "_space", "_taken", "due_at")

    def __init__(self) -> None:
        self.due_at = NEVER
        """When `adjust` is to be called: with the first data that arrives then or later."""
        self._rtt_ns = 0
        self._space = 0  # what was taken in the best round trip so far
        self._taken = 0

    def start(self, now: int, rtt_ns: int, mss: int) -> None:
        """The connection is open; `rtt_ns` is what its handshake took, 0 if that is unknown."""
        self._rtt_ns = max(rtt_ns or _UNKNOWN_RTT_NS, _LEAST_RTT_NS)
        self._space = 10 * mss
        self._taken = 0
        self.due_at = now + self._rtt_ns

    def note_rtt(self, rtt_ns: int) -> None:
        """Take a sample of the round trip.

        A smaller one counts at once, a larger one by an eighth: it may hold a pause of the sender.
        """
        sample = max(rtt_ns, _LEAST_RTT_NS)
        old = self._rtt_ns
        self._rtt_ns = sample if sample < old else old + (sample - old >> 3)

    def adjust(self, now: int, taken: int, capacity: int, limit: int, mss: int) -> int:
        """The receive buffer from now on: `capacity` as it is, or more, at most `limit`.

        `taken` counts all bytes that the application has taken so far.
        """
        copied = taken - self._taken
        self._taken = taken
        if copied > self._space:
            window = 2 * copied + 16 * mss
            window += 2 * (window * (copied - self._space) // self._space)
            self._space = copied
            # An eighth of the buffer is kept back for windows that are rounded up.
            capacity = max(capacity, window * 8 // 7)
        capacity = min(capacity, limit)
        # At its limit it cannot grow, but the limit itself may change with the path.
        self.due_at = now + (self._rtt_ns if capacity < limit else _SETTLED_NS)
        return capacity
