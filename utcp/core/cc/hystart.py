"""HyStart++ (RFC 9406): leave the initial slow start when the round trips get longer.

A round is the time until what was outstanding at its beginning is acknowledged. A least RTT well
above that of the round before says that a queue builds up at the bottleneck: then Conservative
Slow Start (CSS) goes on with a quarter of the growth, back to slow start if the RTT falls again,
else to congestion avoidance after five rounds. What losses and marks do is the controller's.

The limit L is the controller's, too: it hands over min(N, L * SMSS).
"""

from __future__ import annotations

from typing import Final

# RFC 9406 §4.3
MIN_RTT_THRESH_NS: Final = 4_000_000
MAX_RTT_THRESH_NS: Final = 16_000_000
MIN_RTT_DIVISOR: Final = 8
N_RTT_SAMPLE: Final = 8
CSS_GROWTH_DIVISOR: Final = 4
CSS_ROUNDS: Final = 5

_INFINITY: Final = 1 << 62


class HyStart:
    """One initial slow start. `done`: congestion avoidance is to begin, with ssthresh = cwnd."""

    __slots__ = (
        "_baseline_ns",
        "_css_rounds",
        "_current_ns",
        "_last_ns",
        "_samples",
        "_window_end",
        "done",
        "in_css",
    )

    def __init__(self) -> None:
        self.done = False
        self.in_css = False
        self._css_rounds = 0
        self._baseline_ns = _INFINITY  # cssBaselineMinRtt
        self._last_ns = _INFINITY  # lastRoundMinRTT
        self._current_ns = _INFINITY  # currentRoundMinRTT
        self._samples = 0  # rttSampleCount
        self._window_end = -1  # the first ACK ends a round that had nothing in it

    def on_ack(self, una: int, snd_nxt: int, rtt_ns: int, counted: int) -> int:
        """An ACK up to `una` in slow start, with its RTT sample or -1; `counted`: min(N, L * SMSS).

        Returns how much the window grows.
        """
        # RFC 9406 §4.2: cwnd + min(N, L * SMSS), in CSS divided by CSS_GROWTH_DIVISOR.
        growth = counted // CSS_GROWTH_DIVISOR if self.in_css else counted
        if rtt_ns >= 0:
            self._samples += 1
            if rtt_ns < self._current_ns:
                self._current_ns = rtt_ns
            if self._samples >= N_RTT_SAMPLE:
                self._judge()
        if una >= self._window_end:
            self._end_round(snd_nxt)
        return growth

    def _judge(self) -> None:
        """Compare the least RTT of this round, if there were enough samples for one."""
        current = self._current_ns
        if self.in_css:
            # RFC 9406 §4.2: the exit was spurious, resume slow start.
            if current < self._baseline_ns:
                self._baseline_ns = _INFINITY
                self.in_css = False
        elif self._last_ns != _INFINITY:
            # RFC 9406 §4.2: RttThresh
            thresh = min(self._last_ns // MIN_RTT_DIVISOR, MAX_RTT_THRESH_NS)
            if current >= self._last_ns + max(thresh, MIN_RTT_THRESH_NS):
                self._baseline_ns = current
                self.in_css = True
                self._css_rounds = 0

    def _end_round(self, snd_nxt: int) -> None:
        """RFC 9406 §4.2: windowEnd is acknowledged."""
        self._window_end = snd_nxt
        self._last_ns = self._current_ns
        self._current_ns = _INFINITY
        self._samples = 0
        if self.in_css:
            # RFC 9406 §4.2: the round in which CSS began counts.
            self._css_rounds += 1
            if self._css_rounds >= CSS_ROUNDS:
                self.done = True
