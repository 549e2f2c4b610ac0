"""`python -m benchmarks.micro`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.micro import gauge, report
from benchmarks.micro.cases import all_cases


def main() -> int:
    """Returns the exit status: 1 if a case failed."""
    arguments = _parser().parse_args()
    cases = [
        case for case in all_cases() if any(part in case.name for part in arguments.only or [""])
    ]
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return 0
    lacking = gauge.no_callgrind() if arguments.instructions else ""
    if lacking:
        _say(f"no instructions: {lacking}")
    with tempfile.TemporaryDirectory() as folder:
        trees = [gauge.HERE]
        if arguments.compare:
            try:
                trees.append(gauge.other_tree(arguments.compare, Path(folder)))
            except ValueError as error:
                _say(f"--compare {arguments.compare}: {error}")
                return 2
        counted = arguments.instructions and not lacking
        results = gauge.measure(cases, trees, runs=arguments.runs, count=counted, progress=_say)
    report.show(results, trees)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(results), indent=1) + "\n")
    return 1 if any(isinstance(figures, str) for figures in results.values()) else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro", description="What single steps of utcp cost."
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="cases with TEXT in their name; repeatable"
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="count instructions by valgrind's callgrind; about half a minute for each case",
    )
    parser.add_argument(
        "--compare",
        metavar="REV",
        help="measure utcp as of this revision, or in this checkout, too, by the same programs",
    )
    parser.add_argument("--runs", type=int, default=5, help="for time [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
