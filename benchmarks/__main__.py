"""`python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import cases, contestants, runner
from utcp.cli.loops import LOOPS

if TYPE_CHECKING:
    from benchmarks.report import Results


def main() -> int:
    """Returns the exit status: 1 if a case failed."""
    # Each measured process imports this file, and needs nothing of these.
    from benchmarks import pictures, readme, report  # noqa: PLC0415

    parser = _parser()
    arguments = parser.parse_args()
    if arguments.readme and not (arguments.json or arguments.shown):
        parser.error("--readme needs --json or --from")
    if arguments.list:
        chosen, skipped = _choose(arguments)
        print("\n".join(case.name for case in chosen))
        for name, why in skipped.items():
            print(f"skipped: {name}: {why}", file=sys.stderr)
        return 0
    results = report.load(arguments.shown) if arguments.shown else _measure(arguments)
    if arguments.json is not None:
        report.save(results, arguments.json)
    report.show(results, goals_only=arguments.goals)
    if arguments.plots is not None:
        pictures.draw_all(results, arguments.plots)
    if arguments.readme:
        readme.put("measured", report.markdown(results))
    return 1 if any(case["failures"] for case in results["cases"]) else 0


def _measure(arguments: argparse.Namespace) -> Results:
    from benchmarks import report  # noqa: PLC0415

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    chosen, skipped = _choose(arguments)
    for name, why in skipped.items():
        progress(f"skipped: {name}: {why}")
    plan = runner.Plan(arguments.runs or 3, arguments.seconds)
    if arguments.quick:
        plan = runner.Plan(arguments.runs or 1, min(arguments.seconds, 0.05), quick=True)
    outcomes = runner.measure(chosen, plan, progress)
    return report.results(outcomes, skipped, complete=not arguments.only)


def _choose(arguments: argparse.Namespace) -> tuple[list[cases.Case], dict[str, str]]:
    """The cases that can be measured, and the contestants that cannot, with the reason."""
    everybody = contestants.all_contestants().values()
    skipped = {one.name: why for one in everybody if (why := one.missing())}
    chosen = [
        case
        for case in cases.all_cases([one for one in everybody if one.name not in skipped])
        if any(part in case.name for part in arguments.only or [""])
        and case.way.loop in {*LOOPS, "none"}
    ]
    return chosen, skipped


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="utcp beside kernel TCP and others: the same programs, over loopback.",
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="cases with TEXT in their name; repeatable"
    )
    parser.add_argument("--runs", type=int, help="of each case [3, 1 with --quick]")
    parser.add_argument(
        "--seconds", type=float, default=0.75, help="that one run works [%(default)s]"
    )
    parser.add_argument("--quick", action="store_true", help="see that all works; no good figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw pictures there")
    parser.add_argument("--goals", action="store_true", help="of the tables show the goals only")
    parser.add_argument(
        "--from",
        type=Path,
        metavar="FILE",
        dest="shown",
        help="measure nothing: take what --json wrote",
    )
    parser.add_argument("--readme", action="store_true", help="put the results into README.md")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
