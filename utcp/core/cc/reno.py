"""Reno: slow start and congestion avoidance of RFC 5681, by counting bytes as RFC 3465 does."""

from __future__ import annotations

from typing import Final

from utcp.core.cc.base import CongestionControl
from utcp.core.sample import AckSample

_GROWTH_SEGMENTS: Final = 64


class Reno(CongestionControl):
    """The standard controller. NewReno (RFC 6582) is this with the recovery of `loss`."""

    __slots__ = ("_bytes_acked",)

    name = "reno"

    def __init__(self, mss: int, initial_window_segments: int) -> None:
        super().__init__(mss, initial_window_segments)
        self._bytes_acked = 0

    def on_ack(self, sample: AckSample) -> None:
        """Grow: by what was acknowledged in slow start, by one segment per window after it."""
        acked = sample.acked
        # RFC 3168 §6.1.2: no growth by an ACK with ECN-Echo.
        if not acked or not sample.cwnd_limited or sample.in_recovery or sample.ece:
            return
        # RFC 5681 §3.1 equation (2) allows one segment per ACK. That supposes an ACK for every
        # other segment; where one ACK answers a burst it would make slow start linear. So, as in
        # Linux, the bytes count (RFC 3465), up to what UDP_SEGMENT puts into one burst. An ACK
        # that fills a hole covers data that had left the network before: what was in the network
        # bounds what can have left it now, which after a time-out is RFC 3465's L = 1.
        acked = min(acked, sample.prior_in_flight, _GROWTH_SEGMENTS * self.mss)
        cwnd = self.cwnd
        if cwnd < self.ssthresh:
            grown = min(cwnd + acked, self.ssthresh)
            acked -= grown - cwnd
            self.cwnd = cwnd = grown
            if not acked:
                return
        # RFC 5681 §3.1: when the number of bytes acknowledged reaches cwnd, by up to SMSS bytes.
        self._bytes_acked += acked
        if self._bytes_acked >= cwnd:
            self._bytes_acked -= cwnd
            self.cwnd = cwnd + self.mss

    def on_loss(self, now: int, in_flight: int) -> None:
        """Halve the window. It stays so in recovery, because `pipe` does the accounting."""
        super().on_loss(now, in_flight)
        self._bytes_acked = 0

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        """Begin again with one segment and slow start."""
        super().on_rto(now, in_flight, first)
        self._bytes_acked = 0

    def on_ecn(self, now: int, in_flight: int) -> None:
        """Halve the window."""
        self.on_loss(now, in_flight)
