"""Any congestion control keeps its invariants, whatever happens to it in whatever order.

The rules are those of `utcp.core.cc.base`. A new algorithm is tested by being in the registry.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from utcp.core.cc import ALGORITHMS, create
from utcp.core.sample import AckSample

MSS = st.sampled_from((48, 536, 1448, 8948, 65_483))


class ControllerMachine(RuleBasedStateMachine):
    """One controller and everything that it can be told."""

    @initialize(name=st.sampled_from(sorted(ALGORITHMS)), mss=MSS, segments=st.integers(1, 100))
    def setup(self, name: str, mss: int, segments: int) -> None:
        self.cc = create(name, mss, segments)
        self.sample = AckSample()
        self.now = 0
        self.cc.start()

    @rule(
        dt=st.integers(0, 10**9),
        acked=st.integers(0, 1 << 24),
        before=st.integers(0, 1 << 24),
        limited=st.booleans(),
        recovery=st.booleans(),
        ece=st.booleans(),
    )
    def ack(
        self, dt: int, acked: int, before: int, limited: bool, recovery: bool, ece: bool
    ) -> None:
        self.now += dt
        sample = self.sample
        sample.reset(self.now)
        sample.acked = sample.delivered = acked
        sample.prior_in_flight = before
        sample.in_flight = max(0, before - acked)
        sample.cwnd_limited = limited
        sample.in_recovery = recovery
        sample.ece = ece
        cwnd = self.cc.cwnd
        self.cc.on_ack(sample)
        if not acked or not limited or recovery or ece:
            assert self.cc.cwnd <= cwnd
        # RFC 3465: no more than what was acknowledged, or one segment in congestion avoidance.
        assert self.cc.cwnd <= cwnd + max(acked, self.cc.mss)

    @rule(acks=st.integers(1, 50))
    def round_trip(self, acks: int) -> None:
        """A window is acknowledged piece by piece: it may double, no more."""
        cwnd = self.cc.cwnd
        slow = self.cc.in_slow_start
        for i in range(acks):
            self.sample.reset(self.now)
            self.sample.acked = cwnd * (i + 1) // acks - cwnd * i // acks
            self.sample.prior_in_flight = cwnd
            self.sample.cwnd_limited = True
            self.cc.on_ack(self.sample)
        assert cwnd <= self.cc.cwnd <= (2 * cwnd if slow else cwnd) + self.cc.mss

    @rule(in_flight=st.integers(0, 1 << 30))
    def loss(self, in_flight: int) -> None:
        self.reduce(in_flight, self.cc.on_loss)

    @rule(in_flight=st.integers(0, 1 << 30))
    def ecn(self, in_flight: int) -> None:
        self.reduce(in_flight, self.cc.on_ecn)

    def reduce(self, in_flight: int, event: object) -> None:
        assert callable(event)
        cwnd = self.cc.cwnd
        event(self.now, in_flight)
        assert self.cc.cwnd <= cwnd
        assert self.cc.cwnd <= self.cc.ssthresh
        assert self.cc.ssthresh <= max(cwnd, 2 * self.cc.mss)

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

    @rule(idle=st.integers(10**6, 10**12))
    def idle(self, idle: int) -> None:
        cwnd = self.cc.cwnd
        self.now += idle
        self.cc.on_idle(self.now, min(idle, 10**9))
        assert self.cc.cwnd <= cwnd

    @rule(mss=MSS)
    def set_mss(self, mss: int) -> None:
        cwnd = self.cc.cwnd
        self.cc.set_mss(mss)
        assert self.cc.mss == mss
        assert self.cc.cwnd <= max(cwnd, mss)

    @invariant()
    def bounds(self) -> None:
        assert self.cc.cwnd >= self.cc.mss > 0
        assert self.cc.ssthresh >= 2 * self.cc.mss
        assert self.cc.in_slow_start == (self.cc.cwnd < self.cc.ssthresh)


ControllerMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None
)
TestController = ControllerMachine.TestCase
