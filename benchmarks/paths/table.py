"""Tables, the committed file, and how results differ from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import readme
from benchmarks.paths.simulate import Figures

COMMITTED: Final = Path(__file__).parents[1] / "paths.json"
UPDATE: Final = "python -m benchmarks.paths --write"
_WIDTH: Final = 150
_SHOWN: Final = {
    "clean/100M/40ms": "100 Mbit/s, 40 ms",
    "clean/1G/100ms": "1 Gbit/s, 100 ms",
    "clean/10M/300ms": "10 Mbit/s, 300 ms",
    "queue/10M/100ms/0.1BDP": "10 Mbit/s, 100 ms, queue of a tenth",
    "queue/10M/100ms/4BDP": "10 Mbit/s, 100 ms, queue of four times",
    "queue/20M/40ms/1BDP/ecn": "20 Mbit/s, 40 ms, ECN",
    "loss/20M/40ms/0.10%": "20 Mbit/s, 40 ms, 0.1 % loss",
    "loss/20M/40ms/1.00%": "20 Mbit/s, 40 ms, 1 % loss",
    "bursts/20M/40ms/10": "20 Mbit/s, 40 ms, bursts of ten lost",
    "reorder/20M/40ms/5.0%/quarter": "20 Mbit/s, 40 ms, 5 % reordered",
    "acks/20M/40ms/20%": "20 Mbit/s, 40 ms, 20 % of ACKs lost",
    "satellite/10M/600ms": "10 Mbit/s, 600 ms, jitter and bursts",
    "bad/5M/150ms": "5 Mbit/s, 150 ms, 3 % loss both ways, reordering",
}

Grid = dict[str, dict[str, Figures]]
"""Figures by name of the cell, then by name of the controller."""

Results = dict[str, Any]
"""`grid`, a Grid; `sharing`, by name of the case; `seeds`, how many there were."""


def load(path: Path = COMMITTED) -> Results:
    """Results that `save` wrote; empty ones if there is no such file."""
    if not path.exists():
        return {"seeds": 0, "grid": {}, "sharing": {}}
    results: Results = json.loads(path.read_text(encoding="utf-8"))
    return results


def save(results: Results, path: Path = COMMITTED) -> None:
    """Write them, one line for each row, so that a diff shows what changed."""
    parts = [f'{{\n"seeds": {results["seeds"]},\n"grid": {{']
    parts.append(",\n".join(
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f" {json.dumps(by)}: {json.dumps(figures)}" for by, figures in rows.items())
        + "}"
        for name, rows in results["grid"].items()
    ))  # fmt: skip
    parts.append('},\n"sharing": {')
    parts.append(",\n".join(
        f"{json.dumps(name)}: {json.dumps(figures)}"
        for name, figures in results["sharing"].items()
    ))  # fmt: skip
    parts.append("}}\n")
    path.write_text("\n".join(parts), encoding="utf-8")


def merged(old: Results, new: Results, names: set[str]) -> Results:
    """`old` with the rows of `new` in place of its own; only rows in `names` are kept."""
    out: Results = {"seeds": new["seeds"]}
    for part in ("grid", "sharing"):
        rows = {**old[part], **new[part]}
        out[part] = {name: rows[name] for name in sorted(names) if name in rows}
    return out


def differences(old: Grid, new: Grid) -> list[str]:
    """A line for each figure of `new` that is not the same in `old`."""
    lines = []
    for name, rows in new.items():
        for controller, figures in rows.items():
            before = old.get(name, {}).get(controller, {})
            changes = [
                f"{key} {before.get(key, '-')} > {value}"
                for key, value in figures.items()
                if before.get(key) != value
            ]
            if changes:
                lines.append(f"{name}, {controller}: {', '.join(changes)}")
    return lines


def markdown(results: Results) -> str:
    """The chosen rows in README's language, as far as they have been measured."""
    grid: Grid = results["grid"]
    if not grid:
        return ""
    names = list(dict.fromkeys(name for rows in grid.values() for name in rows))
    lines = [
        "Goodput as a share of what the link could carry in payload, retransmission time-outs, and "
        "the mean time that a datagram waits in the queue. The queue holds one product of rate and "
        "round trip unless it is said otherwise.",
        "",
    ]
    chosen = [
        [label, *(_short(grid[cell][name]) if name in grid[cell] else "" for name in names)]
        for cell, label in _SHOWN.items()
        if cell in grid
    ]
    lines += readme.table(["path", *names], chosen)
    sharing = [
        [f"16 of {name.split('/')[1]}, 40 ms", ", ".join(f"{one:.3f}" for one in figures["jain"])]
        for name, figures in results["sharing"].items()
        if re.fullmatch(r"sharing/\w+/16", name)
    ]
    if sharing:
        head = ["flows that share 100 Mbit/s", "Jain's index, each minute"]
        lines += ["", *readme.table(head, sharing)]
    return "\n".join(lines) + "\n"


def _short(figures: Figures) -> str:
    return f"{figures['goodput']:.1%}; {figures['rto']:g}; {figures['queue_ms']:.1f} ms"


def show(results: Results) -> None:
    """Print the tables."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    if results["grid"]:
        console.print(_grid_table(results["grid"]))
    if results["sharing"]:
        console.print(_sharing_table(results["sharing"]))


def _grid_table(grid: Grid) -> Table:
    names = list(dict.fromkeys(name for rows in grid.values() for name in rows))
    table = Table(title="Goodput, time-outs, sent again, of it needlessly, mean time in the queue")
    table.add_column("path", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for cell, rows in grid.items():
        table.add_row(cell, *[_text(rows[name]) if name in rows else "" for name in names])
    return table


def _text(figures: Figures) -> str:
    return (
        f"{figures['goodput']:6.1%} {figures['rto']:3g} "
        f"{figures['resent']:6.2%} {figures['needless']:6.2%} {figures['queue_ms']:6.1f} ms"
    )


def _sharing_table(sharing: dict[str, Any]) -> Table:
    table = Table(title="Sharing: Jain's index and use of the link, minute by minute")
    for column in ("flows", "Jain", "link", "shares by kind, last minute", "time-outs"):
        table.add_column(column, no_wrap=True)
    for name, figures in sharing.items():
        table.add_row(
            name,
            " ".join(f"{value:.3f}" for value in figures["jain"]),
            " ".join(f"{value:.1%}" for value in figures["link"]),
            ", ".join(f"{kind} {share:.1%}" for kind, share in figures["shares"].items()),
            f"{figures['rto']:g}",
        )
    return table
