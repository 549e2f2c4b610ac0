"""CUBIC (RFC 9438): the window as a cubic function of the time since the last congestion event.

It rises quickly to near the size at which there was congestion (W_max), lingers there, and then
goes on faster and faster; so it depends little on the round-trip time. Where Reno would be faster,
it is as fast as Reno.

Sizes are bytes and times nanoseconds, in whole numbers throughout: the RFC's segments are `mss`
bytes. The curve is looked at up to 16 times in a round trip, and no more than 2,000 times in a
second; an ACK in between is only counted.
"""

from __future__ import annotations

from typing import Final

from utcp.core.cc.base import CongestionControl
from utcp.core.sample import AckSample

_LOOKS_SHIFT: Final = 4  # the curve is looked at every RTT / 16
_LEAST_LOOK_NS: Final = 500_000
# RFC 9438 §5.1: C = 0.4 segments per cubic second, as _C_NUMERATOR / _C_DIVISOR per cubic ns.
_C_NUMERATOR: Final = 4
_C_DIVISOR: Final = 10 * 1_000_000_000**3
# W_est and alpha are kept with 20 bits behind the point, so that small ACKs are not rounded away.
_POINT: Final = 20
_ALPHA_RENO: Final = 1 << _POINT
# RFC 9438 §4.3: 3 * (1 - beta) / (1 + beta) = 0.9 / 1.7
_ALPHA_CUBIC: Final = (9 << _POINT) // 17
_NO_EPOCH: Final = -1
_RUNNING: Final = -1


