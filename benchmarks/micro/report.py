"""What was measured, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.micro.cases import Case
from benchmarks.micro.gauge import Figures, Tree

Results = dict[tuple[Case, Tree], Figures | str]


def show(results: Results, trees: list[Tree]) -> None:
    """Print the table: with two trees both, and the ratio of this one to the other."""
    table = Table(title="Per unit: least and median CPU time, and instructions")
    table.add_column("case", no_wrap=True)
    table.add_column("per")
    for tree in trees:
        table.add_column(f"ns, {tree.label}", justify="right")
        table.add_column(f"instructions, {tree.label}", justify="right")
    if len(trees) > 1:
        table.add_column("instructions, ratio", justify="right")
    for case in dict.fromkeys(case for case, _ in results):
        found = [results[case, tree] for tree in trees]
        cells = [cell for figures in found for cell in _cells(figures)]
        table.add_row(case.name, case.unit, *cells, *_ratio(found))
    Console(width=None if Console().is_terminal else 120).print(table)


def as_json(results: Results) -> list[dict[str, Any]]:
    """The same for a file."""
    rows: list[dict[str, Any]] = []
    for (case, tree), figures in results.items():
        row: dict[str, Any] = {"name": case.name, "unit": case.unit, "tree": tree.label}
        if isinstance(figures, str):
            row["failed"] = figures
        else:
            row |= {"ns_min": figures.ns_min, "ns_median": figures.ns_median}
            if figures.instructions >= 0:
                row["instructions"] = figures.instructions
        rows.append(row)
    return rows


def _cells(figures: Figures | str) -> tuple[str, str]:
    if isinstance(figures, str):
        return "failed", figures
    times = f"{figures.ns_min:,.0f} / {figures.ns_median:,.0f}"
    return times, f"{figures.instructions:,.0f}" if figures.instructions >= 0 else "-"


def _ratio(found: list[Figures | str]) -> list[str]:
    if len(found) < 2:
        return []
    this, other = found
    if isinstance(this, str) or isinstance(other, str) or other.instructions <= 0:
        return [""]
    return [f"{this.instructions / other.instructions:.4f}"]
