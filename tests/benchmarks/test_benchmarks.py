"""The benchmarks run, check what arrives, and report what they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import cases, contestants, goals, pictures, report, runner, tables
from benchmarks.figures import combine
from benchmarks.measure import Checker, Stopwatch, pattern

if TYPE_CHECKING:
    from tests.conftest import Spawn

# Each question, direction and API once, and each contestant that brings programs of its own.
MODES = {
    "bulk": [
        "bulk/up/1448/uvloop/buffered/tcp",
        "bulk/down/8948/uvloop/protocol/utcp",
        "bulk/both/loopback/uvloop/protocol/utcp",
        "bulk/up/loopback/asyncio/streams/utcp",
    ],
    "growth": [
        "growth/connections/10/uvloop/protocol/utcp",
        "growth/writes/16/uvloop/protocol/tcp",
    ],
    "round trips": [
        "echo/64/asyncio/streams/utcp",
        "echo/64/beside-bulk/uvloop/protocol/utcp",
        "requests/10/uvloop/protocol/utcp",
        "requests/10/asyncio/streams/tcp",
    ],
    "connections": [
        "connections/churn/uvloop/protocol/utcp",
        "connections/churn/asyncio/streams/tcp",
        "connections/held/uvloop/protocol/utcp",
    ],
    "memory": ["memory/time-wait", "memory/transfer"],
    "bare segments": [
        "bulk/down/1448/uvloop/protocol/bare",
        "bulk/up/1448/uvloop/streams/bare",
        "bulk/up/loopback/asyncio/streams/bare",
        "echo/64/asyncio/protocol/bare",
        "requests/100/uvloop/protocol/bare",
        "connections/churn/uvloop/protocol/bare",
    ],
    "plain UDP": ["up/1448/none/sockets/raw", "echo/1024/none/sockets/raw"],
}


def test_list(spawn: Spawn) -> None:
    process = spawn("-m", "benchmarks", "--list")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert {"bulk/up/loopback/asyncio/protocol/utcp", "connections/held/uvloop/protocol/tcp"} <= {
        *out.split()
    }


def test_names_are_unique() -> None:
    names = [case.name for case in cases.all_cases([*contestants.all_contestants().values()])]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("mode", MODES)
def test_modes(spawn: Spawn, tmp_path: Path, mode: str) -> None:
    target = tmp_path / "results.json"
    only = [word for part in MODES[mode] for word in ("--only", part)]
    process = spawn("-m", "benchmarks", "--quick", "--json", str(target), *only)
    _, errors = process.communicate(timeout=55)
    assert process.returncode == 0, errors
    results = report.load(target)
    measured = {case["name"]: case["figures"] for case in results["cases"]}
    assert measured
    assert all(measured.values())
    assert all(any(part in name for name in measured) for part in MODES[mode])
    shown = [*tables.main_tables(results), *tables.other_tables(results)]
    assert any(rows for _, _, rows in shown)
    assert not results["complete"]


def test_a_failed_case_is_reported_and_others_go_on(tmp_path: Path) -> None:
    task = next(cases.tasks())
    failing = [
        cases.Case(task, cases.PROTOCOL, "nobody"),
        cases.Case(replace(task, segment=1 << 30), cases.PROTOCOL, "tcp"),  # no such MSS
    ]
    good = cases.Case(task, cases.Way("none", "sockets"), "raw")
    progress: list[str] = []
    plan = runner.Plan(runs=1, seconds=0.01, quick=True)
    outcomes = runner.measure([*failing, good], plan, progress.append)
    assert [len(outcome.runs) for outcome in outcomes] == [0, 0, 1]
    reasons = [reason for outcome in outcomes for reason in outcome.failures]
    assert len(reasons) == 2
    assert "nobody" in reasons[0]
    assert "server: " in reasons[1]
    assert sum("FAILED" in line for line in progress) == 2
    results = report.results(outcomes, {"nobody": "it does not exist"}, complete=False)
    report.save(results, tmp_path / "results.json")


def test_status_of_failed_results(spawn: Spawn, tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    case = cases.Case(next(cases.tasks()), cases.PROTOCOL, "utcp")
    outcome = runner.Outcome(case, [], ["too hot"])
    report.save(report.results([outcome], {"raw": "no sockets"}, complete=False), target)
    process = spawn("-m", "benchmarks", "--from", str(target))
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"FAILED: {case.name}: too hot" in out
    assert "Skipped: plain UDP sockets (no sockets)." in out


@pytest.mark.parametrize("every_byte", [False, True])
def test_wrong_bytes_are_noticed(every_byte: bool) -> None:
    data = pattern()
    checker = Checker(every_byte=every_byte)
    checker.feed(data[:1000])
    checker.feed(memoryview(data)[1000:])
    checker.feed(data)
    assert checker.count == 2 * len(data)
    with pytest.raises(ValueError, match="wrong bytes"):
        checker.feed(data[1:])


def test_missing_bytes_are_noticed() -> None:
    task = next(cases.tasks())
    asked = {"seconds": 1.0, "cpu": 1.0, "up": 2e6, "down": 0}
    assert combine(task, asked, {"cpu": 1.0, "up": 2e6, "down": 0})["MB_per_s"] == 2
    with pytest.raises(ValueError, match="up: the client says"):
        combine(task, asked, {"cpu": 1.0, "up": 2e6 - 1, "down": 0})


def test_warming_up_does_not_count() -> None:
    warm: list[bool] = []
    watch = Stopwatch(0, lambda: warm.append(True))
    while not warm:
        watch.start()
        assert watch.stop()
    assert not watch.stop()
    assert watch.read()["trips"] == 1


def test_goals() -> None:
    def case(name: str, **figures: float) -> dict[str, Any]:
        task, loop, api, contestant = name.rsplit("/", 3)
        medians = {key: {"median": value} for key, value in figures.items()}
        return {
            "name": name,
            "task": task,
            "loop": loop,
            "api": api,
            "contestant": contestant,
            "figures": medians,
        }

    results: dict[str, Any] = {
        "complete": True,
        "cases": [
            case("bulk/up/1448/uvloop/protocol/utcp", MB_per_s=600),
            case("bulk/up/1448/uvloop/protocol/bare", MB_per_s=800),
            case("bulk/up/1448/none/sockets/raw", MB_per_s=1300),
            case("bulk/up/1448/asyncio/streams/aioquic", MB_per_s=8),
            case("echo/64/uvloop/protocol/utcp", p50_us=12, p99_us=50),
            case("echo/64/uvloop/protocol/bare", p50_us=16, p99_us=25),
            case("echo/64/uvloop/protocol/tcp", p50_us=10, p99_us=20),
        ],
    }
    _, head, rows = goals.table(results)
    judged = {(row[0], row[1]): row[2:] for row in rows if row[3] != "not measured"}
    bulk = "bulk, 1,448-byte segments, protocol, uvloop"
    echo = "64-byte echo, uvloop"
    assert judged == {
        (bulk, "0.5 of plain UDP"): ["0.46", "NO", "0.62", "0.75"],
        (bulk, "60 x aioquic"): ["75.00", "yes", "100.00", "0.75"],
        (f"{echo}, median", "at most 1.3 of kernel TCP"): ["1.20", "yes", "1.60 (NO)", "0.75"],
        (f"{echo}, 99th percentile", "at most 2 of kernel TCP"): ["2.50", "NO", "1.25", "2.00"],
    }
    assert head[-2:] == ["bare segments reach", "utcp of that"]
    assert len(rows) == len(goals.GOALS)
    assert len(goals.table({**results, "complete": False})[2]) == len(judged)
    results["cases"] = [case for case in results["cases"] if case["contestant"] != "bare"]
    assert goals.table(results)[1] == ["", "goal", "reached", "met"]


def test_the_committed_results_are_whole() -> None:
    results = report.load()
    assert results["complete"]
    drawn = {path.stem for path in report.PICTURES.glob("*.svg")}
    assert drawn == {*pictures.NAMES}


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pictures.draw_all(report.load(), tmp_path)
    names = {f"{name}.{form}" for name in pictures.NAMES for form in ("svg", "png")}
    assert {path.name for path in tmp_path.iterdir()} == names
