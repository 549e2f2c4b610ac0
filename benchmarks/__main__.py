"""`python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import machine, report, runner
from benchmarks.cases import all_cases
from utcp.cli.loops import LOOPS
from utcp.cli.sizes import parse_size


def main() -> int:
    """Returns the exit status: 1 if a case failed."""
    arguments = _parser().parse_args()
    if arguments.readme:
        report.update_readme(report.load())
        return 0
    cases = [
        case
        for case in all_cases()
        if any(part in case.name for part in arguments.only or [""])
        and case.loop in (*(arguments.loop or LOOPS), "none")
    ]
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return 0
    plan = runner.Plan(
        runs=arguments.runs,
        size=arguments.size or 1 << 30,
        long_size=arguments.size or 10 << 30,
        trips=arguments.trips,
    )
    measured = runner.measure(cases, plan, lambda text: print(text, file=sys.stderr, flush=True))
    results = {
        "machine": machine.describe(),
        "cases": [runner.summary(case, runs) for case, runs in measured.items()],
    }
    report.show(results)
    if arguments.json is not None:
        report.save(results, arguments.json)
    return 0 if all(measured.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="utcp beside kernel TCP: same program, same event loop, over loopback.",
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="cases with TEXT in their name; repeatable"
    )
    parser.add_argument("--loop", action="append", choices=LOOPS, help="only this event loop")
    parser.add_argument("--runs", type=int, default=5, help="of each case [%(default)s]")
    parser.add_argument(
        "--size", type=parse_size, help="bytes to move [1GiB; 10GiB for memory/transfer]"
    )
    parser.add_argument("--trips", type=int, default=10_000, help="echoes [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument(
        "--readme",
        action="store_true",
        help=f"measure nothing: put {report.RESULTS.name} into README.md",
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
