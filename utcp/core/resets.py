"""RST in answer to a segment that belongs to no connection as it is (RFC 9293 §3.5.2)."""

from __future__ import annotations

from typing import Final

from utcp.core import segment
from utcp.core.segment import ACK, RST, Segment
from utcp.stats import Counters

_SECOND_NS: Final = 1_000_000_000


class Resets:
    """Makes them, for one endpoint, and no more than `rate` per second."""

    __slots__ = ("_budget", "_counters", "_rate", "_second")

    def __init__(self, rate: int, counters: Counters) -> None:
        self._rate = rate
        self._counters = counters
        self._second = -1
        self._budget = 0

    def answer(self, now: int, seg: Segment) -> bytes:
        """The RST that `seg` gets, b"" for none: a RST is never answered, else two confused
        peers would reset each other for ever."""
        flags = seg.flags
        if flags & RST:
            return b""
        second = now // _SECOND_NS
        if second != self._second:
            self._second = second
            self._budget = self._rate
        if not self._budget:
            self._counters.resets_suppressed += 1
            return b""
        self._budget -= 1
        self._counters.resets_out += 1
        # RFC 9293 §3.10.7.1: numbers that the sender of `seg` will accept.
        if flags & ACK:
            return segment.build(RST, 0, seg.ack32, 0)
        return segment.build(RST | ACK, 0, 0, seg.seq32 + seg.length())
