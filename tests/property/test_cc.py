"""Any congestion control keeps its invariants, whatever happens to it in whatever order.

The rules are those of `utcp.core.cc.base`. A new algorithm is tested by being in the registry, or
added to `CONTROLLERS`.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from utcp.core.cc import ALGORITHMS, CongestionControl, create
from utcp.core.sample import AckSample

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_congestion_control.py"
CONTROLLERS = [*ALGORITHMS.values(), runpy.run_path(str(EXAMPLE))["Vegas"]]
MSS = st.sampled_from((48, 536, 1448, 8948, 65_483))


class ControllerMachine(RuleBasedStateMachine):
    """One controller and everything that it can be told."""

    @initialize(control=st.sampled_from(CONTROLLERS), mss=MSS, segments=st.integers(1, 100))
    def setup(self, control: type[CongestionControl], mss: int, segments: int) -> None:
        self.cc = create(control, mss, segments)
        # What is built in takes nothing from a window that is used and not congested.
        self.steady = control in ALGORITHMS.values()
        self.sample = AckSample()
        self.now = 0
        self.una = 0
        # The window when it was saved, 0 if there is nothing to undo.
        self.before = 0
        self.cc.start()
        self.settle()

    def settle(self) -> None:
        """From here on, no more may be added than is acknowledged, and one segment."""
        self.limit = self.cc.cwnd + self.cc.mss

    def fill(self, acked: int, in_flight: int, rtt: int) -> AckSample:
        sample = self.sample
        sample.reset(self.now)
        self.una += acked
        sample.una, sample.snd_nxt = self.una, self.una + in_flight
        sample.acked = sample.delivered = acked
        sample.prior_in_flight = in_flight
        sample.in_flight = max(0, in_flight - acked)
        sample.rtt_ns = sample.srtt_ns = rtt
        return sample

    @rule(
        dt=st.integers(0, 10**9),
        acked=st.integers(0, 1 << 24),
        before=st.integers(0, 1 << 24),
        rtt=st.integers(10**4, 10**9),
        limited=st.booleans(),
        recovery=st.booleans(),
        ece=st.booleans(),
    )
    def ack(
        self,
        dt: int,
        acked: int,
        before: int,
        rtt: int,
        limited: bool,
        recovery: bool,
        ece: bool,
    ) -> None:
        self.now += dt
        sample = self.fill(acked, before, rtt)
        sample.cwnd_limited = limited
        sample.in_recovery = recovery
        sample.ece = ece
        cwnd = self.cc.cwnd
        self.cc.on_ack(sample)
        if not acked or not limited or recovery or ece:
            assert self.cc.cwnd <= cwnd
            # RFC 7661 §4.4.3 is the only reason to shrink, and one ACK is one such step.
            assert self.cc.cwnd >= cwnd // 2
        else:
            assert self.cc.cwnd >= cwnd or not self.steady
            self.limit += acked

    @rule(acks=st.integers(1, 50), rtt=st.integers(10**4, 10**9))
    def round_trip(self, acks: int, rtt: int) -> None:
        """A window is acknowledged piece by piece: it may double, no more."""
        cwnd = self.cc.cwnd
        linear = not self.cc.in_slow_start and self.cc.name == "reno"
        for i in range(acks):
            self.now += rtt // acks
            sample = self.fill(cwnd * (i + 1) // acks - cwnd * i // acks, cwnd, rtt)
            sample.cwnd_limited = True
            self.cc.on_ack(sample)
        assert self.cc.cwnd >= cwnd or not self.steady
        assert self.cc.cwnd <= (cwnd if linear else 2 * cwnd) + self.cc.mss
        self.limit += cwnd

    @rule(periods=st.integers(1, 20), used=st.floats(0, 1), rtt=st.integers(10**4, 10**9))
    def rate_limited(self, periods: int, used: float, rtt: int) -> None:
        """The application uses a part of the window for some time."""
        cwnd = self.cc.cwnd
        in_flight = int(cwnd * used)
        for _ in range(periods):
            self.now += max(3 * rtt, 10**9)
            self.cc.on_ack(self.fill(max(in_flight, 1), in_flight, rtt))
        assert self.cc.cwnd <= cwnd
        # What is used is not taken away, nor the initial window.
        assert self.cc.cwnd >= min(cwnd, max(in_flight, self.cc.initial_cwnd))

    @rule(in_flight=st.integers(0, 1 << 30))
    def loss(self, in_flight: int) -> None:
        self.reduce(in_flight, self.cc.on_loss)

    @rule(in_flight=st.integers(0, 1 << 30))
    def ecn(self, in_flight: int) -> None:
        self.before = 0
        self.reduce(in_flight, self.cc.on_ecn)

    def reduce(self, in_flight: int, event: Callable[[int, int], None]) -> None:
        cwnd = self.cc.cwnd
        event(self.now, in_flight)
        assert self.cc.cwnd <= cwnd
        assert self.cc.cwnd <= self.cc.ssthresh
        assert self.cc.ssthresh <= max(cwnd, 2 * self.cc.mss)
        self.settle()

    @rule()
    def recovery_exit(self) -> None:
        cwnd = self.cc.cwnd
        self.cc.on_recovery_exit(self.now)
        assert self.cc.cwnd <= cwnd

    @rule(in_flight=st.integers(0, 1 << 30), first=st.booleans())
    def rto(self, in_flight: int, first: bool) -> None:
        ssthresh = self.cc.ssthresh
        self.cc.on_rto(self.now, in_flight, first)
        assert self.cc.cwnd == self.cc.mss
        if not first:
            assert self.cc.ssthresh == ssthresh
        self.settle()

    @rule()
    def save(self) -> None:
        cwnd, ssthresh = self.cc.cwnd, self.cc.ssthresh
        self.cc.save()
        assert (self.cc.cwnd, self.cc.ssthresh) == (cwnd, ssthresh)
        self.before = cwnd

    @rule()
    def undo(self) -> None:
        cwnd, ssthresh = self.cc.cwnd, self.cc.ssthresh
        undone = self.cc.undo()
        assert undone == (cwnd <= self.before)
        assert self.cc.cwnd == max(cwnd, self.before)
        if undone:
            assert self.cc.ssthresh >= self.cc.cwnd
        else:
            assert self.cc.ssthresh == ssthresh
        self.before = 0
        assert not self.cc.undo()
        self.settle()

    @rule(reduction=st.sampled_from(("on_loss", "on_rto")), in_flight=st.integers(0, 1 << 30))
    def needless(self, reduction: str, in_flight: int) -> None:
        """Reduced and at once undone: nothing has changed."""
        cwnd, ssthresh = self.cc.cwnd, self.cc.ssthresh
        self.cc.save()
        if reduction == "on_loss":
            self.cc.on_loss(self.now, in_flight)
        else:
            self.cc.on_rto(self.now, in_flight, True)
        # A window of one or two segments cannot be reduced.
        undone = self.cc.undo()
        assert undone or cwnd <= 2 * self.cc.mss
        assert self.cc.cwnd == cwnd
        assert not undone or self.cc.ssthresh == max(cwnd, ssthresh)
        self.before = 0
        self.settle()

    @rule(idle=st.integers(10**6, 10**12))
    def idle(self, idle: int) -> None:
        cwnd = self.cc.cwnd
        self.now += idle
        self.cc.on_idle(self.now, idle, min(idle, 10**9))
        assert min(cwnd, self.cc.initial_cwnd) <= self.cc.cwnd <= cwnd
        assert self.cc.ssthresh >= 3 * cwnd // 4 or self.cc.cwnd == cwnd
        self.settle()

    @rule(mss=MSS)
    def set_mss(self, mss: int) -> None:
        cwnd = self.cc.cwnd
        if mss != self.cc.mss:
            self.before = 0
        self.cc.set_mss(mss)
        assert self.cc.mss == mss
        assert self.cc.cwnd <= max(cwnd, mss)
        self.settle()

    @invariant()
    def bounds(self) -> None:
        assert self.cc.mss <= self.cc.cwnd <= self.limit
        assert self.cc.ssthresh >= 2 * self.cc.mss
        assert self.cc.in_slow_start == (self.cc.cwnd < self.cc.ssthresh)


ControllerMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None
)
TestController = ControllerMachine.TestCase
