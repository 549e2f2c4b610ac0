"""The benchmarks run, and report what they promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.measure import Checker, blocks

if TYPE_CHECKING:
    from tests.conftest import Spawn


def test_list(spawn: Spawn) -> None:
    process = spawn("-m", "benchmarks", "--list")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert {"bulk/protocol/asyncio/loopback/utcp", "memory/time-wait/asyncio/loopback/utcp"} <= set(
        out.split()
    )


def test_a_run_of_each_question(spawn: Spawn, tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    parts = ["bulk/protocol/uvloop/1448", "echo/streams/asyncio", "raw", "memory/transfer"]
    only = [word for part in parts for word in ("--only", part)]
    small = ["--runs", "1", "--size", "2MiB", "--trips", "100", "--json", str(target)]
    process = spawn("-m", "benchmarks", *small, *only)
    out, errors = process.communicate(timeout=55)
    assert process.returncode == 0, errors
    assert "Throughput" in out
    cases = {case["name"]: case["figures"] for case in json.loads(target.read_text())["cases"]}
    assert len(cases) == 8
    assert all(figures for figures in cases.values())
    assert cases["bulk/protocol/uvloop/1448/utcp"]["MB_per_s"]["median"] > 0


@pytest.mark.parametrize("every_byte", [False, True])
def test_wrong_bytes_are_noticed(every_byte: bool) -> None:
    data = b"".join(blocks())
    checker = Checker(every_byte=every_byte)
    checker.feed(data[:1000])
    checker.feed(data[1000:])
    checker.feed(data)
    assert checker.count == 2 * len(data)
    with pytest.raises(ValueError, match="wrong bytes"):
        checker.feed(data[1:])
