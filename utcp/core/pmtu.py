"""Path MTU discovery by the packetization layer (RFC 8899, RFC 4821), probing with real data.

A probe is one segment of new data that is larger than the others. If it arrives, the others may be
as large; if only it is lost, that was its size and no congestion, and its bytes go again in
smaller segments. Nothing is padded and nothing is sent that would not be sent anyway.

The phases of RFC 8899 §5.1.4, told by `low` (what works, the PLPMTU) and `high` (what may work):
a *search* goes on while they are far apart; then it is *complete*, until some minutes later `high`
is set up to `ceiling` again. Time-outs of one segment one after the other mean a black hole:
back to the *base*, and if even that does not get through, to the least there is (*error*).

Sizes are those of IP packets. What the kernel says of the path, by an ICMP message or by refusing
to send, is believed at once, as in Linux (RFC 8899 §4.6.2 would rather search), if it quotes what
is in flight; so a path that reports its MTU is never searched below it.
"""

from __future__ import annotations

from typing import Final

from utcp.config import Config
from utcp.core.segment import HEADER_SIZE, TIMESTAMPS_SIZE
from utcp.core.timers import NEVER

MIN_MSS: Final = 48
"""Least payload of a full segment, whatever the peer announces (Linux's tcp_min_snd_mss)."""
BASE: Final = 1280
"""RFC 8899 §5.1.2, BASE_PLPMTU: the least MTU of IPv6, which every path that is used today has."""
LEAST_IPV4: Final = 552
"""MIN_PLPMTU for IPv4: as Linux's min_pmtu. Nobody can make us send smaller segments by lying."""
LEAST_IPV6: Final = 1280
"""RFC 8200 §5"""
LOOPBACK_MTU: Final = 65_535
"""The largest IP packet: only Linux's loopback interface claims to take it (and 65,536 of IPv6). A
path within the host, however long its round trip takes when the host is busy."""

_UDP_HEADER: Final = 8
_MAX_IP_PACKET: Final = 65_535
_MAX_PROBES: Final = 3
_CLOSE_ENOUGH: Final = 8
_ETHERNET: Final = 1500
_BLACK_HOLE_TIMEOUTS: Final = 2

# What became of a probe.
UNKNOWN: Final = 0
ARRIVED: Final = 1
LOST: Final = 2
INCONCLUSIVE: Final = 3


def mss_for(path_mtu: int, ipv6: bool, config: Config) -> int:
    """The MSS for a path (RFC 9293 §3.7.1, MUST-67): TCP's own, 20 bytes of IPv4 header or 40 of
    IPv6, 8 of UDP and 12 of ours taken off, and never more than a datagram can carry."""
    if ipv6:
        mss = min(path_mtu - 40, _MAX_IP_PACKET) - _UDP_HEADER - HEADER_SIZE
    else:
        mss = min(path_mtu, _MAX_IP_PACKET) - 20 - _UDP_HEADER - HEADER_SIZE
    if config.max_segment_size:
        mss = min(mss, config.max_segment_size)
    return max(mss, MIN_MSS + TIMESTAMPS_SIZE)


