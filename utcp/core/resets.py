"""RST in answer to a segment that belongs to no connection as it is (RFC 9293 §3.5.2).

Their rate is limited. One limit for all could be read from outside: an attacker uses it up but for
one, sends a segment in the name of somebody else, and sees by his own last RST whether that one
was answered, and so whether there is a connection (as with CVE-2016-5696). So hosts have budgets
of their own; those that share one are others each second.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from utcp.core import segment
from utcp.core.secrets import Secrets
from utcp.core.segment import ACK, RST, Segment
from utcp.stats import Counters

_SECOND_NS: Final = 1_000_000_000
_BUDGETS: Final = 1024


class Resets:
    """Makes them, for one endpoint, and no more than `rate` per second for one host."""

    __slots__ = ("_counters", "_rate", "_second", "_secrets", "_spent")

    def __init__(self, rate: int, secrets: Secrets, counters: Counters) -> None:
        self._rate = rate
        self._secrets = secrets
        self._counters = counters
        self._second = -1
        self._spent: dict[int, int] = {}

    def answer(self, now: int, whom: Hashable, seg: Segment) -> bytes:
        """The RST that `seg` gets, b"" for none: a RST is never answered, else two confused peers
        would reset each other for ever. `whom`: the host that it is counted for."""
        flags = seg.flags
        if flags & RST:
            return b""
        second = now // _SECOND_NS
        if second != self._second:
            self._second = second
            self._spent.clear()
        budget = self._secrets.bucket(second, whom) % _BUDGETS
        spent = self._spent.get(budget, 0)
        if spent >= self._rate:
            self._counters.resets_suppressed += 1
            return b""
        self._spent[budget] = spent + 1
        self._counters.resets_out += 1
        # RFC 7323 §5.2: a Timestamps option for one, TSval 0, TSecr that of the segment.
        options = segment.timestamps_option(0, seg.ts_val) if seg.has_timestamps else b""
        # RFC 9293 §3.10.7.1: numbers that the sender of `seg` will accept.
        if flags & ACK:
            return segment.build(RST, 0, seg.ack32, 0, options)
        return segment.build(RST | ACK, 0, 0, seg.seq32 + seg.length(), options)


def host(addr: Hashable) -> Hashable:
    """What comes first in a socket address, or in a tuple that begins with one."""
    while isinstance(addr, tuple) and addr:
        addr = addr[0]
    return addr
