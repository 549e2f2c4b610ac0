"""Windows that are not used: they do not grow, they shrink, and they do not count (RFC 7661)."""

from __future__ import annotations

import pytest

from utcp.core.cc import Cubic, Reno
from utcp.core.cc.base import INFINITE_SSTHRESH, CongestionControl
from utcp.core.sample import AckSample

MSS = 1000
SECOND = 1_000_000_000
RTT = SECOND // 10


class Sender:
    """A controller in congestion avoidance, told of an ACK every 100 ms."""

    def __init__(self, cwnd: int, algorithm: type[CongestionControl] = Reno) -> None:
        self.cc = algorithm(MSS, 10)
        self.cc.cwnd = self.cc.ssthresh = cwnd
        self.now = 0

    def acks(self, seconds: float, in_flight: int = 0, *, recovery: bool = False) -> None:
        """ACKs with so much in flight before each; 0: the window is the limit."""
        for _ in range(round(seconds * 10)):
            self.now += RTT
            sample = AckSample()
            sample.reset(self.now)
            sample.acked = sample.delivered = MSS
            sample.prior_in_flight = in_flight or self.cc.cwnd
            sample.cwnd_limited = not in_flight
            sample.in_recovery = recovery
            sample.srtt_ns = RTT
            self.cc.on_ack(sample)


def test_it_shrinks_when_less_than_half_was_used_for_a_second() -> None:
    sender = Sender(100_000)
    sender.acks(1.1, 20_000)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (50_000, 100_000)
    sender.acks(0.5, 20_000)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (25_000, 100_000)
    sender.acks(100, 20_000)
    # What is used lies above one half of it now.
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (25_000, 100_000)


def test_half_a_window_used_once_in_a_while_keeps_it() -> None:
    sender = Sender(100_000)
    for _ in range(20):
        sender.acks(0.4, 1000)
        sender.acks(0.1, 50_000)
    assert sender.cc.cwnd == 100_000


def test_ssthresh_remembers_three_quarters() -> None:
    sender = Sender(100_000)
    sender.cc.ssthresh = 20_000
    sender.acks(1.1, 1000)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (50_000, 75_000)


def test_the_initial_window_is_always_there() -> None:
    sender = Sender(30_000)
    sender.acks(100, 1000)
    assert sender.cc.cwnd == 10_000
    sender = Sender(5000)
    sender.acks(100, 1000)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (5000, 5000)


def test_slow_start_stays_slow_start() -> None:
    sender = Sender(100_000)
    sender.cc.ssthresh = INFINITE_SSTHRESH
    sender.acks(1.1, 1000)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (50_000, INFINITE_SSTHRESH)


def test_a_full_window_was_used_a_moment_ago() -> None:
    sender = Sender(100_000)
    sender.acks(0.1)
    sender.acks(1.5, 1000)
    assert sender.cc.cwnd == 100_000
    sender.acks(0.6, 1000)
    assert sender.cc.cwnd == 50_000


def test_long_round_trips_lengthen_the_period() -> None:
    sender = Sender(100_000)
    sample = AckSample()
    sample.srtt_ns = 2 * SECOND
    sample.acked = sample.prior_in_flight = MSS
    for seconds in range(6):
        sample.now = seconds * SECOND
        sender.cc.on_ack(sample)
    assert sender.cc.cwnd == 100_000
    sample.now = 6 * SECOND
    sender.cc.on_ack(sample)
    assert sender.cc.cwnd == 50_000


@pytest.mark.parametrize(("in_flight", "window"), [(1000, 40_000), (60_000, 60_000)])
def test_a_loss_counts_what_was_in_use(in_flight: int, window: int) -> None:
    """RFC 7661 §4.4.1: max(pipeACK, LossFlightSize)."""
    sender = Sender(100_000)
    sender.acks(0.3, 40_000)
    sender.acks(0.2, 2000)
    sender.cc.on_loss(sender.now, in_flight)
    assert sender.cc.cwnd == sender.cc.ssthresh == window // 2


def test_a_loss_at_the_end_of_a_full_window_counts_the_window() -> None:
    sender = Sender(100_000)
    sender.acks(0.1)
    sender.cc.on_loss(sender.now, 1000)
    assert sender.cc.cwnd == 50_000


def test_what_was_in_use_counts_for_one_loss() -> None:
    sender = Sender(100_000)
    sender.acks(0.5, 90_000)
    sender.cc.on_loss(sender.now, 90_000)
    sender.acks(0.5, 90_000, recovery=True)
    sender.cc.on_loss(sender.now, 10_000)
    assert sender.cc.cwnd == 5000


def test_idle_halves_for_each_time_out() -> None:
    sender = Sender(100_000)
    sender.cc.on_idle(SECOND, 250_000_000, 200_000_000)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (50_000, 100_000)
    sender.cc.on_idle(2 * SECOND, 500_000_000, 200_000_000)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (12_500, 100_000)
    sender.cc.on_idle(10**6 * SECOND, 10**6 * SECOND, 1)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (10_000, 100_000)


def test_idle_after_a_small_window_changes_nothing() -> None:
    sender = Sender(3000)
    sender.cc.on_idle(SECOND, SECOND, SECOND // 5)
    assert (sender.cc.cwnd, sender.cc.ssthresh) == (3000, 3000)


def test_idle_forgets_what_was_in_use() -> None:
    sender = Sender(100_000)
    sender.acks(0.5, 90_000)
    sender.cc.on_idle(SECOND, SECOND, SECOND)
    sender.cc.on_loss(SECOND, 10_000)
    assert sender.cc.cwnd == 5000


def test_cubic_climbs_to_the_old_saturation_point_after_idle() -> None:
    sender = Sender(100_000, Cubic)
    sender.cc.on_loss(0, 100_000)
    sender.acks(1)
    sender.cc.on_idle(sender.now + SECOND, SECOND, SECOND // 5)
    assert sender.cc.cwnd == 10_000
    ssthresh = sender.cc.ssthresh
    assert 70_000 <= ssthresh < 80_000
    sender.now += SECOND
    while sender.cc.in_slow_start:
        sender.acks(0.1)
    for _ in range(50):
        for _ in range(sender.cc.cwnd // MSS):
            sender.acks(0.1)
            sender.now -= RTT
        sender.now += RTT
    # Five seconds on: past the plateau at W_max = 100,000, or 1.5 times as large every round trip
    # if the curve had run on while nothing was sent.
    assert 95_000 < sender.cc.cwnd < 130_000
