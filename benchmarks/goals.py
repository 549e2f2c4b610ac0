"""What utcp is meant to reach, and whether it does: ratios of figures of one run.

Beside each stands what bare segments reach, where they take part: a TCP in pure Python can hardly
do better on the same machine, so what they do not reach is out of reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.figures import of
from benchmarks.tables import Table, without_empty

Cases = dict[str, Any]
Reached = Callable[[Cases, str], float]
"""What a contestant reaches. Raises KeyError if what it needs was not measured."""

_UV: Final = "uvloop/protocol"
_HEAD: Final = ["", "goal", "reached", "met", "bare segments reach", "utcp of that"]


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table."""

    what: str
    wanted: str
    target: float
    at_least: bool
    reached: Reached

    def met(self, value: float) -> bool:
        """Whether this is enough."""
        return value >= self.target if self.at_least else value <= self.target


def table(results: dict[str, Any]) -> Table:
    """The goals that these results can judge; if they should be complete, also the others."""
    cases = {case["name"]: case for case in results["cases"] if case["figures"]}
    rows = []
    for goal in GOALS:
        try:
            value = goal.reached(cases, "utcp")
        except KeyError:
            if results["complete"]:
                rows.append([goal.what, goal.wanted, "", "not measured", "", ""])
            continue
        met = "yes" if goal.met(value) else "NO"
        rows.append([goal.what, goal.wanted, f"{value:,.2f}", met, *_floor(goal, value, cases)])
    return "Goals", *without_empty(_HEAD, rows)


def _floor(goal: Goal, value: float, cases: Cases) -> tuple[str, str]:
    """What bare segments reach, and whether that is enough; what utcp reaches of that."""
    try:
        floor = goal.reached(cases, "bare")
    except KeyError:
        return "", ""
    return f"{floor:,.2f}" + (" (NO)" if not goal.met(floor) else ""), f"{value / floor:,.2f}"


def _against(group: str, other: str, key: str, way: str = _UV) -> Reached:
    return lambda cases, name: (
        of(cases[f"{group}/{way}/{name}"], key) / of(cases[f"{group}/{way}/{other}"], key)
    )


def _ceiling(group: str) -> Reached:
    return lambda cases, name: (
        of(cases[f"{group}/{_UV}/{name}"], "MB_per_s")
        / of(cases[f"{group}/none/sockets/raw"], "MB_per_s")
    )


def _beside(other: str) -> Reached:
    """Throughput with 1,448 bytes over the best that another reaches, either direction."""

    def reached(cases: Cases, name: str) -> float:
        others = [
            of(case, "MB_per_s")
            for case in cases.values()
            if case["contestant"] == other and case["task"] in {"bulk/up/1448", "bulk/down/1448"}
        ]
        if not others:
            raise KeyError(other)
        return of(cases[f"bulk/up/1448/{_UV}/{name}"], "MB_per_s") / max(others)

    return reached


def _last_and_first(cases: Cases, name: str) -> float:
    held = cases[f"connections/held/{_UV}/{name}"]
    return of(held, "last_us") / of(held, "first_us")


def _many_and_one(cases: Cases, name: str) -> float:
    many, one = (cases[f"growth/connections/{count}/{_UV}/{name}"] for count in (1000, 1))
    return of(many, "MB_per_s") / of(one, "MB_per_s")


_LOOPBACK: Final = "bulk, loopback MTU"
_1448: Final = "bulk, 1,448-byte segments, protocol, uvloop"
_KERNEL: Final = "of kernel TCP"

GOALS: Final = (
    Goal(
        f"{_LOOPBACK}, protocol, uvloop", f"0.6 {_KERNEL}", 0.6, True,
        _against("bulk/up/loopback", "tcp", "MB_per_s"),
    ),
    Goal(
        f"{_LOOPBACK}, protocol, uvloop", "0.3 of plain UDP", 0.3, True,
        _ceiling("bulk/up/loopback"),
    ),
    Goal(
        f"{_LOOPBACK}, streams, asyncio", f"1.0 {_KERNEL}", 1.0, True,
        _against("bulk/up/loopback", "tcp", "MB_per_s", "asyncio/streams"),
    ),
    Goal(
        f"{_LOOPBACK}, streams, uvloop", f"0.8 {_KERNEL}", 0.8, True,
        _against("bulk/up/loopback", "tcp", "MB_per_s", "uvloop/streams"),
    ),
    Goal(_1448, "0.5 of plain UDP", 0.5, True, _ceiling("bulk/up/1448")),
    Goal(_1448, "60 x aioquic", 60, True, _beside("aioquic")),
    Goal(_1448, "4 x ENet", 4, True, _beside("enet")),
    Goal(_1448, "2 x ngtcp2", 2, True, _beside("ngtcp2")),
    *(
        goal
        for loop in ("asyncio", "uvloop")
        for goal in (
            Goal(
                f"64-byte echo, {loop}, median", f"at most 1.3 {_KERNEL}", 1.3, False,
                _against("echo/64", "tcp", "p50_us", f"{loop}/protocol"),
            ),
            Goal(
                f"64-byte echo, {loop}, 99th percentile", f"at most 2 {_KERNEL}", 2.0, False,
                _against("echo/64", "tcp", "p99_us", f"{loop}/protocol"),
            ),
        )
    ),
    Goal(
        "requests of 100 connections", f"0.5 {_KERNEL}", 0.5, True,
        _against("requests/100", "tcp", "per_s"),
    ),
    Goal(
        "open-exchange-close, 50 at a time", f"0.4 {_KERNEL}", 0.4, True,
        _against("connections/churn", "tcp", "per_s"),
    ),
    Goal(
        "10,000 connections held: each on the server", "under 8 KiB", 8192, False,
        lambda cases, name: of(cases[f"connections/held/{_UV}/{name}"], "rss_each"),
    ),
    Goal(
        "10,000 connections held: to open the last", "at most 1.2 of the first", 1.2, False,
        _last_and_first,
    ),
    Goal(
        "1,000 connections in bulk, in all", "0.7 of one", 0.7, True, _many_and_one,
    ),
)  # fmt: skip
