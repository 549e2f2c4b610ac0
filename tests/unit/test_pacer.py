"""The pacer: a token bucket in time, in bursts of about a millisecond."""

from __future__ import annotations

import pytest

from utcp.core.pacer import Pacer, rate
from utcp.testing import MS, SECOND, US

MBYTE = 1_000_000


def test_rates_are_those_of_linux() -> None:
    # 100,000 bytes in 100 ms are 1 MB/s.
    assert rate(100_000, 100 * MS, slow_start=True) == 2 * MBYTE
    assert rate(100_000, 100 * MS, slow_start=False) == 1_200_000
    assert rate(1, 300 * SECOND, slow_start=False) == 1
    assert rate(1, 0, slow_start=False) > 0


@pytest.mark.parametrize(
    ("enabled", "min_rtt_ns", "on"),
    [(True, MS, True), (True, MS - 1, False), (True, 0, False), (False, 100 * MS, False)],
)
def test_only_where_the_round_trip_makes_it_matter(
    enabled: bool, min_rtt_ns: int, on: bool
) -> None:
    pacer = Pacer(enabled)
    pacer.on_rtt(min_rtt_ns)
    assert pacer.on is on


def test_bursts_are_a_millisecond_of_whole_segments() -> None:
    pacer = Pacer(True)
    assert pacer.burst(15 * MBYTE, 1448) == 10 * 1448
    # But never a single one.
    assert pacer.burst(1000, 1448) == 2 * 1448
    assert pacer.burst(15 * MBYTE, 65_483) == 2 * 65_483


def test_what_is_sent_takes_its_time() -> None:
    pacer = Pacer(True)
    now = 10 * SECOND
    pacer.sent(now, 5000, MBYTE)
    # The bucket was full: 2 ms of credit, of which 5 ms are used.
    assert pacer.next_at == now + 3 * MS
    pacer.sent(now + 3 * MS, 1000, MBYTE)
    assert pacer.next_at == now + 4 * MS
    # A late wake-up loses nothing ...
    pacer.sent(now + 5500 * US, 1000, MBYTE)
    assert pacer.next_at == now + 5 * MS
    # ... up to 2 ms.
    pacer.sent(now + 100 * MS, 1000, MBYTE)
    assert pacer.next_at == now + 99 * MS


def test_the_rate_is_kept_by_a_loop_with_a_coarse_clock() -> None:
    pacer = Pacer(True)
    now = start = 10 * SECOND
    sent = 0
    while now < start + SECOND:
        while pacer.next_at <= now:
            size = pacer.burst(10 * MBYTE, 1000)
            pacer.sent(now, size, 10 * MBYTE)
            sent += size
        # Whole milliseconds, rounded up, and half of one too late.
        now += -(-(pacer.next_at - now) // MS) * MS + MS // 2
    assert sent == pytest.approx(10 * MBYTE, rel=0.01)


def test_the_initial_window_leaves_at_once() -> None:
    pacer = Pacer(True)
    pacer.start(14_480)
    assert pacer.burst(1, 1448) == 14_480
    pacer.sent(SECOND, 14_600, 1)
    assert pacer.next_at == 0
    pacer.sent(SECOND, 1448, 1_448_000)
    assert pacer.next_at == SECOND - MS
