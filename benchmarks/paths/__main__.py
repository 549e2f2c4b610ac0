"""`python -m benchmarks.paths`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks import readme
from benchmarks.paths import pictures, pool, sharing, simulate, table
from benchmarks.paths.cells import Cell, all_cells
from benchmarks.paths.sharing import Case, all_cases

SEEDS = 3


def main() -> int:
    """Returns the exit status: 1 if `--check` finds a difference."""
    arguments = _parser().parse_args()
    only = arguments.only or [""]
    cells = [cell for cell in all_cells() if any(text in cell.name for text in only)]
    cases = [case for case in all_cases() if any(text in case.name for text in only)]
    names = simulate.controllers()
    controllers = [name for name in names if name in (arguments.controller or names)]
    if arguments.quick:
        cells = [cell for cell in cells if cell.quick]
        cases = [case for case in cases if case.quick]
    if arguments.list:
        print("\n".join([cell.name for cell in cells] + [case.name for case in cases]))
        return 0
    if arguments.pictures is not None:
        return pictures.draw_all(arguments.pictures, only, controllers)
    results = {
        "seeds": arguments.seeds,
        "grid": run_grid(cells, controllers, arguments.seeds, arguments.jobs),
        "sharing": run_sharing(cases, arguments.jobs),
    }
    table.show(results)
    if arguments.json is not None:
        table.save(results, arguments.json)
    known = table.load()
    lines = table.differences(known["grid"], results["grid"])
    if arguments.write:
        everything = {cell.name for cell in all_cells()} | {case.name for case in all_cases()}
        results = table.merged(known, results, everything)
        table.save(results)
        readme.put("paths", table.markdown(results))
    if lines:
        print("\n".join(["Other than in the committed table:", *lines]))
    return 1 if lines and arguments.check else 0


def run_grid(
    cells: list[Cell], controllers: list[str], seeds: int, jobs: int, *, quiet: bool = False
) -> table.Grid:
    """Every controller on every cell; medians over the seeds where seeds make a difference."""
    tasks = [
        (cell, controller, seed)
        for cell in cells
        for controller in controllers
        for seed in range(1, (seeds if cell.chance else 1) + 1)
    ]
    runs = pool.run(simulate.measure, tasks, jobs=jobs, label=_label, quiet=quiet)
    by: dict[tuple[str, str], list[simulate.Figures]] = {}
    for (cell, controller, _), figures in zip(tasks, runs, strict=True):
        by.setdefault((cell.name, controller), []).append(figures)
    grid: table.Grid = {}
    for (name, controller), figures_of in by.items():
        grid.setdefault(name, {})[controller] = simulate.medians(figures_of)
    return grid


def run_sharing(cases: list[Case], jobs: int, *, quiet: bool = False) -> dict[str, Any]:
    """Every case of flows that share a bottleneck, as far as its controllers are there."""
    tasks = [(case,) for case in cases if case.possible]
    runs = pool.run(sharing.measure, tasks, jobs=jobs, label=lambda case: case.name, quiet=quiet)
    return {case.name: figures for (case,), figures in zip(tasks, runs, strict=True)}


def _label(cell: Cell, controller: str, seed: int) -> str:
    return f"{cell.name}, {controller}, seed {seed}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paths",
        description="utcp over simulated paths, in virtual time. The same seeds give the same "
        "numbers, to the last digit.",
    )
    parser.add_argument("--list", action="store_true", help="print the names of the paths")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="paths with TEXT in their name; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="only those that a test runs, too")
    parser.add_argument(
        "--controller", action="append", choices=simulate.controllers(), help="only this one"
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="where chance plays a part [%(default)s]"
    )
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes [%(default)s]"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"put the results into {table.COMMITTED.name} and README.md",
    )
    parser.add_argument(
        "--check", action="store_true", help="fail if they are not what is committed"
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="only draw, as SVG and PNG, into FOLDER"
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
