"""Scoreboard: ranges stay in order, disjoint and apart."""

from __future__ import annotations

import pytest

from utcp.core.scoreboard import Scoreboard


def board(*ranges: tuple[int, int]) -> Scoreboard:
    result = Scoreboard()
    for start, end in ranges:
        result.add(start, end)
    return result


def ranges(of: Scoreboard) -> list[tuple[int, int]]:
    return list(zip(of.starts, of.ends, strict=True))


@pytest.mark.parametrize(
    ("block", "new", "after"),
    [
        ((0, 5), [(0, 5)], [(0, 5), (10, 20), (30, 40)]),
        ((50, 60), [(50, 60)], [(10, 20), (30, 40), (50, 60)]),
        ((22, 28), [(22, 28)], [(10, 20), (22, 28), (30, 40)]),
        ((20, 25), [(20, 25)], [(10, 25), (30, 40)]),
        ((25, 30), [(25, 30)], [(10, 20), (25, 40)]),
        ((20, 30), [(20, 30)], [(10, 40)]),
        ((5, 50), [(5, 10), (20, 30), (40, 50)], [(5, 50)]),
        ((15, 35), [(20, 30)], [(10, 40)]),
        ((12, 18), [], [(10, 20), (30, 40)]),
        ((10, 20), [], [(10, 20), (30, 40)]),
        ((5, 15), [(5, 10)], [(5, 20), (30, 40)]),
    ],
)
def test_add(
    block: tuple[int, int], new: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    scoreboard = board((10, 20), (30, 40))
    assert scoreboard.covers(*block) == (not new)
    assert scoreboard.add(*block) == new
    assert ranges(scoreboard) == after
    assert scoreboard.covers(*block)


@pytest.mark.parametrize(
    ("seq", "after"),
    [
        (5, [(10, 20), (30, 40)]),
        (10, [(10, 20), (30, 40)]),
        (15, [(15, 20), (30, 40)]),
        (20, [(30, 40)]),
        (30, [(30, 40)]),
        (40, []),
    ],
)
def test_remove_below(seq: int, after: list[tuple[int, int]]) -> None:
    scoreboard = board((10, 20), (30, 40))
    scoreboard.remove_below(seq)
    assert ranges(scoreboard) == after


@pytest.mark.parametrize(
    ("seq", "gap"),
    [
        (0, (0, 10)),
        (10, (20, 30)),
        (15, (20, 30)),
        (20, (20, 30)),
        (25, (25, 30)),
        (35, (40, 50)),
        (45, (45, 50)),
        (50, (-1, -1)),
    ],
)
def test_gap(seq: int, gap: tuple[int, int]) -> None:
    assert board((10, 20), (30, 40)).gap(seq, 50) == gap


def test_no_gap_below_a_top_that_is_in_the_set() -> None:
    assert board((10, 20)).gap(12, 20) == (-1, -1)
    assert board((10, 20)).gap(0, 5) == (0, 5)
    assert board().gap(0, 5) == (0, 5)


def test_clear() -> None:
    scoreboard = board((10, 20))
    scoreboard.clear()
    assert ranges(scoreboard) == []
