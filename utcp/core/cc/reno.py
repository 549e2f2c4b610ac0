"""Reno: slow start and congestion avoidance of RFC 5681, by counting bytes as RFC 3465 does."""

from __future__ import annotations

from utcp.core.cc.base import CongestionControl
from utcp.core.sample import AckSample


class Reno(CongestionControl):
    """The standard controller. NewReno (RFC 6582) is this with the recovery of `loss`."""

    __slots__ = ("_bytes_acked",)

    name = "reno"

    def __init__(self, mss: int, initial_window_segments: int) -> None:
        super().__init__(mss, initial_window_segments)
        self._bytes_acked = 0

    def avoid(self, sample: AckSample, acked: int) -> None:
        """Grow by one segment per window."""
        # RFC 5681 §3.1: when the number of bytes acknowledged reaches cwnd, by up to SMSS bytes.
        acked += self._bytes_acked
        if acked >= self.cwnd:
            # More than one window, from before a reduction, is still one segment.
            acked %= self.cwnd
            self.cwnd += self.mss
        self._bytes_acked = acked

    def reduce(self, window: int, percent: int) -> int:
        """Forget what was counted."""
        self._bytes_acked = 0
        return super().reduce(window, percent)
