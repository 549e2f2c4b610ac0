"""CongestionControl: what every congestion control algorithm is to the rest of the core.

A controller owns two numbers, `cwnd` and `ssthresh`, in bytes, and changes them when it is told
what happened. It is told by values: it holds no connection and no clock, so it can be driven by
hand in a test, or by the state machine in `tests/property/test_cc.py`, which any new one should be
put through. What it need not do: detect losses (`loss`), decide what is resent (`flight`), or
count what is in the network: the sender transmits while `flight.pipe` is below `cwnd` (RFC 6675),
so there is no inflating by duplicate ACKs and no deflating afterwards either. During fast recovery
`prr` writes `cwnd`, on its way down to the `ssthresh` that `on_loss` has set.

Writing one takes some dozens of lines. Derive from `CongestionControl` and override what differs;
nearly always that is `avoid`, how the window grows in congestion avoidance, and two numbers:

    class Gentle(CongestionControl):
        __slots__ = ()
        name = "gentle"
        beta_loss = 70

        def avoid(self, sample: AckSample, acked: int) -> None:
            self.cwnd += self.mss * acked // (2 * self.cwnd)

    Config(congestion_control=Gentle)

Slow start with HyStart++, windows that are not used, idle periods, time-outs, ECN and the undoing
of needless reductions are the base class's. What wants to do those differently, too, overrides
the `on_*` method.

Rules, checked by that state machine: `cwnd` stays at `mss` or above and `ssthresh` at two `mss`
or above; only `on_ack` and `undo` may raise `cwnd`, the first never if the sample is not
`cwnd_limited`, is `in_recovery`, or carries `ece`; `on_rto` leaves one `mss`.
"""

from __future__ import annotations

from typing import ClassVar, Final

from utcp.core.cc.hystart import HyStart
from utcp.core.sample import AckSample

INFINITE_SSTHRESH: Final = 1 << 62
"""RFC 5681 §3.1: arbitrarily high, so that the network and nothing else ends slow start."""

_INITIAL_SEGMENT: Final = 1460
_LEAST_SAMPLING_NS: Final = 1_000_000_000
# What an ACK may add in slow start, in segments: as many as UDP_SEGMENT puts into one burst.
_GROWTH_SEGMENTS: Final = 64
# CongestionControl._half_ends_at, where it is no time.
_UNDEFINED: Final = -1
_FULL: Final = 0


def initial_window(mss: int, segments: int) -> int:
    """The initial window in bytes, for a configured number of segments.

    With an MSS as large as loopback's 65,483 that comes to two segments, whatever `segments` is
    (if it is not 1): RFC 6928 bounds bytes as much as segments, and says nothing else about large
    MSSs than that they need study.
    """
    # RFC 6928 §2, with `segments` for its 10: min (10*MSS, max (2*MSS, 14600)).
    return min(segments * mss, max(2 * mss, segments * _INITIAL_SEGMENT))


