"""RttEstimator: RFC 6298, with the weights of RFC 7323 Appendix G."""

from __future__ import annotations

import pytest

from utcp.core.rtt import RttEstimator

MS = 1_000_000
S = 1000 * MS


@pytest.fixture
def rtt() -> RttEstimator:
    return RttEstimator(1 * S, 200 * MS, 60 * S)


def test_before_the_first_sample(rtt: RttEstimator) -> None:
    assert rtt.rto_ns == 1 * S
    assert (rtt.srtt_ns, rtt.rttvar_ns, rtt.min_rtt_ns, rtt.backoffs) == (0, 0, 0, 0)


def test_first_sample(rtt: RttEstimator) -> None:
    rtt.update(400 * MS, 0)
    assert (rtt.srtt_ns, rtt.rttvar_ns) == (400 * MS, 200 * MS)
    assert rtt.rto_ns == 1200 * MS
    assert rtt.min_rtt_ns == rtt.latest_ns == 400 * MS


def test_second_sample_after_a_round_trip(rtt: RttEstimator) -> None:
    rtt.update(400 * MS, 0)
    rtt.update(480 * MS, 400 * MS)
    # RTTVAR from the old SRTT: 3/4 * 200 + 1/4 * 80; SRTT 7/8 * 400 + 1/8 * 480.
    assert (rtt.srtt_ns, rtt.rttvar_ns) == (410 * MS, 170 * MS)
    assert rtt.rto_ns == 1090 * MS
    assert rtt.latest_ns == 480 * MS


def test_sample_below_srtt(rtt: RttEstimator) -> None:
    rtt.update(400 * MS, 0)
    rtt.update(320 * MS, 400 * MS)
    assert (rtt.srtt_ns, rtt.rttvar_ns) == (390 * MS, 170 * MS)


def test_minimum_is_of_the_variance(rtt: RttEstimator) -> None:
    now = 0
    for _ in range(200):
        rtt.update(10 * MS, now)
        now += 10 * MS
    assert rtt.rttvar_ns < MS
    assert rtt.rto_ns == 210 * MS


def test_maximum(rtt: RttEstimator) -> None:
    rtt.update(50 * S, 0)
    assert rtt.rto_ns == 60 * S


def test_no_sample_is_zero(rtt: RttEstimator) -> None:
    rtt.update(0, 0)
    assert (rtt.srtt_ns, rtt.min_rtt_ns) == (1, 1)
    for now in range(1, 50):
        rtt.update(0, now)
    assert rtt.srtt_ns == 1
    assert rtt.rttvar_ns == 0


def test_backoff_lasts_until_a_sample(rtt: RttEstimator) -> None:
    rtt.update(100 * MS, 0)
    assert rtt.rto_ns == 300 * MS
    rtt.backoff()
    rtt.backoff()
    assert (rtt.rto_ns, rtt.backoffs) == (1200 * MS, 2)
    rtt.update(100 * MS, 100 * MS)
    assert rtt.backoffs == 0
    assert rtt.rto_ns == 300 * MS


def test_backoff_is_bounded(rtt: RttEstimator) -> None:
    for _ in range(10):
        rtt.backoff()
    assert (rtt.rto_ns, rtt.backoffs) == (60 * S, 10)


def test_syn_timeout(rtt: RttEstimator) -> None:
    rtt.backoff()
    rtt.after_syn_timeout()
    assert (rtt.rto_ns, rtt.backoffs) == (3 * S, 0)
    low = RttEstimator(1 * S, 200 * MS, 2 * S)
    low.after_syn_timeout()
    assert low.rto_ns == 2 * S


def test_many_samples_per_round_remember_as_long_as_one() -> None:
    """The RTT doubles: after the same time, one estimator knows as much as the other."""
    one = RttEstimator(1 * S, 1 * MS, 60 * S)
    many = RttEstimator(1 * S, 1 * MS, 60 * S)
    now = 0
    for _ in range(20):
        one.update(100 * MS, now)
        for i in range(100):
            many.update(100 * MS, now + i * MS)
        now += 100 * MS
    for _ in range(4):
        one.update(200 * MS, now)
        for i in range(200):
            many.update(200 * MS, now + i * MS)
        now += 200 * MS
    assert one.srtt_ns == pytest.approx(141 * MS, rel=0.01)
    # With full weight it would have been at 200 ms after a tenth of this.
    assert many.srtt_ns == pytest.approx(one.srtt_ns, rel=0.15)


def test_least_rtt_is_forgotten_after_a_while(rtt: RttEstimator) -> None:
    rtt.update(50 * MS, 0)
    rtt.update(10 * MS, 1 * S)
    rtt.update(30 * MS, 2 * S)
    assert rtt.min_rtt_ns == 10 * MS
    rtt.update(40 * MS, 151 * S)
    rtt.update(20 * MS, 152 * S)
    assert rtt.min_rtt_ns == 10 * MS
    rtt.update(60 * MS, 301 * S)
    assert rtt.min_rtt_ns == 20 * MS
    rtt.update(60 * MS, 452 * S)
    assert rtt.min_rtt_ns == 60 * MS
