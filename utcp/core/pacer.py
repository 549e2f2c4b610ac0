"""Pacing: a window is spread over the round trip instead of leaving in one lump (RFC 9002 §7.7).

A token bucket that is counted in time: `next_at` is when its level is zero again. Once that
time has come a burst may go; what it sends moves `next_at` on by the time that the bytes take at
the pacing rate. Bursts hold about a millisecond of data, so that there is a timer per millisecond
and not per segment, and UDP_SEGMENT keeps its use.

Where the round trip is shorter than that there is nothing to spread: `on` is False then, and
pacing costs one comparison per burst.
"""

from __future__ import annotations

from typing import Final

_SECOND: Final = 1_000_000_000
_LEAST_RTT_NS: Final = 1_000_000
_BURST_NS: Final = 1_000_000
# How far the bucket fills beyond one burst: event loops keep time in whole milliseconds, rounded
# up, and what a late wake-up has missed must be made good or the rate would not be reached.
_CREDIT_NS: Final = 2_000_000
_LEAST_BURST_SEGMENTS: Final = 2
# As in Linux (tcp_pacing_ss_ratio, tcp_pacing_ca_ratio): a window is sent in half a round trip in
# slow start, so that it can double in each, and in less than a whole one later, so that it is the
# window and not the pacer that limits the rate.
_SLOW_START_PERCENT: Final = 200
_AVOIDANCE_PERCENT: Final = 120


def rate(cwnd: int, srtt_ns: int, slow_start: bool) -> int:
    """The pacing rate, bytes per second, for a congestion window and a smoothed round trip."""
    percent = _SLOW_START_PERCENT if slow_start else _AVOIDANCE_PERCENT
    return max(1, cwnd * percent * (_SECOND // 100) // max(srtt_ns, 1))


class Pacer:
    """When the next burst of one connection may leave. Bytes, bytes per second, nanoseconds."""

    __slots__ = ("_free", "enabled", "next_at", "on")

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.on = False
        """Whether bursts have to ask."""
        self.next_at = 0
        """When the next burst may go."""
        self._free = 0

    def start(self, initial_window: int) -> None:
        """Data transmission begins. The initial window may leave at once, as in Linux: as long as
        nothing is known of the path, waiting helps nobody."""
        self._free = initial_window
        self.next_at = 0

    def on_rtt(self, min_rtt_ns: int) -> None:
        """Pace if the path is long enough for that."""
        self.on = self.enabled and min_rtt_ns >= _LEAST_RTT_NS

    def burst(self, rate: int, mss: int) -> int:
        """How many bytes may go in one burst: about a millisecond of data, in whole segments."""
        size = max(rate * _BURST_NS // _SECOND, self._free)
        return max(size // mss, _LEAST_BURST_SEGMENTS) * mss

    def sent(self, now: int, nbytes: int, rate: int) -> None:
        """A burst of `nbytes` leaves at `now`, where the pacing rate is `rate`."""
        if self._free > 0:
            self._free -= nbytes
            return
        start = self.next_at
        if start < now - _CREDIT_NS:
            start = now - _CREDIT_NS
        self.next_at = start + nbytes * _SECOND // rate
