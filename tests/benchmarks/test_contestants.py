"""Contestants of all kinds do what is asked of them, where they are installed."""

from __future__ import annotations

from typing import Final

import pytest

from benchmarks import contestants, runner
from benchmarks.cases import all_cases

OTHERS: Final = ("aioquic", "enet", "ngtcp2", "qh3", "sctp")
TASKS: Final = ("bulk/up/1448", "bulk/down/1448", "echo/64", "requests/1", "connections/churn")


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_missing_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = contestants.contestant(name)
    assert one.name == name
    assert one.title
    monkeypatch.setenv("PATH", "")
    for module in (type(one).__module__, "benchmarks.quic"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: None, raising=False)
    assert "not installed" in one.missing()


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("task", TASKS)
def test_each_task(name: str, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = contestants.contestant(name)
    if why := one.missing():
        pytest.skip(why)
    cases = [case for case in all_cases([one]) if case.task.name == task]
    if not cases:
        pytest.skip("takes no part")
    monkeypatch.setattr(runner, "_VERIFIED", 1 << 18)
    plan = runner.Plan(runs=1, seconds=0.005, quick=True)
    for outcome in runner.measure(cases, plan, lambda _: None):
        assert not outcome.failures
        (figures,) = outcome.runs
        assert figures["seconds"] > 0
        assert figures.get("bytes", 0) > 0 or figures["count"] > 0
