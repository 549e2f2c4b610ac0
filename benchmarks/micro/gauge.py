"""Starts workers: for time, for instructions, for this tree of utcp and for another one."""

from __future__ import annotations

import io
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.micro.cases import Case
from benchmarks.micro.worker import PORTIONS

ROOT: Final = Path(__file__).parents[2]
BASE: Final = 20
"""Steps of the base line that is subtracted; like all numbers of steps, a multiple of PORTIONS."""
_COLLECTED: Final = re.compile(r"Collected : (\d+)")
_PATIENCE: Final = 600


@dataclass(frozen=True, slots=True)
class Tree:
    """A version of utcp: the folder that `import utcp` finds it in."""

    label: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one case in one tree, per unit. Instructions are -1 where they were not counted."""

    ns_min: float
    ns_median: float
    instructions: float


HERE: Final = Tree("this", ROOT)


def other_tree(revision: str, into: Path) -> Tree:
    """utcp as of a revision, or in another checkout. Raises ValueError if there is none."""
    checkout = Path(revision)
    if (checkout / "utcp").is_dir():
        # Only utcp itself: the measuring programs are those of this tree.
        (into / "utcp").symlink_to(checkout.resolve() / "utcp")
        return Tree(revision, into)
    git = ["git", "-C", str(ROOT), "archive", "--format=tar", revision, "utcp"]
    done = subprocess.run(git, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip())
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")
    return Tree(revision, into)


def no_callgrind() -> str:
    """Why instructions cannot be counted; empty if they can."""
    return "" if shutil.which("valgrind") else "valgrind is not installed"


def measure(
    cases: list[Case], trees: list[Tree], *, runs: int, count: bool, progress: Callable[[str], None]
) -> dict[tuple[Case, Tree], Figures | str]:
    """Measure each case in each tree; where it fails, the reason instead of figures."""
    times: dict[tuple[Case, Tree], list[float]] = {}
    failed: dict[tuple[Case, Tree], str] = {}
    for case in cases:
        progress(f"{case.name}: time")
        for _ in range(runs):
            for tree in trees:
                try:
                    times.setdefault((case, tree), []).extend(_times(case, tree))
                except ValueError as error:
                    failed[case, tree] = str(error)
    # How busy the machine is does not matter to these.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        counting = {
            key: pool.submit(_instructions, *key, progress)
            for key in times
            if count and key not in failed
        }
        counted = {key: future.result() for key, future in counting.items()}
    return failed | {
        key: Figures(min(found), statistics.median(found), counted.get(key, -1.0))
        for key, found in times.items()
        if key not in failed
    }


def _times(case: Case, tree: Tree) -> list[float]:
    """Nanoseconds of CPU per unit, of each portion of a run."""
    steps = case.steps + BASE
    units = steps // PORTIONS * case.units
    return [int(word) / units for word in _worker([], case, tree, steps).stdout.split()]


def _instructions(case: Case, tree: Tree, progress: Callable[[str], None]) -> float:
    """Instructions per unit: those of many steps less those of few."""
    progress(f"{case.name}: instructions, {tree.label}")
    callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    totals = []
    for steps in (BASE, BASE + case.steps):
        found = _COLLECTED.search(_worker(callgrind, case, tree, steps).stderr)
        if found is None:
            raise ValueError("callgrind says nothing of instructions")
        totals.append(int(found[1]))
    return (totals[1] - totals[0]) / case.steps / case.units


def _worker(
    under: list[str], case: Case, tree: Tree, steps: int
) -> subprocess.CompletedProcess[str]:
    # -P: not the current directory, which may have another utcp.
    python = [*under, sys.executable, "-P", "-m", "benchmarks.micro.worker"]
    paths = os.pathsep.join(map(str, dict.fromkeys([tree.folder, ROOT])))
    done = subprocess.run(
        [*python, case.name, str(steps), str(BASE + case.steps)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
        # Sets in another order would be other instructions.
        env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"},
    )
    if done.returncode:
        raise ValueError(done.stderr.strip().splitlines()[-1])
    return done