class PathMtu:
    """The path MTU of one connection. Bytes of an IP packet, nanoseconds, sequence numbers."""

    __slots__ = (
        "_count",
        "_raise_ns",
        "_told",
        "ceiling",
        "high",
        "least",
        "low",
        "probe_at",
        "probe_end",
        "probe_start",
        "probed",
    )

    def __init__(self, mtu: int, ipv6: bool, raise_ns: int) -> None:
        """`mtu` is what is known of the path; after `raise_ns` a smaller one is looked at again."""
        self.least = LEAST_IPV6 if ipv6 else LEAST_IPV4
        self.low = mtu
        """PLPMTU: what works, as far as is known."""
        self.high = mtu
        """The greatest size that may work."""
        self.ceiling = mtu
        """MAX_PLPMTU: what both hosts can deal with."""
        self.probe_at = NEVER
        """From when on a probe may be sent, NEVER if there is nothing to find out now."""
        self.probed = 0
        """The size of the probe in flight, 0 if there is none."""
        self.probe_start = 0
        self.probe_end = 0
        self._raise_ns = raise_ns
        self._count = 0  # PROBE_COUNT: probes of one size lost in a row
        self._told = False  # `high` is what a router, or the kernel, named

    @property
    def searching(self) -> bool:
        """Whether sizes above `low` are being tried (Search Phase)."""
        return self.high - self.low >= _CLOSE_ENOUGH

    def start(self, now: int, most: int) -> None:
        """The handshake is over, and the peer takes packets of up to `most` bytes."""
        # The interface may take more than the path did when the kernel looked.
        self.ceiling = min(max(self.ceiling, _ETHERNET), most)
        self._complete(now)

    # -- probes -------------------------------------------------------------------------------

    def candidate(self, now: int) -> int:
        """The size of the next probe, to be asked from `probe_at` on; 0 for none."""
        if self.probed or now < self.probe_at:
            return 0
        if not self.searching:
            # RFC 8899 §5.1.1: the PMTU_RAISE_TIMER has expired.
            self.high = self.ceiling
            self._count = 0
            self._told = False
        if not self.searching:
            self.probe_at = NEVER
            return 0
        # RFC 8899 §5.3.2: common sizes first, then halving. Nearly always it is the first one:
        # the path is what it was before.
        if self.low < BASE <= self.high:
            return BASE
        if self._told or self.high == self.ceiling:
            return self.high
        if self.low < _ETHERNET < self.high:
            return _ETHERNET
        return self.low + self.high + 1 >> 1

    def sent(self, size: int, start: int, end: int) -> None:
        """A probe of `size` bytes, with the sequence numbers [start, end), goes out."""
        self.probed = size
        self.probe_start = start
        self.probe_end = end

    def verdict(self, una: int, sacked: bool, sacked_above: int, mss: int) -> int:
        """What an ACK says about the probe: UNKNOWN, ARRIVED, LOST or INCONCLUSIVE.

        `una`: SND.UNA; `sacked`: whether the probe is SACKed; `sacked_above`: bytes SACKed behind
        it. Changes nothing: the caller then calls `arrived`, `lost` or `forget_probe`.
        """
        if una >= self.probe_end or sacked:
            return ARRIVED
        # RFC 6675 §4 IsLost(): more than two segments behind it have arrived, and so no later than
        # loss detection would take it for lost.
        if sacked_above <= 2 * mss:
            return UNKNOWN
        # RFC 4821 §7.6.4: other losses at the same time make a probe inconclusive.
        return LOST if una == self.probe_start else INCONCLUSIVE

    def arrived(self, now: int) -> int:
        """The probe has arrived (RFC 8899 §5.3.1). Returns its size, the new PLPMTU."""
        self.low = self.probed
        self.probed = self._count = 0
        if self.high - self.low < _CLOSE_ENOUGH:
            self._complete(now)
        return self.low

    def lost(self, now: int) -> None:
        """The probe alone is lost (RFC 8899 §5.3.1)."""
        size = self.probed
        self.probed = 0
        self._count += 1
        if self._count >= _MAX_PROBES:
            self._too_big(now, size - 1)

    def forget_probe(self) -> None:
        """Other losses, or a time-out, leave it open what became of the probe."""
        self.probed = 0

    # -- what else tells of the path ------------------------------------------------------------

    def packet_too_big(self, now: int, mtu: int) -> tuple[bool, bool]:
        """The path takes packets of `mtu` bytes, it is said (RFC 8899 §4.6.2).

        Returns whether the PLPMTU has become smaller, and whether the probe in flight is lost.
        """
        mtu = max(mtu, self.least)
        probe_lost = mtu < self.probed
        if probe_lost:
            self.probed = 0
        if mtu >= self.low:
            if probe_lost:
                self._too_big(now, mtu)
                self._told = True
            return False, probe_lost
        self.low = self.high = mtu
        self._complete(now)
        return True, probe_lost

    def on_timeout(self, now: int, retries: int, size: int, full: bool) -> bool:
        """The retransmission timer has expired `retries` times for one segment of `size` bytes;
        `full`: there are none larger.

        Returns whether that shows a black hole, and `low` is smaller now (RFC 8899 §4.3).
        """
        self.probed = 0
        # That a smaller one does not arrive says less: it may still be larger than the path takes,
        # but more often there is no path.
        often = _BLACK_HOLE_TIMEOUTS if full else 2 * _BLACK_HOLE_TIMEOUTS
        if retries % often or size <= self.least or size > self.low:
            return False
        # RFC 8899 §5.2: to the Base Phase; from there to the Error Phase.
        low = BASE if size > BASE > self.least else self.least
        self.low = low
        # It may as well be an outage of the path: search at once.
        self.high = self.ceiling
        self._count = 0
        self._told = False
        self.probe_at = now
        return True

    def _too_big(self, now: int, high: int) -> None:
        self._count = 0
        self._told = False
        self.high = max(self.low, high)
        if not self.searching:
            self._complete(now)

    def _complete(self, now: int) -> None:
        """Enter the Search Complete Phase: raise the PLPMTU some minutes later, if at all."""
        self._count = 0
        self.high = self.low
        lower = self.ceiling - self.low >= _CLOSE_ENOUGH
        self.probe_at = now + self._raise_ns if lower else NEVER
