"""Takes defences out, one after the other, in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.attack.mutation.table import Mutation

__all__ = ["copy", "problems", "source"]

ROOT: Final = Path(__file__).parents[3]
NEEDED: Final = ("utcp", "tests", "pyproject.toml")
_FAILED: Final = 1  # pytest's exit code for "tests were run, and some failed"


def source(root: Path, mutation: Mutation) -> str:
    """The mutated file. ValueError if the piece is not there exactly once."""
    text = (root / mutation.file).read_text(encoding="utf-8")
    count = text.count(mutation.old)
    if count != 1:
        raise ValueError(f"{mutation.name!r}: {mutation.file} has {mutation.old!r} {count} times")
    return text.replace(mutation.old, mutation.new)


def copy(to: Path) -> Path:
    """A copy of what the tests need."""
    ignore = shutil.ignore_patterns("__pycache__", ".*_cache")
    for name in NEEDED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, to / name, ignore=ignore)
        else:
            shutil.copy(path, to / name)
    return to


def problems(root: Path, mutations: Iterable[Mutation]) -> list[str]:
    """Take each defence out of the copy at `root`, and say which of them nobody misses."""
    found = []
    for mutation in mutations:
        path = root / mutation.file
        before = path.read_text(encoding="utf-8")
        path.write_text(source(root, mutation), encoding="utf-8")
        try:
            for test in mutation.tests:
                code, output = _pytest(root, test)
                if code != _FAILED:
                    found.append(f"{mutation.name!r} is not missed by {test}: {output}")
        finally:
            path.write_text(before, encoding="utf-8")
    return found


def _pytest(root: Path, test: str) -> tuple[int, str]:
    # Sources may change faster than the clock that compiled files are compared by.
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"):
        env.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "no:xdist", "--tb=line", test]
    done = subprocess.run(
        command, cwd=root, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout[-500:] + done.stderr[-500:]
