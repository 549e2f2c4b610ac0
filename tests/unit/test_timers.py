"""The table of deadlines of one connection."""

from __future__ import annotations

from utcp.core import timers
from utcp.core.timers import NEVER, TimerTable


def test_empty() -> None:
    table = TimerTable()
    assert table.next() == NEVER
    assert len(table.at) == timers.COUNT


def test_earliest() -> None:
    table = TimerTable()
    table.at[timers.RTO] = 300
    table.at[timers.DELAYED_ACK] = 40
    assert table.next() == 40
    table.at[timers.DELAYED_ACK] = NEVER
    assert table.next() == 300


def test_clear_reaches_those_who_hold_the_table() -> None:
    table = TimerTable()
    held = table.at
    held[timers.KEEPALIVE] = 5
    table.clear()
    assert held == [NEVER] * timers.COUNT
    assert table.next() == NEVER


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
