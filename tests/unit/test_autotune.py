"""Receive buffer auto-tuning, look by look."""

from __future__ import annotations

from utcp.core import autotune
from utcp.core.autotune import ReceiveTuner
from utcp.core.timers import NEVER
from utcp.testing import MS, SECOND

MSS = 1000
LIMIT = 32 << 20
CAPACITY = 256 << 10


def tuner(now: int = SECOND, rtt_ns: int = 100 * MS) -> ReceiveTuner:
    started = ReceiveTuner()
    assert started.due_at == NEVER
    started.start(now, rtt_ns, MSS)
    assert started.due_at == now + rtt_ns
    return started


def test_the_beginning() -> None:
    assert autotune.initial(1460, LIMIT) == 256 << 10
    assert autotune.initial(65_483, LIMIT) == 16 * 65_483
    assert autotune.initial(1460, 10_000) == 10_000


def test_twice_what_was_taken_and_more_while_it_grows() -> None:
    t = tuner()
    now = t.due_at
    # 100,000 bytes after the 10,000 of an initial window: ten times as many.
    wanted = 2 * 100_000 + 16 * MSS
    wanted += 2 * wanted * (100_000 - 10_000) // 10_000
    assert t.adjust(now, 100_000, CAPACITY, LIMIT, MSS) == wanted * 8 // 7
    assert t.due_at == now + 100 * MS
    # As much again, so it is as large as it has to be.
    capacity = wanted * 8 // 7
    assert t.adjust(t.due_at, 200_000, capacity, LIMIT, MSS) == capacity
    # A little more: twice that is less than there is already.
    assert t.adjust(t.due_at, 310_000, capacity, LIMIT, MSS) == capacity


def test_who_takes_nothing_gets_nothing() -> None:
    t = tuner()
    for _ in range(10):
        assert t.adjust(t.due_at, 0, CAPACITY, LIMIT, MSS) == CAPACITY
    # Nor does a trickle make it grow.
    for i in range(100):
        assert t.adjust(t.due_at, i * 10_000, CAPACITY, LIMIT, MSS) == CAPACITY


def test_never_above_the_limit_and_then_it_looks_less_often() -> None:
    t = tuner()
    now = t.due_at
    assert t.adjust(now, 50 << 20, CAPACITY, LIMIT, MSS) == LIMIT
    assert t.due_at == now + SECOND
    # The limit has become smaller.
    assert t.adjust(t.due_at, 50 << 20, LIMIT, 100_000, MSS) == 100_000


def test_the_round_trip_is_what_timestamps_say() -> None:
    t = tuner()
    t.note_rtt(20 * MS)
    now = t.due_at
    t.adjust(now, 0, CAPACITY, LIMIT, MSS)
    assert t.due_at == now + 20 * MS
    # A pause of the sender looks like a long one.
    t.note_rtt(820 * MS)
    now = t.due_at
    t.adjust(now, 0, CAPACITY, LIMIT, MSS)
    assert t.due_at == now + 120 * MS
    # Less than the clock can tell.
    t.note_rtt(0)
    now = t.due_at
    t.adjust(now, 0, CAPACITY, LIMIT, MSS)
    assert t.due_at == now + MS


def test_an_unknown_round_trip() -> None:
    t = ReceiveTuner()
    t.start(0, 0, MSS)
    assert t.due_at == 100 * MS
