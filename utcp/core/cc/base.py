"""CongestionControl: what every congestion control algorithm is to the rest of the core.

A controller owns two numbers, `cwnd` and `ssthresh`, in bytes, and changes them when it is told
what happened. It is told by values: it holds no connection and no clock, so it can be driven by
hand in a test, or by the state machine in `tests/property/test_cc.py`, which any new one should be
put through. What it need not do: detect losses (`loss`), decide what is resent (`flight`), or
count what is in the network: the sender transmits while `flight.pipe` is below `cwnd` (RFC 6675),
so there is no inflating by duplicate ACKs and no deflating afterwards either.

Writing one takes some dozens of lines. Derive from `CongestionControl` and override what differs:

    class Gentle(CongestionControl):
        __slots__ = ()

        def on_ack(self, sample: AckSample) -> None:
            if sample.acked and sample.cwnd_limited and not sample.in_recovery:
                self.cwnd += self.mss * self.mss // self.cwnd

        def on_loss(self, now: int, in_flight: int) -> None:
            self.ssthresh = max(self.cwnd * 7 // 10, 2 * self.mss)
            self.cwnd = min(self.cwnd, self.ssthresh)

    ALGORITHMS["gentle"] = Gentle

Rules, checked by that state machine: `cwnd` stays at `mss` or above and `ssthresh` at two `mss`
or above; only `on_ack` may raise `cwnd`, and never if the sample is not `cwnd_limited`, is
`in_recovery`, or carries `ece`; `on_rto` leaves one `mss`.
"""

from __future__ import annotations

from typing import Final

from utcp.core.sample import AckSample

INFINITE_SSTHRESH: Final = 1 << 62
"""RFC 5681 §3.1: arbitrarily high, so that the network and nothing else ends slow start."""

_INITIAL_SEGMENT: Final = 1460


def initial_window(mss: int, segments: int) -> int:
    """The initial window in bytes, for a configured number of segments.

    With an MSS as large as loopback's 65,483 that comes to two segments, whatever `segments` is
    (if it is not 1): RFC 6928 bounds bytes as much as segments, and says nothing else about large
    MSSs than that they need study.
    """
    # RFC 6928 §2, with `segments` for its 10: min (10*MSS, max (2*MSS, 14600)).
    return min(segments * mss, max(2 * mss, segments * _INITIAL_SEGMENT))


class CongestionControl:
    """A congestion window that never grows. All sizes in bytes, all times in nanoseconds.

    `mss` is the payload of a full segment. Call `start` when the handshake has settled it.
    """

    __slots__ = ("cwnd", "initial_cwnd", "initial_segments", "mss", "pacing_rate", "ssthresh")

    name = "none"

    def __init__(self, mss: int, initial_window_segments: int) -> None:
        self.mss = mss
        self.initial_segments = initial_window_segments
        self.initial_cwnd = initial_window(mss, initial_window_segments)
        self.cwnd = self.initial_cwnd
        self.ssthresh = INFINITE_SSTHRESH
        # Bytes per second; 0 leaves it to the pacer to spread `cwnd` over a round trip.
        self.pacing_rate = 0

    @property
    def in_slow_start(self) -> bool:
        """Whether the window is below the slow start threshold."""
        return self.cwnd < self.ssthresh

    def start(self) -> None:
        """The handshake is over: begin with the initial window for the MSS as it is now.

        The SYN and its answer have not made it larger, nor their loss smaller: if they were
        retransmitted more than once, the caller sets `cwnd` to one `mss` after this (RFC 6928 §2).
        """
        self.cwnd = self.initial_cwnd
        self.ssthresh = INFINITE_SSTHRESH

    def on_ack(self, sample: AckSample) -> None:
        """Every ACK, after `loss.on_ack`. The only place where the window may grow."""

    def on_loss(self, now: int, in_flight: int) -> None:
        """Fast recovery begins; `in_flight` is RFC 5681's FlightSize, before this ACK.

        Not called if the window was reduced by `on_ecn` in the same round trip.
        """
        self.ssthresh = self.halved(in_flight)
        self.cwnd = min(self.cwnd, self.ssthresh)

    def on_recovery_exit(self, now: int) -> None:
        """Fast recovery is over: all that was outstanding when it began is acknowledged."""

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        """The retransmission timer expired; `first`: the first time for the data at SND.UNA."""
        # RFC 5681 §3.1: equation (4) at the first time-out; ssthresh is held constant at those
        # that follow for the same segment.
        if first:
            self.ssthresh = self.halved(in_flight)
        # RFC 5681 §3.1: the loss window is one full-sized segment.
        self.cwnd = self.mss

    def on_ecn(self, now: int, in_flight: int) -> None:
        """The peer echoes a congestion mark, for the first time in this round trip.

        If `cwnd` is one `mss` already, the sender has to restart its retransmission timer and to
        wait for it (RFC 3168 §6.1.2).
        """
        # RFC 3168 §6.1.2: as a loss.
        CongestionControl.on_loss(self, now, in_flight)

    def on_idle(self, now: int, rto_ns: int) -> None:
        """About to send after having sent nothing for longer than the RTO, `rto_ns`."""
        # RFC 5681 §4.1: the restart window, min(IW, cwnd).
        self.cwnd = min(self.cwnd, self.initial_cwnd)

    def set_mss(self, mss: int) -> None:
        """Go on with another segment size, as path MTU discovery found it."""
        if mss < self.mss:
            # RFC 5681 §3.1: reduced by the ratio of the old segment size to the new one.
            self.cwnd = self.cwnd * mss // self.mss
        self.mss = mss
        self.initial_cwnd = initial_window(mss, self.initial_segments)
        self.cwnd = max(self.cwnd, mss)
        self.ssthresh = max(self.ssthresh, 2 * mss)

    def halved(self, in_flight: int) -> int:
        """RFC 5681's slow start threshold after a loss."""
        # RFC 5681 §3.1: ssthresh = max (FlightSize / 2, 2*SMSS)   (4). §3.2 step 2: without what
        # limited transmit sent, which is all that is in flight beyond cwnd.
        return max(min(in_flight, self.cwnd) // 2, 2 * self.mss)
