"""CUBIC against the formulas of RFC 9438, computed with exact fractions."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest

from utcp.core.cc.base import INFINITE_SSTHRESH
from utcp.core.cc.cubic import Cubic, cube_root
from utcp.core.sample import AckSample

MSS = 1000
SECOND = 1_000_000_000
MS = 1_000_000
C = Fraction(4, 10)
ALPHA = Fraction(9, 17)


def acked(now: int, size: int, srtt_ns: int, *, limited: bool = True) -> AckSample:
    sample = AckSample()
    sample.reset(now)
    sample.acked = sample.delivered = size
    sample.prior_in_flight = 1 << 40
    sample.cwnd_limited = limited
    sample.srtt_ns = srtt_ns
    return sample


def after_loss(w_max: int, mss: int = MSS) -> Cubic:
    """A controller just after its first loss, at `w_max` bytes."""
    cc = Cubic(mss, 10)
    cc.cwnd = w_max
    cc.on_loss(0, w_max)
    return cc


def drive(cc: Cubic, start: int, stop: int, rtt: int, acks: int = 32) -> list[int]:
    """ACKs for one window per round trip, `acks` in each; the window after each round."""
    windows = []
    now = start
    while now < stop:
        window = cc.cwnd
        for i in range(acks):
            now += rtt * (i + 1) // acks - rtt * i // acks
            size = window * (i + 1) // acks - window * i // acks
            cc.on_ack(acked(now, size, rtt))
        windows.append(cc.cwnd)
    return windows


def k_seconds(w_max: int, cwnd: int, mss: int = MSS) -> float:
    root: float = float(Fraction(w_max - cwnd, mss) / C) ** (1 / 3)
    return root


# -- the curve (§4.2) -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 26, 27, 28, 10**27 - 1, 10**27, 10**40 + 1])
def test_cube_root(n: int) -> None:
    root = cube_root(n)
    assert root**3 <= n < (root + 1) ** 3


def test_cube_roots_of_many_sizes() -> None:
    rng = random.Random(1)
    for bits in range(1, 200):
        n = rng.getrandbits(bits)
        root = cube_root(n)
        assert root**3 <= n < (root + 1) ** 3


@pytest.mark.parametrize("mss", [48, 536, 1448, 8948, 65_483])
@pytest.mark.parametrize("segments", [2, 3, 10, 1000, 100_000])
def test_w_cubic_is_figure_1(mss: int, segments: int) -> None:
    w_max = segments * mss
    cc = after_loss(w_max, mss)
    cwnd_epoch = cc.cwnd
    cc.on_ack(acked(5 * SECOND, 1, 0))  # the stage begins
    # Figure 2, and with it Figure 1 in bytes, at most one nanosecond of K and one byte off.
    k = Fraction(cube_root((w_max - cwnd_epoch) * 10**28 // (4 * mss)), SECOND)
    assert (C * k**3 * mss) <= w_max - cwnd_epoch < C * (k + Fraction(1, SECOND)) ** 3 * mss + 1
    for t_ns in (0, 1, 999, MS, 123_456_789, SECOND, 77 * SECOND, 3600 * SECOND):
        exact = C * mss * (Fraction(t_ns, SECOND) - k) ** 3 + w_max
        assert cc.w_cubic(t_ns) == exact.__floor__()


@pytest.mark.parametrize("rtt", [10 * MS, 100 * MS])
def test_the_window_follows_the_curve(rtt: int) -> None:
    """Between W_cubic(t) and W_cubic(t + RTT), concave up to W_max at K, convex after it."""
    w_max = 8000 * MSS
    cc = after_loss(w_max)
    windows = []
    k = k_seconds(w_max, cc.cwnd)
    rounds = round(2 * k * SECOND / rtt)
    for i in range(rounds):
        windows += drive(cc, i * rtt, (i + 1) * rtt, rtt)
        # The stage begins with the first ACK.
        t = (i + 1) * rtt - rtt // 32
        assert cc.w_cubic(t - rtt // 8) - MSS <= cc.cwnd <= cc.w_cubic(t + rtt) + MSS
    gains = [b - a for a, b in pairwise(windows)]
    assert min(gains) >= 0
    middle = rounds // 2
    tenth = middle // 10
    concave = [sum(gains[i : i + tenth]) for i in range(0, middle - tenth, tenth)]
    convex = [sum(gains[i : i + tenth]) for i in range(middle + tenth, rounds - tenth, tenth)]
    assert concave == sorted(concave, reverse=True)
    assert convex == sorted(convex)
    assert abs(windows[middle] - w_max) < 2 * MSS


def test_growth_by_one_ack_is_figure_of_4_4() -> None:
    """(target - cwnd) / cwnd for each byte, nothing rounded away over many ACKs."""
    rtt = 100 * MS
    cc = after_loss(1000 * MSS)
    cwnd = Fraction(cc.cwnd)
    now = 0
    cc.on_ack(acked(now, 0, rtt))
    for _ in range(300):
        # Further apart than RTT / 16, so that every one of them looks at the curve.
        now += 7 * MS
        cc.on_ack(acked(now, 777, rtt))
        # The first one begins the stage.
        t = now - 7 * MS
        target = min(Fraction(cc.w_cubic(t + rtt)), cwnd * 3 / 2)
        if target > cwnd:
            cwnd += 777 * (target - cwnd) / cwnd
            cwnd = Fraction(round(cwnd * 2**64), 2**64)
        assert abs(cc.cwnd - cwnd) < 2


def test_growth_is_bounded_by_half_the_window_each_round_trip() -> None:
    cc = after_loss(100_000 * MSS)
    cc.cwnd = cc.ssthresh = 100 * MSS
    # K is long, and so the curve steep: far more than 1.5 times the window in 10 s.
    cc.on_ack(acked(0, MSS, 10 * SECOND))
    window = cc.cwnd
    cc.on_ack(acked(10 * SECOND, window, 10 * SECOND))
    assert window < cc.cwnd <= window * 3 // 2


def test_acks_between_looks_are_counted_and_only_that() -> None:
    rtt = 160 * MS
    many, one = after_loss(1000 * MSS), after_loss(1000 * MSS)
    for cc in (many, one):
        cc.on_ack(acked(0, MSS, rtt))
    before = many.cwnd
    for i in range(9):
        many.on_ack(acked((i + 1) * MS, 1000, rtt))
        assert many.cwnd == before
    many.on_ack(acked(10 * MS, 1000, rtt))
    one.on_ack(acked(10 * MS, 10_000, rtt))
    assert many.cwnd == one.cwnd > before


def test_looks_are_half_a_millisecond_apart_on_short_paths() -> None:
    cc = after_loss(10 * MSS)
    cc.on_ack(acked(0, MSS, 100_000))
    before = cc.cwnd
    cc.on_ack(acked(499_999, MSS, 100_000))
    assert cc.cwnd == before
    cc.on_ack(acked(500_000, MSS, 100_000))
    assert cc.cwnd > before


# -- the Reno-friendly region (§4.3) ----------------------------------------------------------


def test_w_est_is_figure_4() -> None:
    rtt = 10 * MS
    cc = after_loss(20 * MSS)
    assert cc.cwnd == 14 * MSS
    exact = Fraction(14 * MSS)
    now = 0
    for _ in range(2000):
        alpha = ALPHA if exact < 20 * MSS else Fraction(1)
        exact += 700 * MSS * alpha / cc.cwnd
        cc.on_ack(acked(now, 700, rtt))
        # The curve is flat for seconds at this size, so the window is W_est.
        if cc.cwnd > 14 * MSS:
            assert abs(cc.cwnd - exact) < 2
        now += MS
    assert cc.cwnd > 30 * MSS


def test_w_est_takes_nothing_away() -> None:
    rtt = 100 * MS
    cc = after_loss(20 * MSS)
    cc.on_ack(acked(0, 1, rtt))
    # The window has run ahead of the curve, which looks one round trip ahead, and of W_est.
    cc.cwnd = cc.ssthresh = 16 * MSS
    cc.on_ack(acked(10 * MS, 20 * MSS, rtt))
    assert 14 * MSS < cc.w_cubic(10 * MS) < 15 * MSS
    assert cc.cwnd == 16 * MSS


def test_alpha_is_one_from_cwnd_prior_on() -> None:
    cc = after_loss(20 * MSS)
    rtt = 10 * MS
    windows = drive(cc, 0, SECOND, rtt, acks=8)
    gains = [b - a for a, b in pairwise(windows)]
    below = [gain for gain, window in zip(gains, windows, strict=False) if window < 19 * MSS]
    above = [gain for gain, window in zip(gains, windows, strict=False) if window > 20 * MSS]
    assert all(abs(gain - ALPHA * MSS) < 40 for gain in below)
    assert all(abs(gain - MSS) < 40 for gain in above)


# -- reductions (§4.6, §4.7, §4.8) ------------------------------------------------------------


def test_a_loss_leaves_seven_tenths() -> None:
    cc = after_loss(100 * MSS)
    assert (cc.cwnd, cc.ssthresh) == (70 * MSS, 70 * MSS)


def test_a_mark_leaves_more() -> None:
    cc = after_loss(100 * MSS)
    cc.on_ecn(0, 70 * MSS)
    assert (cc.cwnd, cc.ssthresh) == (59_500, 59_500)


def test_a_loss_leaves_two_segments_and_marks_leave_one() -> None:
    cc = after_loss(2 * MSS)
    assert (cc.cwnd, cc.ssthresh) == (2 * MSS, 2 * MSS)
    for _ in range(5):
        cc.on_ecn(0, cc.cwnd)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 2 * MSS)


def test_fast_convergence() -> None:
    cc = after_loss(1000 * MSS)
    # Below W_max again: the flow gives up more, cwnd * (1 + 0.7) / 2.
    cc.on_loss(SECOND, 700 * MSS)
    cc.on_ack(acked(SECOND, 0, MS))
    cc.on_ack(acked(SECOND, MSS, MS))
    k = cube_root((595 - 490) * MSS * 10**28 // (4 * MSS))
    assert cc.w_cubic(k) == 595 * MSS
    # Above W_max: no fast convergence.
    cc.cwnd = 600 * MSS
    cc.on_loss(2 * SECOND, 600 * MSS)
    cc.on_ack(acked(2 * SECOND, MSS, MS))
    k = cube_root((600 - 420) * MSS * 10**28 // (4 * MSS))
    assert cc.w_cubic(k) == 600 * MSS


def test_after_a_time_out_the_curve_starts_flat() -> None:
    cc = after_loss(1000 * MSS)
    cc.on_rto(0, 700 * MSS, True)
    assert (cc.cwnd, cc.ssthresh) == (MSS, 490 * MSS)
    now = 0
    while cc.in_slow_start:
        now += MS
        cc.on_ack(acked(now, 10 * MSS, 10 * MS))
    # §4.8: K = 0 and W_max = cwnd at the beginning of congestion avoidance.
    start = cc.w_cubic(0)
    assert 490 * MSS <= start <= cc.cwnd <= 491 * MSS
    assert cc.w_cubic(SECOND) == start + 400


def test_after_hystart_the_curve_starts_flat() -> None:
    cc = Cubic(MSS, 10)
    cc.cwnd = cc.ssthresh = 100 * MSS
    cc.on_ack(acked(5 * SECOND, MSS, 10 * MS))
    assert cc.w_cubic(0) == 100 * MSS
    assert cc.w_cubic(10 * SECOND) == 100 * MSS + 400_000


# -- application-limited (§4.2, §5.8) ---------------------------------------------------------


@pytest.mark.parametrize("idle", [False, True])
def test_time_without_need_of_the_window_does_not_count(idle: bool) -> None:
    rtt = 20 * MS
    pause = 500 * SECOND
    paused, straight = after_loss(1000 * MSS), after_loss(1000 * MSS)
    drive(paused, 0, SECOND, rtt)
    drive(straight, 0, SECOND, rtt)
    assert paused.cwnd == straight.cwnd
    if idle:
        # So short a time-out that nothing is taken from the window.
        paused.on_idle(SECOND + pause, pause, pause + 1)
    else:
        for i in range(100):
            sample = acked(SECOND + i * pause // 100, MSS, rtt, limited=False)
            sample.prior_in_flight = paused.cwnd
            paused.on_ack(sample)
    assert paused.cwnd == straight.cwnd
    again = drive(paused, SECOND + pause, 3 * SECOND + pause, rtt)
    on = drive(straight, SECOND, 3 * SECOND, rtt)
    # Up to one look at the curve of difference, at the moment of the pause.
    assert all(abs(a - b) <= 4 * MSS for a, b in zip(again, on, strict=True))


# -- undo (§4.9) ------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["loss", "time-out", "time-out twice"])
def test_after_undo_all_is_as_if_nothing_had_been(event: str) -> None:
    rtt = 20 * MS
    spurious, straight = after_loss(500 * MSS), after_loss(500 * MSS)
    for cc in (spurious, straight):
        drive(cc, 0, SECOND, rtt)
    spurious.save()
    if event == "loss":
        spurious.on_loss(SECOND, spurious.cwnd)
    else:
        spurious.on_rto(SECOND, spurious.cwnd, True)
        if event == "time-out twice":
            spurious.on_rto(SECOND, spurious.cwnd, False)
    assert spurious.cwnd < straight.cwnd
    assert spurious.undo()
    assert spurious.cwnd == spurious.ssthresh == straight.cwnd
    a = drive(spurious, SECOND, 5 * SECOND, rtt)
    b = drive(straight, SECOND, 5 * SECOND, rtt)
    assert all(abs(x - y) <= MSS for x, y in zip(a, b, strict=True))
    # Also what the next loss makes of it, with fast convergence or without.
    for cc in (spurious, straight):
        cc.on_loss(5 * SECOND, cc.cwnd)
    assert abs(spurious.cwnd - straight.cwnd) <= MSS


def test_undo_of_the_first_loss_goes_back_to_slow_start() -> None:
    cc = Cubic(MSS, 10)
    cc.cwnd = 500 * MSS
    cc.save()
    cc.on_loss(0, 500 * MSS)
    assert cc.undo()
    assert (cc.cwnd, cc.ssthresh) == (500 * MSS, INFINITE_SSTHRESH)
    assert not cc.undo()


def test_another_segment_size_begins_a_new_curve() -> None:
    cc = after_loss(1000 * MSS)
    drive(cc, 0, SECOND, 20 * MS)
    cc.set_mss(500)
    cc.ssthresh = before = cc.cwnd
    cc.on_ack(acked(2 * SECOND, 500, 20 * MS))
    assert before <= cc.cwnd <= before + 500
    assert abs(cc.w_cubic(0) - before) <= 1
    cc.set_mss(500)
    assert abs(cc.w_cubic(0) - before) <= 1


# -- average windows (§5.1) -------------------------------------------------------------------

# Tables 1 and 2, the column C = 0.4, in segments.
AVERAGES = [
    (100 * MS, 2, 12),
    (100 * MS, 3, 38),
    (100 * MS, 4, 187),
    (100 * MS, 5, 1054),
    (100 * MS, 6, 5926),
    (10 * MS, 3, 38),
    (10 * MS, 4, 120),
    (10 * MS, 5, 379),
]


@pytest.mark.parametrize(("rtt", "exponent", "average"), AVERAGES)
def test_average_window_with_one_loss_each_so_many_segments(
    rtt: int, exponent: int, average: int
) -> None:
    """The deterministic loss model of §5 and Appendix B, round by round."""
    between = 10**exponent * MSS
    cc = after_loss(2 * average * MSS)
    now = sent = total = rounds = 0
    acks = 16
    for losses in range(20):
        while sent < between:
            window = cc.cwnd
            for i in range(acks):
                now += rtt // acks
                cc.on_ack(acked(now, window * (i + 1) // acks - window * i // acks, rtt))
            sent += window
            if losses >= 8:
                total += window
                rounds += 1
        sent -= between
        cc.on_loss(now, cc.cwnd)
    mean = total / rounds / MSS
    # alpha = 1 above cwnd_prior makes it somewhat faster than the model of Figure 3.
    assert 0.93 * average < mean < 1.2 * average
