"""Congestion control: the arithmetic of RFC 5681, 6928 and 3168."""

from __future__ import annotations

import pytest

from utcp.config import Config
from utcp.core.cc import ALGORITHMS, CongestionControl, create
from utcp.core.cc.base import INFINITE_SSTHRESH, initial_window
from utcp.core.cc.reno import Reno
from utcp.core.sample import AckSample

MSS = 1000


def acked(size: int, in_flight: int = 1 << 30, *, limited: bool = True) -> AckSample:
    sample = AckSample()
    sample.acked = sample.delivered = size
    sample.prior_in_flight = in_flight
    sample.cwnd_limited = limited
    return sample


def avoiding(cwnd: int) -> Reno:
    """A controller in congestion avoidance."""
    cc = Reno(MSS, 10)
    cc.cwnd = cc.ssthresh = cwnd
    return cc


def test_create_by_name() -> None:
    cc = create("reno", 1448, 10)
    assert isinstance(cc, Reno)
    assert cc.name == "reno"
    assert (cc.cwnd, cc.ssthresh) == (14_480, INFINITE_SSTHRESH)
    assert cc.in_slow_start


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown congestion control 'vegas'"):
        create("vegas", 1448, 10)


def test_config_knows_what_there_is() -> None:
    for name in ALGORITHMS:
        assert Config(congestion_control=name).congestion_control == name


@pytest.mark.parametrize(
    ("mss", "segments", "window"),
    [
        (536, 10, 5360),
        (1460, 10, 14_600),
        (1448, 10, 14_480),
        (2000, 10, 14_600),
        (8948, 10, 17_896),
        (65_483, 10, 130_966),  # loopback: two segments
        (1460, 1, 1460),
        (65_483, 1, 65_483),
        (1460, 2, 2920),
        (1460, 32, 46_720),
    ],
)
def test_initial_window(mss: int, segments: int, window: int) -> None:
    assert initial_window(mss, segments) == window


def test_start_uses_the_mss_that_the_handshake_settled() -> None:
    cc = Reno(1448, 10)
    cc.set_mss(500)
    cc.start()
    assert cc.cwnd == cc.initial_cwnd == 5000


def test_slow_start_counts_bytes() -> None:
    cc = Reno(MSS, 10)
    cc.on_ack(acked(1))
    assert cc.cwnd == 10_001
    cc.on_ack(acked(9999))
    assert cc.cwnd == 20_000


def test_slow_start_growth_by_one_ack_is_bounded() -> None:
    cc = Reno(MSS, 10)
    cc.on_ack(acked(1_000_000))
    assert cc.cwnd == 74_000


def test_an_ack_that_fills_a_hole_counts_what_was_in_the_network() -> None:
    cc = Reno(MSS, 10)
    cc.on_rto(0, 10_000, True)
    cc.on_ack(acked(8000, in_flight=1000))
    assert cc.cwnd == 2000


def test_slow_start_ends_at_ssthresh_and_the_rest_counts_on() -> None:
    cc = Reno(MSS, 10)
    cc.ssthresh = 10_500
    cc.on_ack(acked(1000))
    assert cc.cwnd == 10_500
    assert not cc.in_slow_start
    cc.on_ack(acked(9999))
    assert cc.cwnd == 10_500
    cc.on_ack(acked(1))
    assert cc.cwnd == 11_500


def test_slow_start_up_to_ssthresh_exactly() -> None:
    cc = Reno(MSS, 10)
    cc.ssthresh = 11_000
    cc.on_ack(acked(1000))
    assert cc.cwnd == 11_000


def test_congestion_avoidance_one_segment_per_window() -> None:
    cc = avoiding(20_000)
    for _ in range(19):
        cc.on_ack(acked(1000))
    assert cc.cwnd == 20_000
    cc.on_ack(acked(1000))
    assert cc.cwnd == 21_000
    for _ in range(21):
        cc.on_ack(acked(1000))
    assert cc.cwnd == 22_000


@pytest.mark.parametrize("attribute", ["ece", "in_recovery"])
def test_no_growth(attribute: str) -> None:
    cc = Reno(MSS, 10)
    sample = acked(1000)
    setattr(sample, attribute, True)
    cc.on_ack(sample)
    assert cc.cwnd == 10_000


def test_no_growth_unless_the_window_was_the_limit() -> None:
    cc = Reno(MSS, 10)
    cc.on_ack(acked(1000, limited=False))
    cc.on_ack(acked(0))
    assert cc.cwnd == 10_000


def test_loss_halves_what_is_in_flight() -> None:
    cc = avoiding(20_000)
    cc.on_loss(0, 16_000)
    assert (cc.cwnd, cc.ssthresh) == (8000, 8000)
    cc.on_recovery_exit(0)
    assert cc.cwnd == 8000


def test_loss_does_not_count_limited_transmit() -> None:
    cc = avoiding(20_000)
    cc.on_loss(0, 22_000)
    assert cc.ssthresh == 10_000


def test_loss_leaves_two_segments_and_raises_nothing() -> None:
    cc = avoiding(20_000)
    cc.on_loss(0, 1000)
    assert (cc.cwnd, cc.ssthresh) == (2000, 2000)
    cc.cwnd = 1000
    cc.on_loss(0, 1000)
    assert (cc.cwnd, cc.ssthresh) == (1000, 2000)


def test_loss_forgets_what_was_counted() -> None:
    cc = avoiding(20_000)
    cc.on_ack(acked(19_000))
    cc.on_loss(0, 20_000)
    cc.on_ack(acked(9999))
    assert cc.cwnd == 10_000
    cc.on_ack(acked(1))
    assert cc.cwnd == 11_000


def test_time_out() -> None:
    cc = avoiding(20_000)
    cc.on_ack(acked(19_000))
    cc.on_rto(0, 20_000, True)
    assert (cc.cwnd, cc.ssthresh) == (1000, 10_000)
    cc.on_rto(0, 1000, False)
    assert (cc.cwnd, cc.ssthresh) == (1000, 10_000)
    cc.on_ack(acked(1000))
    assert cc.cwnd == 2000


def test_congestion_mark_is_taken_as_a_loss() -> None:
    cc = avoiding(20_000)
    cc.on_ack(acked(19_000))
    cc.on_ecn(0, 20_000)
    assert (cc.cwnd, cc.ssthresh) == (10_000, 10_000)
    cc.on_ack(acked(9999))
    assert cc.cwnd == 10_000


def test_idle_restarts_from_the_initial_window() -> None:
    cc = avoiding(50_000)
    cc.on_idle(0, 10**9)
    assert (cc.cwnd, cc.ssthresh) == (10_000, 50_000)
    cc.cwnd = 3000
    cc.on_idle(0, 10**9)
    assert cc.cwnd == 3000


def test_smaller_mss_reduces_in_proportion() -> None:
    cc = avoiding(20_000)
    cc.set_mss(500)
    assert (cc.mss, cc.cwnd, cc.ssthresh, cc.initial_cwnd) == (500, 10_000, 20_000, 5000)


def test_larger_mss_keeps_the_bytes_but_allows_one_segment() -> None:
    cc = avoiding(20_000)
    cc.set_mss(8000)
    assert (cc.cwnd, cc.ssthresh) == (20_000, 20_000)
    cc.set_mss(30_000)
    assert (cc.cwnd, cc.ssthresh) == (30_000, 60_000)


def test_base_class_never_grows() -> None:
    cc = CongestionControl(MSS, 10)
    cc.on_ack(acked(1000))
    assert cc.cwnd == 10_000
    cc.on_ecn(0, 10_000)
    assert (cc.cwnd, cc.ssthresh) == (5000, 5000)
