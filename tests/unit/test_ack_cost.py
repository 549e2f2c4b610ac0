"""What an ACK costs does not depend on how much is in flight: counted in lines, not in time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

import utcp.core
from utcp.core.flight import Flight
from utcp.core.loss import LossDetector
from utcp.core.rtt import RttEstimator
from utcp.core.sample import AckSample

CORE: Final = str(Path(utcp.core.__file__).parent)
MSS: Final = 1448
MS: Final = 1_000_000
SIZES: Final = (100, 10_000, 100_000)


def lines(call: Callable[[], object]) -> int:
    """How many lines of the core are run by the call."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(CORE):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


class Sender:
    """So many segments in flight, each sent by itself, the worst case; a round trip of 100 ms."""

    def __init__(self, segments: int) -> None:
        self.flight = Flight(0)
        self.flight.max_records = 1 << 30
        self.loss = LossDetector(0)
        self.rtt = RttEstimator(1000 * MS, 200 * MS, 120_000 * MS)
        self.rtt.update(100 * MS, 0)
        self.sample = AckSample()
        self.una = 0
        for n in range(segments):
            self.flight.sent(n * MSS, (n + 1) * MSS, n * 1000)
        self.now = segments * 1000 + 100 * MS

    def ack(self, segment: int, *blocks: tuple[int, int]) -> None:
        """An ACK, and what is sent upon it: one lost segment, or a new one."""
        self.now += 1000
        sample = self.sample
        sample.reset(self.now)
        flight = self.flight
        flight.ack(segment * MSS, sample)
        if blocks:
            flight.sack([(a * MSS, b * MSS) for a, b in blocks], sample)
        self.loss.on_ack(flight, sample, self.rtt, MSS, True)
        start, end = flight.next_lost(MSS)
        if start >= 0:
            flight.resent(start, end, self.now)
        else:
            flight.sent(flight.nxt, flight.nxt + MSS, self.now)


def ordinary(tcp: Sender) -> list[int]:
    return [lines(partial(tcp.ack, n)) for n in range(1, 40)]


def one_hole(tcp: Sender) -> list[int]:
    """Segment 0 is lost; all others are SACKed, one by one."""
    return [lines(partial(tcp.ack, 0, (1, n))) for n in range(2, 40)]


def many_holes(tcp: Sender) -> list[int]:
    """Every other segment is lost, and so is the first retransmission of each."""
    ranges = [(n, n + 1) for n in range(1, 80, 2)]
    return [lines(partial(tcp.ack, 0, *ranges[max(0, n - 2) : n + 1][::-1])) for n in range(40)]


def far_away(tcp: Sender) -> list[int]:
    """The first half of the flight has arrived but for a segment here and there, of which the
    retransmissions are lost, too."""
    size = len(tcp.flight)
    low = size // 20
    for n in range(9):
        tcp.ack(0, (n * low + 1, (n + 1) * low))
    counts = []
    for _ in range(30):
        nxt = tcp.flight.nxt // MSS
        tcp.now += 200 * MS
        tcp.flight.sent(nxt * MSS, (nxt + 1) * MSS, tcp.now)
        tcp.now += 200 * MS
        tcp.ack(0, (nxt, nxt + 1))
        counts.append(lines(partial(tcp.ack, 0, (nxt, nxt + 1))))
    return counts


@pytest.mark.parametrize("scenario", [ordinary, one_hole, many_holes])
def test_the_cost_of_each_ack_is_the_same(scenario: Callable[[Sender], list[int]]) -> None:
    small, medium, large = (scenario(Sender(size)) for size in SIZES)
    assert small == medium == large


def test_a_long_scoreboard_is_not_walked_again() -> None:
    small, medium, large = (max(far_away(Sender(size))) for size in SIZES)
    assert max(medium, large) <= 1.5 * small


def test_an_ordinary_ack_is_cheap() -> None:
    assert max(ordinary(Sender(100))[1:]) < 70


def test_marking_costs_what_is_marked() -> None:
    # Everything but the last segments is lost: each is looked at once, whatever comes after.
    tcp = Sender(10_000)
    once = lines(lambda: tcp.ack(0, (9_990, 10_000)))
    assert once < 40 * 10_000
    assert lines(lambda: tcp.ack(0, (9_990, 10_000))) < 200
