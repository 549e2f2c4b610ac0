"""Round-trip time and the retransmission time-out (RFC 6298).

The estimator is handed samples that are already known to be unambiguous (Karn's algorithm: see
`flight`, and `recovery` for those that timestamps make so), and says how long to wait for an
acknowledgment. It sets no timer.
"""

from __future__ import annotations

from typing import Final

_SYN_TIMEOUT_RTO_NS: Final = 3_000_000_000
_MIN_RTT_WINDOW_NS: Final = 150_000_000_000  # half of Linux's tcp_min_rtt_wlen of 300 s


class RttEstimator:
    """SRTT, RTTVAR, RTO and the least RTT of one path, in nanoseconds.

    `srtt_ns`, `rttvar_ns` and `min_rtt_ns` are 0 until there is a sample. `rto_ns` is never 0 and
    has the exponential backoff in it; `backoffs` says how many times it was doubled.
    """

    __slots__ = (
        "_expected",
        "_min_old",
        "_min_round_at",
        "_min_young",
        "_round_at",
        "_rto_max_ns",
        "_rto_min_ns",
        "_samples",
        "backoffs",
        "latest_ns",
        "min_rtt_ns",
        "rto_ns",
        "rttvar_ns",
        "srtt_ns",
    )

    def __init__(self, rto_initial_ns: int, rto_min_ns: int, rto_max_ns: int) -> None:
        self._rto_min_ns = rto_min_ns
        self._rto_max_ns = rto_max_ns
        # RFC 6298 §2 (2.1): until there is a measurement the RTO is a constant.
        self.rto_ns = rto_initial_ns
        self.srtt_ns = 0
        self.rttvar_ns = 0
        self.latest_ns = 0
        self.backoffs = 0
        self._samples = 0
        self._expected = 1
        self._round_at = 0
        self.min_rtt_ns = 0
        self._min_old = 0
        self._min_young = 0
        self._min_round_at = 0

    def update(self, rtt_ns: int, now: int) -> bool:
        """Take a sample, and with it end the backoff. Returns whether to look at `min_rtt_ns`."""
        if rtt_ns <= 0:
            rtt_ns = 1
        self.latest_ns = rtt_ns
        srtt = self.srtt_ns
        if srtt == 0:
            # RFC 6298 §2 (2.2): the first measurement.
            srtt = rtt_ns
            rttvar = rtt_ns >> 1
            self._round_at = now + rtt_ns
        else:
            if now >= self._round_at:
                expected = self._expected = self._samples or 1
                self._samples = 1
                self._round_at = now + srtt
            else:
                expected = self._expected
                self._samples += 1
            # RFC 7323 Appendix G: many samples per round trip share the weight of one, so that the
            # estimator remembers as much time as RFC 6298 meant it to. The number of samples to
            # expect is counted over the round before; FlightSize / (2 * SMSS) would be far too
            # many where one ACK answers a whole burst.
            delta = rtt_ns - srtt
            # RFC 6298 §2 (2.3): RTTVAR first, from the SRTT as it was; alpha = 1/8, beta = 1/4.
            rttvar = self.rttvar_ns
            rttvar += ((delta if delta > 0 else -delta) - rttvar) // (expected << 2)
            srtt += delta // (expected << 3)
        self.srtt_ns = srtt
        self.rttvar_ns = rttvar
        # RFC 6298 §2 (2.3), (2.4), with the minimum where Linux has it: as the least variance, not
        # as the least sum. Else an RTT of just below the minimum with no variance would time out
        # on every delayed ACK. The clock granularity G lies far below the minimum.
        margin = rttvar << 2
        rto = srtt + (margin if margin > self._rto_min_ns else self._rto_min_ns)
        self.rto_ns = rto if rto < self._rto_max_ns else self._rto_max_ns
        self.backoffs = 0
        if rtt_ns < self._min_young or now >= self._min_round_at:
            self._update_min(rtt_ns, now)
            return True
        return False

    def backoff(self) -> None:
        """Double the RTO because the timer expired.

        It stays doubled until `update`, that is until data sent once has been acknowledged, or with
        timestamps what was sent after the time-out.
        """
        # RFC 6298 §5 (5.5): RTO <- RTO * 2, §2 (2.5): up to a maximum.
        self.backoffs += 1
        self.rto_ns = min(self.rto_ns << 1, self._rto_max_ns)

    def after_spurious_timeout(self, srtt_prev_ns: int, rttvar_prev_ns: int) -> None:
        """Begin anew with the latest sample, the first of data sent after a time-out that proved
        to be needless; the arguments are SRTT and RTTVAR as they were at the time-out."""
        # RFC 4015 §3.1 step (11). The clock granularity G is negligible.
        self.srtt_ns = max(srtt_prev_ns, self.latest_ns)
        self.rttvar_ns = max(rttvar_prev_ns, self.latest_ns >> 1)
        rto = self.srtt_ns + max(self.rttvar_ns << 2, self._rto_min_ns)
        self.rto_ns = min(rto, self._rto_max_ns)

    def after_syn_timeout(self) -> None:
        """Start the data phase of a connection whose SYN had to be retransmitted."""
        # RFC 6298 §5 (5.7): the RTO is re-initialized to 3 seconds when data transmission begins.
        self.backoffs = 0
        self.rto_ns = min(_SYN_TIMEOUT_RTO_NS, self._rto_max_ns)

    def _update_min(self, rtt_ns: int, now: int) -> None:
        """Keep the least sample of the last 150 to 300 seconds, in two halves."""
        if now >= self._min_round_at:
            self._min_round_at = now + _MIN_RTT_WINDOW_NS
            self._min_old = self._min_young or rtt_ns
        self._min_young = rtt_ns
        self.min_rtt_ns = min(self._min_old, self._min_young)
