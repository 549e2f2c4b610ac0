"""The table of deadlines of one connection."""

from __future__ import annotations

from utcp.core import timers
from utcp.core.timers import NEVER


def test_nothing_runs_at_first() -> None:
    assert timers.table() == [NEVER] * timers.COUNT


def test_stopping_reaches_those_who_hold_the_table() -> None:
    held = at = timers.table()
    held[timers.KEEPALIVE] = 5
    timers.stop_all(at)
    assert held == [NEVER] * timers.COUNT


def test_slots_are_different() -> None:
    slots = {
        timers.RTO,
        timers.PERSIST,
        timers.DELAYED_ACK,
        timers.KEEPALIVE,
        timers.USER,
        timers.FIN_WAIT2,
        timers.PTO,
        timers.REORDER,
        timers.PACE,
        timers.CORK,
    }
    assert slots == set(range(timers.COUNT))
