"""HyStart++: rounds, thresholds and phases of RFC 9406 §4.2."""

from __future__ import annotations

import pytest

from utcp.core.cc.hystart import CSS_ROUNDS, N_RTT_SAMPLE, HyStart

MS = 1_000_000


class Rounds:
    """Feeds one HyStart round by round: a round is 1,000 numbers, an ACK counts 1,000 bytes."""

    def __init__(self) -> None:
        self.hystart = HyStart()
        self.start = 0
        # The first ACK of all ends a round with nothing in it.
        self.hystart.on_ack(0, 1000, -1, 0)

    def round(self, *rtts_ms: float) -> int:
        """A round with these RTT samples; the last ACK ends it. Returns what the window grew."""
        grown = 0
        for i, rtt in enumerate(rtts_ms, 1):
            una = self.start + 1000 * i // len(rtts_ms)
            grown += self.hystart.on_ack(una, self.start + 2000, round(rtt * MS), 1000)
        self.start += 1000
        return grown

    def steady(self, rtt_ms: float, samples: int = N_RTT_SAMPLE) -> int:
        return self.round(*[rtt_ms] * samples)


def begun(rtt_ms: float) -> Rounds:
    """One round of slow start at this RTT."""
    rounds = Rounds()
    rounds.steady(rtt_ms)
    return rounds


def test_steady_round_trips_never_end_slow_start() -> None:
    rounds = begun(40)
    assert sum(rounds.steady(40) for _ in range(50)) == 50 * 8000
    assert not rounds.hystart.in_css
    assert not rounds.hystart.done


@pytest.mark.parametrize(
    ("last", "least"),
    [
        (10, 14),  # MIN_RTT_THRESH: 4 ms
        (32, 36),
        (40, 45),  # an eighth
        (128, 144),
        (300, 316),  # MAX_RTT_THRESH: 16 ms
    ],
)
def test_threshold(last: int, least: int) -> None:
    rounds = begun(last)
    rounds.steady(least - 0.001)
    assert not rounds.hystart.in_css
    rounds = begun(last)
    rounds.steady(least)
    assert rounds.hystart.in_css


def test_the_least_sample_of_a_round_counts() -> None:
    rounds = begun(40)
    rounds.round(*[80] * 7, 41)
    assert not rounds.hystart.in_css


def test_a_round_needs_eight_samples() -> None:
    rounds = begun(40)
    rounds.steady(80, N_RTT_SAMPLE - 1)
    assert not rounds.hystart.in_css


def test_acks_without_a_sample_do_not_count() -> None:
    rounds = begun(40)
    rounds.hystart.on_ack(rounds.start, rounds.start + 2000, -1, 1000)
    rounds.round(*[80] * 7)
    assert not rounds.hystart.in_css


def test_the_first_round_has_nothing_to_compare_with() -> None:
    rounds = Rounds()
    rounds.steady(500)
    assert not rounds.hystart.in_css


def test_growth_is_a_quarter_in_css() -> None:
    rounds = begun(40)
    assert rounds.round(*[80] * 7) == 7000
    rounds = begun(40)
    rounds.steady(80, 20)
    assert rounds.hystart.in_css
    assert rounds.steady(80) == 8 * 250


def test_css_lasts_five_rounds_with_the_one_in_which_it_began() -> None:
    rounds = begun(40)
    done = []
    for _ in range(CSS_ROUNDS):
        rounds.steady(80)
        done.append(rounds.hystart.done)
    assert done == [False, False, False, False, True]


def test_shorter_round_trips_resume_slow_start() -> None:
    rounds = begun(40)
    rounds.steady(80)
    rounds.steady(80)
    rounds.steady(79.9)
    assert rounds.steady(79.9) == 8000
    # And it can begin anew: compared with the round before, with five rounds again.
    states = []
    for _ in range(CSS_ROUNDS):
        rounds.steady(100)
        states.append((rounds.hystart.in_css, rounds.hystart.done))
    assert states == [(True, False)] * 4 + [(True, True)]


def test_seven_samples_do_not_resume_slow_start() -> None:
    rounds = begun(40)
    rounds.steady(80)
    rounds.steady(50, 7)
    assert rounds.hystart.in_css
