"""Connections in all kinds of trouble: bytes are equal, or both sides learn that it is over.

The full run is `python -m benchmarks.chaos`.
"""

from __future__ import annotations

from copy import copy

import pytest

from benchmarks.chaos import attempt, how_to_repeat
from utcp.core.loss import _IDLE
from utcp.core.reassembly import NOTHING_HELD
from utcp.core.scoreboard import NONE_SACKED
from utcp.testing import Outcome, Pattern, Sink, Stalling, ordeal, pair
from utcp.testing.clock import SECOND

BLOCK = 25
BLOCKS = 16


@pytest.mark.parametrize("block", range(BLOCKS))
def test_whatever_happens(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        _, outcome = attempt(seed)
        assert isinstance(outcome, Outcome), f"{outcome}\nto see it: {how_to_repeat(seed)}"


def test_the_same_seed_gives_the_same_run() -> None:
    for seed in range(10):
        assert ordeal(seed) == ordeal(seed, trace=True)


def test_a_stalled_application_does_nothing_until_then() -> None:
    world = pair(trace=False)
    client, server = world.connect()
    sink = Sink(server, 1000, pattern=Pattern(1))
    start = world.now
    world.b.run(Stalling(sink, [(start, start + 5 * SECOND)]))
    client.write(Pattern(1).data(0, 1000))
    client.write_eof()
    world.run_for(4 * SECOND)
    assert sink.received == 0
    world.run_for(2 * SECOND)
    assert sink.done


def test_what_connections_share_stays_as_it_was() -> None:
    # Parts that most connections never need are shared until one has a use for its own.
    before = [_contents(part) for part in _shared()]
    for seed in range(BLOCKS * BLOCK, BLOCKS * BLOCK + BLOCK):
        attempt(seed)
    assert [_contents(part) for part in _shared()] == before


def _shared() -> list[object]:
    return [NOTHING_HELD, NONE_SACKED, *_IDLE]


def _contents(part: object) -> list[object]:
    return [copy(getattr(part, name)) for name in type(part).__slots__]  # type: ignore[attr-defined]
