"""`python -m benchmarks.profile`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import readme
from benchmarks.cases import Case
from benchmarks.contestants import all_contestants
from benchmarks.profile import pair, report, scenes, table
from benchmarks.profile.scenes import SCENES, Scene
from utcp.cli.loops import LOOPS


def main() -> int:
    """Returns the exit status: 1 if a case failed."""
    arguments = _parser().parse_args()
    chosen = [
        scene for scene in SCENES if any(part in scene.name for part in arguments.only or [""])
    ]
    names = arguments.contestant or (table.CONTESTANTS if arguments.write else ["utcp", "bare"])
    if "uvloop" not in LOOPS:
        _say("nothing can be profiled: uvloop is not installed")
        return 1
    cases = list(scenes.cases(chosen, names))
    if arguments.list:
        print("\n".join(scene.name for scene in chosen))
        return 0
    findings: list[report.Finding] = []
    failed = False
    for case in cases:
        _say(case.name)
        try:
            findings += _profile(case, chosen, arguments.seconds)
        except pair.PairError as error:
            failed = True
            _say(f"{case.name}: FAILED: {error}")
    order = [scene.name for scene in chosen]
    findings.sort(key=lambda one: order.index(one.scene))
    report.show(findings, arguments.top)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(findings), indent=1) + "\n")
    if arguments.write:
        results = table.results(findings)
        table.save(results)
        readme.put("profile", table.markdown(results))
    return int(failed)


def _profile(case: Case, chosen: Sequence[Scene], seconds: float) -> list[report.Finding]:
    sampled = pair.sample(case, seconds)
    # To count slows all so much that with many connections the timers of each would run out.
    one = replace(case, task=replace(case.task, connections=min(case.task.connections, 1)))
    counted = pair.count(one, seconds / 4)
    findings = []
    for scene in chosen:
        if (scene.task, scene.way) == (case.task.name, case.way):
            units = [run.figures[scene.figure] / scene.size for run in (sampled, counted)]
            profiles = [getattr(run, scene.side) for run in (sampled, counted)]
            findings.append(
                report.find(
                    scene, case.contestant, (profiles[0], units[0]), (profiles[1], units[1])
                )
            )
    return findings


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile",
        description="Where the time of utcp, and of bare segments, goes, by layer and function.",
    )
    parser.add_argument("--list", action="store_true", help="print what is profiled")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="with TEXT in its name; repeatable"
    )
    parser.add_argument(
        "--contestant",
        action="append",
        metavar="NAME",
        choices=[*all_contestants()],
        help="whom to profile; repeatable [utcp, bare]",
    )
    parser.add_argument(
        "--seconds", type=float, default=4, help="to take samples for; a quarter, to count"
    )
    parser.add_argument("--top", type=int, default=12, help="functions to show [%(default)s]")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"put the results into {table.COMMITTED.name} and README.md",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
