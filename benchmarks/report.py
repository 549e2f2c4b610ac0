"""The results as JSON, as tables, and as the part of README.md that shows numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks import contestants, goals, machine, pictures, readme, tables
from benchmarks.figures import summary
from benchmarks.runner import Outcome

RESULTS: Final = Path(__file__).with_name("results.json")
PICTURES: Final = RESULTS.with_name("pictures")
_WIDTH: Final = 170

Results = dict[str, Any]


def results(outcomes: Sequence[Outcome], skipped: dict[str, str], *, complete: bool) -> Results:
    """What is saved. `complete` if all was to be measured."""
    everybody = contestants.all_contestants()
    return {
        "machine": machine.describe(),
        "complete": complete,
        "contestants": {
            name: {"title": one.title, "encrypts": one.encrypts, "skipped": skipped.get(name, "")}
            for name, one in everybody.items()
        },
        "cases": [
            {
                "name": outcome.case.name,
                "task": outcome.case.task.name,
                "loop": outcome.case.way.loop,
                "api": outcome.case.way.api,
                "contestant": outcome.case.contestant,
                "figures": summary(outcome.runs),
                "runs": outcome.runs,
                "failures": outcome.failures,
            }
            for outcome in outcomes
        ],
    }


def load(path: Path = RESULTS) -> Results:
    """Results that `--json` wrote."""
    loaded: Results = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def save(results: Results, path: Path) -> None:
    """Write them as JSON."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def show(results: Results, *, goals_only: bool = False) -> None:
    """Print the tables."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    shown = []
    if not goals_only:
        shown = [*tables.main_tables(results), *tables.other_tables(results)]
    for title, head, rows in [*shown, goals.table(results)]:
        table = Table(title=title)
        for index, name in enumerate(head):
            table.add_column(name, justify="right" if index else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        if rows:
            console.print(table)
    for line in _remarks(results):
        console.print(line, highlight=False, markup=False)


def markdown(results: Results) -> str:
    """The tables in README's language, with where and how they were measured."""
    lines = [machine.sentence(results["machine"]) + "; medians.", ""]
    lines += [
        f"![{text}]({os.path.relpath(PICTURES / name, readme.README.parent)}.svg)"
        for name, text in pictures.NAMES.items()
    ] + [""]
    for title, head, rows in [*tables.main_tables(results), goals.table(results)]:
        if not rows:
            continue
        lines += [f"**{title}**", "", *readme.table(head, rows), ""]
    return "\n".join(lines + [line + "\n" for line in _remarks(results)])


def _remarks(results: Results) -> list[str]:
    """Who was not measured, and what failed."""
    skipped = [
        f"Skipped: {one['title']} ({one['skipped']})."
        for one in results["contestants"].values()
        if one["skipped"]
    ]
    failed = [
        f"FAILED: {case['name']}: {reason}"
        for case in results["cases"]
        for reason in case["failures"]
    ]
    return skipped + failed