class CongestionControl:
    """Slow start, and then a window that grows no more. All sizes in bytes, all times in
    nanoseconds.

    `mss` is the payload of a full segment. Call `start` when the handshake has settled it.
    """

    __slots__ = (
        "_half_ends_at",
        "_undo_cwnd",
        "_undo_ssthresh",
        "_used",
        "_used_before",
        "cwnd",
        "hears_every_ack",
        "hystart",
        "initial_cwnd",
        "initial_segments",
        "mss",
        "pacing_rate",
        "ssthresh",
    )

    name: ClassVar[str] = "none"
    beta_loss: ClassVar[int] = 50
    """What a loss leaves of the window, percent (RFC 5681 §3.1)."""
    beta_ecn: ClassVar[int] = 80
    """What a congestion mark leaves of it, percent (RFC 8511 §3.1)."""

    def __init__(self, mss: int, initial_window_segments: int) -> None:
        self.mss = mss
        self.initial_segments = initial_window_segments
        self.initial_cwnd = initial_window(mss, initial_window_segments)
        self.cwnd = self.initial_cwnd
        self.ssthresh = INFINITE_SSTHRESH
        # With an `on_ack` of its own no ACK takes a way that leaves it out.
        self.hears_every_ack = type(self).on_ack is not CongestionControl.on_ack
        # Bytes per second; 0 leaves it to the pacer to spread `cwnd` over a round trip.
        self.pacing_rate = 0
        self.hystart: HyStart | None = None  # made when the window is used for the first time
        # What the last reduction did away with; nothing to undo if the first one is 0.
        self._undo_cwnd = 0
        self._undo_ssthresh = 0
        # RFC 7661's pipeACK: the most that was in flight in this half of the sampling period, and
        # in the half before. _FULL: the whole window was, the last time that there was an ACK.
        self._half_ends_at = _UNDEFINED
        self._used = 0
        self._used_before = 0

    @property
    def in_slow_start(self) -> bool:
        """Whether the window is below the slow start threshold."""
        return self.cwnd < self.ssthresh

    def start(self) -> None:
        """The handshake is over: begin with the initial window for the MSS as it is now.

        The SYN and its answer have not made it larger, nor their loss smaller.
        """
        self.cwnd = self.initial_cwnd

    # -- growth -------------------------------------------------------------------------------

    def on_ack(self, sample: AckSample) -> None:
        """Every ACK, after `loss.on_ack`. The only place where the window may grow."""
        acked = sample.acked
        # RFC 3168 §6.1.2: no growth by an ACK with ECN-Echo.
        if not acked or sample.in_recovery or sample.ece:
            return
        if not sample.cwnd_limited:
            self.on_rate_limited(sample.now, sample.prior_in_flight, sample.srtt_ns)
            return
        self._half_ends_at = _FULL
        # An ACK that fills a hole covers data that had left the network before: what was in the
        # network bounds what can have left it now, which after a time-out is RFC 3465's L = 1.
        if acked > sample.prior_in_flight:
            acked = sample.prior_in_flight
        if self.cwnd < self.ssthresh:
            acked = self._slow_start(sample, acked)
            if not acked:
                return
        self.avoid(sample, acked)

    def avoid(self, sample: AckSample, acked: int) -> None:
        """Congestion avoidance: `acked` bytes of a full window have arrived. Override it.

        By default the window grows no more.
        """

    def _slow_start(self, sample: AckSample, acked: int) -> int:
        """Grow by what was acknowledged; returns how much of it counts for `avoid`."""
        # RFC 5681 §3.1 equation (2) allows one segment per ACK. That supposes an ACK for every
        # other segment; where one ACK answers a burst it would make slow start linear. So, as in
        # Linux, the bytes count (RFC 3465).
        # RFC 9406 §4.2: min(N, L * SMSS). §4.3 would have no L where bursts are paced, and 8 where
        # they are not; but what one ACK answers here is a burst in either case.
        counted = min(acked, _GROWTH_SEGMENTS * self.mss)
        cwnd = self.cwnd
        if self.ssthresh == INFINITE_SSTHRESH:
            # RFC 9406 §4.3: HyStart++ for the initial slow start only; later ones know ssthresh.
            hystart = self.hystart
            if hystart is None:
                hystart = self.hystart = HyStart()
            self.cwnd = cwnd + hystart.on_ack(sample.una, sample.snd_nxt, sample.rtt_ns, counted)
            if hystart.done:
                # RFC 9406 §4.2: enter congestion avoidance.
                self.ssthresh = self.cwnd
            return 0
        self.cwnd = min(cwnd + counted, self.ssthresh)
        return counted - (self.cwnd - cwnd)

    # -- windows that are not used ------------------------------------------------------------

    def on_rate_limited(self, now: int, used: int, srtt_ns: int) -> None:
        """An ACK while the application or the peer's window limits what is sent, not `cwnd`, of
        which there were `used` bytes in flight.

        The window does not grow (RFC 7661 §4.4, RFC 9438 §5.8; draft-ietf-ccwg-ratelimited-increase
        would allow a little). If less than half of it was used for a sampling period of RFC 7661
        (§4.2: 1 s, or 3 RTTs), it is halved, and so on for each half of that period: RFC 7661
        allows to wait up to five minutes, but supposes pacing. Linux halves it, too, and sooner.
        """
        if now >= self._half_ends_at:
            self._next_half(now, max(3 * srtt_ns, _LEAST_SAMPLING_NS), used)
        elif used > self._used:
            self._used = used

    def on_idle(self, now: int, idle_ns: int, rto_ns: int) -> None:
        """About to send after `idle_ns` without having sent anything, longer than the RTO."""
        # RFC 5681 §4.1 would restart from the initial window at once. RFC 7661 §4.4.3 updates it:
        # one reduction for each non-validated period (§4.5.2), which here is one RTO, as in Linux.
        self._forget_use()
        self.shrink(idle_ns // rto_ns)

    def shrink(self, halvings: int) -> None:
        """Give up a window that was not used, down to the initial one; ssthresh remembers it."""
        cwnd = self.cwnd
        if halvings and cwnd > self.initial_cwnd:
            # RFC 7661 §4.4.3: ssthresh = max(ssthresh, 3*cwnd/4), cwnd = max((1/2)*cwnd, IW).
            self.ssthresh = max(self.ssthresh, 3 * cwnd // 4)
            self.cwnd = max(cwnd >> min(halvings, 62), self.initial_cwnd)

    def in_use(self, in_flight: int) -> int:
        """The part of the window that the network has carried lately; `in_flight`: FlightSize."""
        if self._half_ends_at == _FULL:
            return self.cwnd
        # RFC 7661 §4.4.1: max(pipeACK, LossFlightSize), so that a loss at the end of a burst does
        # not count as if nothing else had been sent. RFC 5681 §3.2 step 2: without what limited
        # transmit sent, which is all that is in flight beyond cwnd.
        return min(max(in_flight, self._used, self._used_before), self.cwnd)

    def _next_half(self, now: int, period_ns: int, used: int) -> None:
        """Half of a sampling period is over, or the first one begins; `used` now."""
        if self._half_ends_at > 0:
            if 2 * max(used, self._used, self._used_before) < self.cwnd:
                self.shrink(1)
            self._used_before = self._used
            self._used = used
            self._half_ends_at = now + period_ns // 2
            return
        # RFC 7661 §4.3: a window is not taken for unused before there has been a whole period.
        self._used_before = 0
        self._used = self.cwnd if self._half_ends_at == _FULL else used
        self._half_ends_at = now + period_ns

    def _forget_use(self) -> None:
        self._half_ends_at = _UNDEFINED
        self._used = self._used_before = 0

    # -- congestion ---------------------------------------------------------------------------

    def on_loss(self, now: int, in_flight: int) -> None:
        """Fast recovery begins; `in_flight` is RFC 5681's FlightSize, before this ACK.

        Not called if the window was reduced by `on_ecn` in the same round trip.
        """
        self.reduce(self.in_use(in_flight), self.beta_loss)
        self.cwnd = min(self.cwnd, self.ssthresh)

    def on_recovery_exit(self, now: int) -> None:
        """Fast recovery is over: all that was outstanding when it began is acknowledged."""

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        """The retransmission timer expired; `first`: the first time for the data at SND.UNA."""
        # RFC 5681 §3.1: equation (4) at the first time-out; ssthresh is held constant at those
        # that follow for the same segment.
        if first:
            self.reduce(self.in_use(in_flight), self.beta_loss)
        # RFC 5681 §3.1: the loss window is one full-sized segment.
        self.cwnd = self.mss

    def on_ecn(self, now: int, in_flight: int) -> None:
        """The peer echoes a congestion mark, for the first time in this round trip.

        If `cwnd` is one `mss` already, the sender has to restart its retransmission timer and to
        wait for it (RFC 3168 §6.1.2).
        """
        # RFC 8511 §4: less than for a loss, but not in slow start.
        percent = self.beta_loss if self.cwnd < self.ssthresh else self.beta_ecn
        reduced = self.reduce(self.in_use(in_flight), percent)
        # RFC 3168 §6.1.2: down to one segment.
        self.cwnd = min(self.cwnd, max(reduced, self.mss))
        # RFC 4015 §3.4: congestion that was signalled was no mistake.
        self._undo_cwnd = 0

    def reduce(self, window: int, percent: int) -> int:
        """A congestion event: `ssthresh` becomes `percent` of `window`, the part of `cwnd` in use.

        Returns the same without the lower bound of two segments. `cwnd` is the caller's.
        """
        # RFC 7661 §4.2: pipeACK is not used twice.
        self._forget_use()
        reduced = window * percent // 100
        # RFC 5681 §3.1: ssthresh = max (FlightSize / 2, 2*SMSS)   (4)
        self.ssthresh = max(reduced, 2 * self.mss)
        return reduced

    def save(self) -> None:
        """Remember what `undo` would have to bring back.

        To be called before an `on_loss` or `on_rto` that may prove needless; not before those
        that follow in the same episode.
        """
        self._undo_cwnd = self.cwnd
        # RFC 4015 §3.1 step (0): pipe_prev <- max (FlightSize, ssthresh), so that slow start goes
        # up to there if the caller lets the window come back by and by only.
        self._undo_ssthresh = max(self.cwnd, self.ssthresh)

    def undo(self) -> bool:
        """The losses since `save` were none: take the reductions back. Returns whether there was
        anything to take back.

        Not to be called if the ACK that shows it carries ECN-Echo (RFC 4015 §3.1 step (9)).
        """
        # RFC 9438 §4.9.2: not if the window has grown beyond that meanwhile.
        # Equal is where PRR has it in the first moment: then ssthresh alone is to be mended.
        undone = 0 < self.cwnd <= self._undo_cwnd
        if undone:
            self.cwnd = self._undo_cwnd
            self.ssthresh = self._undo_ssthresh
        self._undo_cwnd = 0
        return undone

    def set_mss(self, mss: int) -> None:
        """Go on with another segment size, as path MTU discovery found it."""
        if mss < self.mss:
            # RFC 5681 §3.1: reduced by the ratio of the old segment size to the new one.
            self.cwnd = self.cwnd * mss // self.mss
        if mss != self.mss:
            self._undo_cwnd = 0
        self.mss = mss
        self.initial_cwnd = initial_window(mss, self.initial_segments)
        self.cwnd = max(self.cwnd, mss)
        self.ssthresh = max(self.ssthresh, 2 * mss)
