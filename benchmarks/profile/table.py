"""The committed findings, as README.md shows them: by room, beside the floor and kernel TCP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import machine, readme
from benchmarks.profile import report
from benchmarks.profile.layers import KERNEL, LOOP, PROGRAM
from benchmarks.profile.report import Finding

COMMITTED: Final = Path(__file__).parents[1] / "profile.json"
CONTESTANTS: Final = ("utcp", "bare", "tcp")
_ROOMS: Final = (KERNEL, LOOP, PROGRAM, "udp", "aio", "core")

Results = dict[str, Any]


def results(findings: Sequence[Finding]) -> Results:
    """What is saved: all but the functions."""
    found = [{**one, "functions": []} for one in report.as_json(findings)]
    return {"machine": machine.describe(), "findings": found}


def load(path: Path = COMMITTED) -> Results:
    """Results that `save` wrote."""
    loaded: Results = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def save(results: Results, path: Path = COMMITTED) -> None:
    """Write them, one line for each finding."""
    lines = ",\n".join(json.dumps(one) for one in results["findings"])
    path.write_text(
        f'{{"machine": {json.dumps(results["machine"])},\n"findings": [\n{lines}\n]}}\n',
        encoding="utf-8",
    )


def markdown(results: Results) -> str:
    """In README's language."""
    head = ["", "utcp", *_ROOMS, "bare segments", "kernel TCP"]
    rows = []
    by = {(one["scene"], one["contestant"]): one for one in results["findings"]}
    for scene in dict.fromkeys(scene for scene, _ in by):
        utcp, bare, tcp = (by.get((scene, name)) for name in CONTESTANTS)
        rows.append(
            [scene]
            + [_cell([utcp["total"]]) if utcp else ""]
            + [_cell(_of(utcp["layers"], room)) if utcp else "" for room in _ROOMS]
            + [_cell([one["total"]]) if one else "" for one in (bare, tcp)]
        )
    lines = [machine.sentence(results["machine"]) + ".", "", *readme.table(head, rows)]
    return "\n".join(lines) + "\n"


def _of(layers: Sequence[dict[str, Any]], room: str) -> list[dict[str, Any]]:
    return [one for one in layers if one["name"].partition("/")[0] == room]


def _cell(costs: Sequence[dict[str, Any]]) -> str:
    us = sum(one["us"] for one in costs)
    bytecodes = sum(one["bytecodes"] for one in costs)
    return f"{us:.1f} ({bytecodes:,.0f})" if bytecodes >= 0.5 else f"{us:.1f}"
