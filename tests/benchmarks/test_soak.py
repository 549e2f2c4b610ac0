"""A short soak of each kind; the long ones are `python -m benchmarks.soak`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from benchmarks.soak import Held

if TYPE_CHECKING:
    from tests.conftest import Spawn


@pytest.mark.parametrize(
    "arguments", [("--seconds", "4"), ("--seconds", "4", "--loop", "uvloop"),
                  ("--virtual", "--seconds", "150")], ids=["asyncio", "uvloop", "virtual"]
)  # fmt: skip
def test_nothing_stays(spawn: Spawn, arguments: tuple[str, ...]) -> None:
    process = spawn("-W", "error", "-m", "benchmarks.soak", *arguments)
    out, errors = process.communicate(timeout=55)
    assert process.returncode == 0, out + errors
    assert out.endswith("stayed: nothing\n")
    assert not errors


def test_what_stays_is_named() -> None:
    before = Held(memory=1_000_000, objects=20_000, descriptors=5, tasks=1, timers=0, records=0)
    assert before.left_over(before) == []
    after = dataclasses.replace(before, memory=9_000_000, descriptors=7, records=1)
    assert before.left_over(after) == ["8,000,000 memory", "2 descriptors", "1 records"]
