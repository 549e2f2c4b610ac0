"""Congestion control: what all controllers share, and Reno (RFC 5681, 6928, 3168, 8511)."""

from __future__ import annotations

import pytest

from utcp.config import Config
from utcp.core import Endpoint
from utcp.core.cc import ALGORITHMS, CongestionControl, Cubic, Reno, create, succeed
from utcp.core.cc.base import INFINITE_SSTHRESH, initial_window
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
    with pytest.raises(ValueError, match="unknown congestion_control 'vegas'"):
        Config(congestion_control="vegas")


def test_cubic_is_the_default() -> None:
    assert isinstance(create(Config().congestion_control, MSS, 10), Cubic)


def test_a_class_is_taken_as_well_as_a_name() -> None:
    class Own(CongestionControl):
        __slots__ = ()
        name = "own"

    config = Config(congestion_control=Own)
    assert isinstance(create(config.congestion_control, MSS, 10), Own)
    connection = Endpoint(config, bytes(16)).connect(0, "somewhere")
    assert connection.info().congestion_control == "own"


@pytest.mark.parametrize("wrong", [7, None, int, Reno(MSS, 10)])
def test_what_is_no_controller(wrong: object) -> None:
    with pytest.raises(TypeError, match="CongestionControl class"):
        Config(congestion_control=wrong)  # type: ignore[arg-type]


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


def test_initial_slow_start_ends_when_the_round_trips_get_longer() -> None:
    cc = Reno(MSS, 10)
    cc.start()
    sample = acked(1000)
    for i in range(100):
        # Ten ACKs a round, and 5 ms more from the third one on.
        sample.una, sample.snd_nxt = 1000 * i, 1000 * (i + 10)
        sample.rtt_ns = 40_000_000 if i < 20 else 45_000_000
        cc.on_ack(sample)
    assert not cc.in_slow_start
    # 29 ACKs of slow start, 42 of a quarter of it, and then congestion avoidance.
    assert cc.ssthresh == 10_000 + 29_000 + 42 * 250
    assert cc.cwnd == cc.ssthresh


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


def test_an_ack_of_more_than_a_burst_counts_whole_in_congestion_avoidance() -> None:
    cc = avoiding(200_000)
    cc.on_ack(acked(150_000))
    cc.on_ack(acked(50_000))
    assert cc.cwnd == 201_000


def test_time_out() -> None:
    cc = avoiding(20_000)
    cc.on_ack(acked(19_000))
    cc.on_rto(0, 20_000, True)
    assert (cc.cwnd, cc.ssthresh) == (1000, 10_000)
    cc.on_rto(0, 1000, False)
    assert (cc.cwnd, cc.ssthresh) == (1000, 10_000)
    cc.on_ack(acked(1000))
    assert cc.cwnd == 2000


def test_a_congestion_mark_is_taken_less_seriously_than_a_loss() -> None:
    cc = avoiding(20_000)
    cc.on_ack(acked(19_000))
    cc.on_ecn(0, 20_000)
    assert (cc.cwnd, cc.ssthresh) == (16_000, 16_000)
    cc.on_ack(acked(15_999))
    assert cc.cwnd == 16_000


def test_a_congestion_mark_in_slow_start_is_taken_as_a_loss() -> None:
    cc = Reno(MSS, 10)
    cc.on_ecn(0, 10_000)
    assert (cc.cwnd, cc.ssthresh) == (5000, 5000)


def test_congestion_marks_reduce_down_to_one_segment() -> None:
    cc = avoiding(4000)
    windows = []
    for _ in range(7):
        cc.on_ecn(0, 4000)
        windows.append(cc.cwnd)
    # From the third one on it is below ssthresh, as in slow start.
    assert windows == [3200, 2560, 2048, 1638, 1000, 1000, 1000]
    assert cc.ssthresh == 2000


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


def test_base_class_grows_in_slow_start_only() -> None:
    cc = CongestionControl(MSS, 10)
    cc.on_ack(acked(1000))
    assert cc.cwnd == 11_000
    cc.on_loss(0, 11_000)
    for _ in range(100):
        cc.on_ack(acked(1000))
    assert (cc.cwnd, cc.ssthresh) == (5500, 5500)


# -- undo (RFC 4015, RFC 9438 §4.9) -----------------------------------------------------------


def test_a_needless_reduction_is_undone() -> None:
    cc = avoiding(20_000)
    cc.save()
    cc.on_loss(0, 20_000)
    assert cc.undo()
    assert (cc.cwnd, cc.ssthresh) == (20_000, 20_000)


def test_undo_lets_slow_start_go_up_to_where_it_was() -> None:
    """RFC 4015 §3: ssthresh <- pipe_prev, the greater of FlightSize and ssthresh."""
    cc = avoiding(20_000)
    cc.ssthresh = 12_000
    cc.save()
    cc.on_loss(0, 20_000)
    assert cc.undo()
    assert (cc.cwnd, cc.ssthresh) == (20_000, 20_000)


def test_undo_in_slow_start_goes_on_with_slow_start() -> None:
    cc = Reno(MSS, 10)
    cc.save()
    cc.on_loss(0, 10_000)
    assert cc.undo()
    assert (cc.cwnd, cc.ssthresh) == (10_000, INFINITE_SSTHRESH)


def test_a_needless_time_out_is_undone_however_often_it_was_repeated() -> None:
    cc = avoiding(20_000)
    cc.save()
    cc.on_rto(0, 20_000, True)
    cc.on_rto(0, 20_000, False)
    assert cc.undo()
    assert (cc.cwnd, cc.ssthresh) == (20_000, 20_000)


def test_undo_goes_back_to_save_over_all_that_came_since() -> None:
    cc = avoiding(20_000)
    cc.save()
    cc.on_loss(0, 20_000)
    cc.on_rto(0, 10_000, True)
    assert cc.undo()
    assert (cc.cwnd, cc.ssthresh) == (20_000, 20_000)


def test_undo_happens_once() -> None:
    cc = avoiding(20_000)
    assert not cc.undo()
    cc.save()
    cc.on_loss(0, 20_000)
    cc.undo()
    cc.cwnd = 5000
    assert not cc.undo()
    assert cc.cwnd == 5000


def test_undo_comes_too_late_for_a_window_that_has_grown() -> None:
    cc = avoiding(4000)
    cc.save()
    cc.on_loss(0, 4000)
    for _ in range(20):
        cc.on_ack(acked(1000))
    cwnd = cc.cwnd
    assert cwnd > 4000
    assert not cc.undo()
    assert (cc.cwnd, cc.ssthresh) == (cwnd, 2000)


def test_what_was_signalled_is_not_undone() -> None:
    cc = avoiding(20_000)
    cc.save()
    cc.on_loss(0, 20_000)
    cc.on_ecn(0, 10_000)
    assert not cc.undo()
    assert cc.cwnd == 8000


def test_undo_does_not_cross_a_change_of_the_segment_size() -> None:
    cc = avoiding(20_000)
    cc.save()
    cc.on_loss(0, 20_000)
    cc.set_mss(500)
    assert not cc.undo()
    assert cc.cwnd == 5000


def test_another_algorithm_goes_on_with_the_window() -> None:
    old = create("cubic", 1000, 10)
    old.cwnd, old.ssthresh = 123_456, 100_000
    new = succeed(old, "reno")
    assert type(new) is Reno
    assert (new.cwnd, new.ssthresh, new.mss) == (123_456, 100_000, 1000)
    assert new.initial_cwnd == old.initial_cwnd
    assert not new.in_slow_start
    with pytest.raises(ValueError, match="unknown congestion control 'none such'"):
        succeed(old, "none such")
