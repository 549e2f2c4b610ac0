"""SYN cookies (RFC 4987 §3.6): a handshake that leaves nothing in memory until it is complete.

The SYN-ACK carries all that must be known later, and the peer sends it back with its ACK:

    ISS        28 bits of a keyed hash over both addresses, the peer's ISS, the period of time and
               the MSS; one bit that tells even periods from odd ones; the peer's MSS as an index
    timestamp  in its six lowest bits, as Linux has it: the peer's window scale, SACK, ECN

A peer without timestamps gets the MSS alone: no window scale, no SACK, no ECN. A cookie is good
for the period in which it was made and the next one, so for 64 to 128 seconds. Nothing is sent
again: a peer that hears nothing sends its SYN again, and a peer whose ACK is lost sends data,
which holds all that the ACK did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from typing import Final

from utcp.config import Config
from utcp.core import autotune, segment
from utcp.core.handshake import default_mss
from utcp.core.pmtu import mss_for
from utcp.core.receiver import MAX_WINDOW, window_scale
from utcp.core.secrets import Secrets
from utcp.core.segment import ACK, CWR, ECE, SYN, Segment
from utcp.core.seq import MASK32
from utcp.core.timers import NEVER
from utcp.stats import Counters

PERIOD_NS: Final = 64_000_000_000  # as in Linux

MSS: Final = (60, 536, 1220, 1360, 1440, 1460, 8940, 65_476)
"""What a cookie can say of the peer's MSS, which is rounded down: the least that is used at all;
the defaults of IPv4 and, as IPv6 has it on its least MTU, of IPv6; tunnels; Ethernet under IPv6
and IPv4; jumbo frames; loopback."""

_INDEX: Final = 0b0111
_ODD: Final = 0b1000
_HASH: Final = MASK32 & ~(_INDEX | _ODD)

_MOST_SPENT: Final = 65_536

_STAMP: Final = 0b11_1111
_WSCALE: Final = 0b00_1111
_NO_WSCALE: Final = 0b00_1111
_SACK: Final = 0b01_0000
_ECN: Final = 0b10_0000


class Cookies:
    """The SYN cookies of one endpoint. Of those that were made it knows none, of those that came
    back it knows some numbers for a while: none is taken twice."""

    __slots__ = (
        "_config",
        "_counters",
        "_good_until",
        "_period",
        "_secrets",
        "_spent",
        "_spent_before",
    )

    def __init__(self, config: Config, secrets: Secrets, counters: Counters) -> None:
        self._config = config
        self._secrets = secrets
        self._counters = counters
        self._good_until = -NEVER
        # Those that came back in this period, and in the one before it: the peer's ISS and ours.
        self._period = 0
        self._spent: set[int] = set()
        self._spent_before: set[int] = set()

    def recent(self, now: int) -> bool:
        """Whether a cookie that was made may still be good."""
        return now < self._good_until

    def answer(self, now: int, addr: Hashable, syn: Segment, path_mtu: int, ipv6: bool) -> bytes:
        """The SYN-ACK for `syn`, which came on a path that takes packets of `path_mtu` bytes.

        It is never larger than the SYN: it has no options but those that the SYN had.
        """
        config = self._config
        self._counters.syn_cookies_sent += 1
        adv_mss = mss_for(path_mtu, ipv6, config)
        period = now // PERIOD_NS
        self._good_until = (period + 2) * PERIOD_NS
        mss = syn.mss if syn.mss >= 0 else default_mss(ipv6)
        index = max(bisect_right(MSS, mss) - 1, 0)
        iss = self._secrets.cookie(addr, syn.seq32, period, index) & _HASH
        iss |= (period & 1) * _ODD | index
        flags = SYN | ACK
        wscale = -1
        sack = False
        stamps = None
        if config.timestamps and syn.has_timestamps:
            bits = _NO_WSCALE
            if config.window_scaling and syn.wscale >= 0:
                bits = syn.wscale
                wscale = window_scale(config.recv_buffer)
            if config.sack and syn.sack_permitted:
                bits |= _SACK
                sack = True
            if config.ecn and syn.flags & (ECE | CWR) == ECE | CWR:
                # RFC 3168 §6.1.1
                bits |= _ECN
                flags |= ECE
            stamps = self._stamp(now, addr, bits), syn.ts_val
        options = segment.syn_options(adv_mss if syn.mss >= 0 else -1, wscale, sack, stamps)
        # What `Receiver` will take for granted when the connection is made.
        window = min(autotune.initial(adv_mss, config.recv_buffer), MAX_WINDOW)
        return segment.build(flags, window, iss, syn.seq32 + 1, options)

    def syn(self, now: int, addr: Hashable, seg: Segment) -> Segment | None:
        """The SYN of which a cookie was made that `seg`, an ACK, brings back; None if it brings
        none. What the cookie does not tell is as `seg` has it."""
        period = now // PERIOD_NS
        cookie = seg.ack32 - 1 & MASK32
        irs32 = seg.seq32 - 1 & MASK32
        index = cookie & _INDEX
        made = period if bool(cookie & _ODD) == bool(period & 1) else period - 1
        wrong = self._secrets.cookie(addr, irs32, made, index) ^ cookie
        if wrong & _HASH or not self._spend(period, irs32 << 32 | cookie):
            self._counters.syn_cookies_failed += 1
            return None
        self._counters.syn_cookies_accepted += 1
        config = self._config
        syn = Segment()
        syn.flags = SYN
        syn.seq32 = irs32
        syn.window = seg.window
        syn.mss = MSS[index]
        if config.timestamps and seg.has_timestamps:
            syn.has_timestamps = True
            syn.ts_val = seg.ts_val
            bits = seg.ts_ecr & _STAMP
            if bits & _WSCALE != _NO_WSCALE:
                syn.wscale = min(bits & _WSCALE, segment.MAX_WSCALE)
            syn.sack_permitted = bool(bits & _SACK)
            if bits & _ECN:
                syn.flags |= ECE | CWR
        return syn

    def _spend(self, period: int, numbers: int) -> bool:
        """Whether a cookie comes back for the first time. If not, the network has delivered a
        segment of a connection that is over once more, and its data is not for anybody."""
        if period != self._period:
            self._spent_before = self._spent if period == self._period + 1 else set()
            self._spent = set()
            self._period = period
        if numbers in self._spent or numbers in self._spent_before:
            return False
        if len(self._spent) < _MOST_SPENT:
            self._spent.add(numbers)
        return True

    def _stamp(self, now: int, addr: Hashable, bits: int) -> int:
        """The timestamp clock, at most 63 ms behind, for it must never be ahead: what the
        connection sends later would be old to the peer (RFC 7323 §5.3)."""
        clock = now // 1_000_000 + self._secrets.numbers(now, addr)[1] & MASK32
        stamp = clock & ~_STAMP | bits
        return stamp if stamp <= clock else stamp - _STAMP - 1 & MASK32
