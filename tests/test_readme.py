"""README.md says what is so: its programs run, its commands work, its numbers were measured."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from benchmarks import report
from benchmarks.paths import table

if TYPE_CHECKING:
    from tests.conftest import Spawn

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PATIENCE: Final = 55

# What makes a command short enough for a test, and keeps it from writing into the tree.
SHORTER: Final = {
    "benchmarks": ["--runs", "1", "--size", "1MiB", "--trips", "20", "--list"],
    "benchmarks.paths": ["--list"],
    "benchmarks.chaos": ["--seeds", "5"],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


COMMANDS: Final = [line for block in blocks("sh") for line in block.splitlines()]
SETUPS: Final = [line for line in COMMANDS if line.startswith("python3 -m venv")]
# It writes README.md: test_numbers compares what it would write.
UPDATE: Final = ".venv/bin/python -m benchmarks --readme"


@pytest.mark.parametrize("program", blocks("python"), ids=lambda text: text[:20])
def test_programs(spawn: Spawn, program: str) -> None:
    process = spawn("-W", "error", "-c", program)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert not errors


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {*SETUPS, UPDATE}))
def test_commands(spawn: Spawn, command: str) -> None:
    words = shlex.split(command)
    assert words[0] == ".venv/bin/python"
    if words[1] == "-m":
        words += SHORTER.get(words[2], [])
    process = spawn(*words[1:])
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert out


def test_setups() -> None:
    """One line each for the main job and for the tests. `.ci/run` runs the second one from
    nothing; here, that what the first one starts is there."""
    demo, tests = SETUPS
    start = "python3 -m venv .venv && .venv/bin/pip install -q "
    assert demo == start + ". && .venv/bin/utcp demo"
    assert tests == start + "'.[test]' && .venv/bin/pytest -q"
    pattern = re.search(r"sed -n '/(.*)/p' README\.md", (ROOT / ".ci" / "run").read_text())
    assert pattern is not None
    assert [line for line in TEXT.splitlines() if re.search(pattern[1], line)] == [tests]
    help_text = subprocess.run(
        [sys.executable, "-m", "utcp", "demo", "--help"], cwd=ROOT, capture_output=True, check=True
    )
    assert b"--size" in help_text.stdout


def test_numbers() -> None:
    assert report.readme_numbers(TEXT) == report.markdown(report.load())
    assert table.readme_numbers(TEXT) == table.markdown(table.load())


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)#]+)", TEXT))
def test_links(target: str) -> None:
    assert (ROOT / target).exists()
