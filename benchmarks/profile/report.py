"""What was found, as tables and for a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.profile.layers import KERNEL, OTHER, layer, rank, short
from benchmarks.profile.probe import Place, Profile
from benchmarks.profile.scenes import Scene

_WIDTH: Final = 120
_WORTH: Final = 0.02  # of the whole, for a line of its own


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a layer or a function, per unit."""

    name: str
    us: float
    """CPU time."""
    share: float
    bytecodes: float
    calls: float
    c_calls: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Where the time of one contestant goes in one scene."""

    scene: str
    unit: str
    contestant: str
    units: float
    samples: int
    total: Cost
    layers: list[Cost]
    functions: list[Cost]


def find(
    scene: Scene, contestant: str, sampled: tuple[Profile, float], counted: tuple[Profile, float]
) -> Finding:
    """From a run with samples and one with counts, each with the number of its units."""
    times, units = sampled
    counts, counted_units = counted
    seen = sum(times.samples.values()) + times.in_kernel

    def cost(name: str, places: Sequence[Place], also: int = 0) -> Cost:
        found = also + sum(times.samples.get(place, 0) for place in places)
        share = found / seen if seen else 0.0
        numbers = (
            sum(table.get(place, 0) for place in places) / counted_units
            for table in (counts.bytecodes, counts.calls, counts.c_calls)
        )
        return Cost(name, times.cpu / units * 1e6 * share, share, *numbers)

    places = [place for place in {**times.samples, **counts.calls} if layer(place) != OTHER]
    rest = [place for place in {**times.samples, **counts.calls} if layer(place) == OTHER]
    names = sorted({layer(place) for place in places}, key=lambda name: (rank(name), name))
    by_layer = [cost(name, [place for place in places if layer(place) == name]) for name in names]
    kernel = cost(KERNEL, [], times.in_kernel)
    functions = [cost(short(place), [place]) for place in places]
    functions.sort(key=lambda one: (-one.bytecodes, one.name))
    return Finding(
        scene.name,
        scene.unit,
        contestant,
        units,
        seen,
        cost("all", [*places, *rest], times.in_kernel),
        [kernel, *by_layer, cost(OTHER, rest)],
        functions,
    )


def show(findings: Sequence[Finding], top: int) -> None:
    """Print the tables."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    for one in findings:
        table = _table(f"{one.scene}: {one.contestant}, per {one.unit} ({one.samples} samples)")
        for cost in [*_largest(one), one.total]:
            _add(table, cost)
        table.add_section()
        for cost in one.functions[:top]:
            _add(table, cost)
        console.print(table)
    console.print(_summary(findings))


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The same for a file."""
    return [asdict(one) for one in findings]


def _largest(one: Finding) -> list[Cost]:
    """The layers that are worth a line, and the rest."""
    least = one.total.bytecodes * _WORTH
    worth = [cost for cost in one.layers if cost.share >= _WORTH or cost.bytecodes >= least]
    rest = [cost for cost in one.layers if cost not in worth]
    sums = [
        sum(numbers)
        for numbers in zip(
            *((cost.us, cost.share, cost.bytecodes, cost.calls, cost.c_calls) for cost in rest),
            strict=True,
        )
    ]
    return [*worth, Cost("the rest", *sums)] if sums else worth


def _table(title: str) -> Table:
    table = Table(title=title)
    table.add_column("layer, function", no_wrap=True)
    for head in ("CPU, µs", "share", "bytecodes", "calls", "C calls"):
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _add(table: Table, cost: Cost) -> None:
    table.add_row(
        cost.name,
        f"{cost.us:,.1f}",
        f"{cost.share:.0%}",
        f"{cost.bytecodes:,.0f}",
        f"{cost.calls:,.1f}",
        f"{cost.c_calls:,.1f}",
    )


def _summary(findings: Sequence[Finding]) -> Table:
    """All contestants beside each other: what utcp does beyond what bare segments do."""
    names = [*dict.fromkeys(one.contestant for one in findings)]
    table = Table(title="CPU, µs (of that socket calls), and bytecodes, by contestant")
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(f"{name}: µs", justify="right", no_wrap=True)
        table.add_column("bytecodes", justify="right", no_wrap=True)
    for scene in dict.fromkeys((one.scene, one.unit) for one in findings):
        by = {one.contestant: one for one in findings if one.scene == scene[0]}
        cells: list[str] = []
        for name in names:
            if name in by:
                total, kernel = by[name].total, by[name].layers[0]
                cells += [f"{total.us:,.1f} ({kernel.us:,.1f})", f"{total.bytecodes:,.0f}"]
            else:
                cells += ["", ""]
        table.add_row(f"{scene[0]}, per {scene[1]}", *cells)
    return table