def cube_root(n: int) -> int:
    """The integer part of the cube root of `n`, which is not negative."""
    if n == 0:
        return 0
    root = 1 << -(-n.bit_length() // 3)
    while True:
        # Newton's method, from above.
        better = (2 * root + n // (root * root)) // 3
        if better >= root:
            return root
        root = better


class Cubic(CongestionControl):
    """The default controller."""

    __slots__ = (
        "_acked",
        "_credit",
        "_cwnd_prior",
        "_epoch_at",
        "_k_ns",
        "_look_at",
        "_paused_at",
        "_saved",
        "_w_est",
        "_w_max",
    )

    name = "cubic"
    beta_loss = 70  # RFC 9438 §4.6
    beta_ecn = 85  # RFC 8511 §3.1

    def __init__(self, mss: int, initial_window_segments: int) -> None:
        super().__init__(mss, initial_window_segments)
        self._w_max = 0  # 0: not defined
        self._cwnd_prior = 0
        # t_epoch of the current congestion avoidance stage. What follows belongs to it.
        self._epoch_at = _NO_EPOCH
        self._k_ns = 0
        self._w_est = 0
        # Since when the window has not been used, so that t stands still.
        self._paused_at = _RUNNING
        # Bytes acknowledged since the last look at the curve, and when to look again.
        self._acked = 0
        self._look_at = 0
        self._credit = 0  # the remainder of a division by cwnd
        self._saved = (0, 0, 0, 0, 0)

    # -- growth -------------------------------------------------------------------------------

    def avoid(self, sample: AckSample, acked: int) -> None:
        """Grow towards where the curve will be in a round trip, or as Reno does."""
        acked += self._acked
        now = sample.now
        if now < self._look_at:
            self._acked = acked
            return
        self._acked = 0
        srtt_ns = sample.srtt_ns
        wait_ns = srtt_ns >> _LOOKS_SHIFT
        self._look_at = now + (wait_ns if wait_ns > _LEAST_LOOK_NS else _LEAST_LOOK_NS)
        if self._epoch_at == _NO_EPOCH:
            self._begin(now)
        elif self._paused_at != _RUNNING:
            # RFC 9438 §4.2: t MUST NOT include periods of application-limited behavior.
            self._epoch_at += now - self._paused_at
            self._paused_at = _RUNNING
        cwnd = self.cwnd
        # RFC 9438 §4.3, Figure 4; alpha becomes 1 at cwnd_prior.
        alpha = _ALPHA_CUBIC if self._w_est < self._cwnd_prior << _POINT else _ALPHA_RENO
        self._w_est += acked * self.mss * alpha // cwnd
        w_est = self._w_est >> _POINT
        t = now - self._epoch_at
        if self.w_cubic(t) < w_est:
            # RFC 9438 §4.3: the Reno-friendly region.
            if w_est > cwnd:
                self.cwnd = w_est
            return
        # RFC 9438 §4.2: target, between cwnd and 1.5 * cwnd.
        target = min(self.w_cubic(t + srtt_ns), cwnd + (cwnd >> 1))
        if target > cwnd:
            # RFC 9438 §4.4 and §4.5: by (target - cwnd) / cwnd for what was acknowledged.
            credit = self._credit + acked * (target - cwnd)
            gained = credit // cwnd
            self._credit = credit - gained * cwnd
            self.cwnd = min(cwnd + gained, target)

    def w_cubic(self, t_ns: int) -> int:
        """The curve at `t_ns` after the beginning of the stage (RFC 9438 §4.2, Figure 1)."""
        d = t_ns - self._k_ns
        return self._w_max + _C_NUMERATOR * self.mss * d * d * d // _C_DIVISOR

    def _begin(self, now: int) -> None:
        """A congestion avoidance stage begins."""
        cwnd = self.cwnd
        self._epoch_at = now
        self._paused_at = _RUNNING
        self._w_est = cwnd << _POINT
        self._credit = 0
        if self._w_max > cwnd:
            # RFC 9438 §4.2, Figure 2.
            missing = self._w_max - cwnd
            self._k_ns = cube_root(missing * _C_DIVISOR // (_C_NUMERATOR * self.mss))
            return
        # RFC 9438 §4.8, §4.10: after a time-out and after HyStart++, K is 0 and W_max is cwnd.
        self._k_ns = 0
        self._w_max = cwnd
        if not self._cwnd_prior:
            self._cwnd_prior = cwnd

    def _end_stage(self) -> None:
        """What comes next is a new congestion avoidance stage."""
        self._epoch_at = _NO_EPOCH
        self._acked = 0
        self._look_at = 0

    # -- windows that are not used ------------------------------------------------------------

    def on_rate_limited(self, now: int, used: int, srtt_ns: int) -> None:
        """Stop the clock as well."""
        if self._paused_at == _RUNNING:
            self._pause(now)
        if now >= self._half_ends_at or used > self._used:
            super().on_rate_limited(now, used, srtt_ns)

    def on_idle(self, now: int, idle_ns: int, rto_ns: int) -> None:
        """Stop the clock as well."""
        self._pause(now - idle_ns)
        super().on_idle(now, idle_ns, rto_ns)

    def shrink(self, halvings: int) -> None:
        """Climb to the old W_max on a new curve."""
        cwnd = self.cwnd
        super().shrink(halvings)
        if self.cwnd < cwnd:
            self._end_stage()

    def _pause(self, at: int) -> None:
        if self._paused_at == _RUNNING:
            self._paused_at = at
            self._look_at = 0

    # -- congestion ---------------------------------------------------------------------------

    def reduce(self, window: int, percent: int) -> int:
        """Note where it was; the RFC's cwnd is the part that was in use."""
        self._cwnd_prior = window
        if window < self._w_max:
            # RFC 9438 §4.7: fast convergence, cwnd * (1 + beta) / 2.
            self._w_max = window * (100 + self.beta_loss) // 200
        else:
            self._w_max = window
        self._end_stage()
        return super().reduce(window, percent)

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        """Begin again with one segment, slow start, and a curve that starts where that ends."""
        super().on_rto(now, in_flight, first)
        # RFC 9438 §4.8
        self._w_max = 0
        self._end_stage()

    def save(self) -> None:
        """RFC 9438 §4.9.2: the curve, too."""
        super().save()
        self._saved = (self._w_max, self._cwnd_prior, self._epoch_at, self._k_ns, self._w_est)

    def undo(self) -> bool:
        """RFC 9438 §4.9.2: go on along the curve as if nothing had been."""
        undone = super().undo()
        if undone:
            self._w_max, self._cwnd_prior, self._epoch_at, self._k_ns, self._w_est = self._saved
            self._look_at = 0
        return undone

    def set_mss(self, mss: int) -> None:
        """The curve is measured in segments: begin a new one."""
        if mss != self.mss:
            self._end_stage()
        super().set_mss(mss)
