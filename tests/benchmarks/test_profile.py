"""The profile finds what is there, and divides all of the time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.profile import layers, pair, probe, report, scenes, table
from benchmarks.profile.probe import Profile

if TYPE_CHECKING:
    from tests.conftest import Spawn

ROOT = Path(__file__).parents[2]
HERE = (str(ROOT / "utcp" / "core" / "output.py"), "poll")
THERE = (str(ROOT / "benchmarks" / "programs" / "echo.py"), "Asking.data_received")
ELSEWHERE = (json.__file__, "dumps")


def test_list(spawn: Spawn) -> None:
    process = spawn("-m", "benchmarks.profile", "--list")
    out, _ = process.communicate(timeout=20)
    assert out.splitlines() == [scene.name for scene in scenes.SCENES]


@pytest.mark.parametrize(("only", "sides"), [("message echo", 2), ("open-close", 2)])
def test_a_real_pair(spawn: Spawn, tmp_path: Path, only: str, sides: int) -> None:
    target = tmp_path / "profile.json"
    process = spawn(
        "-m", "benchmarks.profile", "--only", only, "--seconds", "0.1", "--json", str(target)
    )
    out, errors = process.communicate(timeout=55)
    assert process.returncode == 0, errors
    assert "core/endpoint.py" in out
    found = json.loads(target.read_text())
    assert [one["contestant"] for one in found] == ["utcp", "bare"] * sides
    for utcp, bare in zip(found[::2], found[1::2], strict=True):
        # These are no times: they are the same on every machine.
        assert utcp["total"]["bytecodes"] > bare["total"]["bytecodes"] > 0
        for one in (utcp, bare):
            layers = {cost["name"]: cost for cost in one["layers"]}
            assert layers["program"]["bytecodes"] > 0
            total = sum(cost["bytecodes"] for cost in one["layers"])
            assert total == pytest.approx(one["total"]["bytecodes"])
            assert one["units"] > 0


def test_all_of_the_time_is_divided(capsys: pytest.CaptureFixture[str]) -> None:
    sampled = Profile(4e-3, {HERE: 5, THERE: 2, ELSEWHERE: 1}, in_kernel=2)
    counted = Profile(9, bytecodes={HERE: 600, THERE: 30}, calls={HERE: 4, THERE: 2})
    finding = report.find(scenes.SCENES[0], "utcp", (sampled, 10), (counted, 2))
    assert finding.total == report.Cost("all", pytest.approx(400), 1, 315, 3, 0)  # type: ignore[arg-type]
    costs = {cost.name: cost for cost in finding.layers}
    assert [*costs] == ["socket calls", "program", "core/output.py", "other"]
    assert [cost.share for cost in costs.values()] == [0.2, 0.2, 0.5, 0.1]
    assert costs["core/output.py"].us == pytest.approx(200)
    assert [cost.name for cost in finding.functions] == [
        "core/output.py: poll",
        "programs/echo.py: Asking.data_received",
    ]
    report.show([finding], top=1)
    out = capsys.readouterr().out
    assert "core/output.py: poll" in out
    assert "Asking" not in out


def test_what_readme_shows(tmp_path: Path) -> None:
    sampled = Profile(4e-3, {HERE: 5, THERE: 2, ELSEWHERE: 1}, in_kernel=2)
    counted = Profile(9, bytecodes={HERE: 600, THERE: 30}, calls={HERE: 4, THERE: 2})
    finding = report.find(scenes.SCENES[0], "utcp", (sampled, 10), (counted, 2))
    floor = replace(finding, contestant="bare")
    target = tmp_path / "profile.json"
    table.save(table.results([finding, floor]), target)
    *_, row = table.markdown(table.load(target)).splitlines()
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "message echo", "400.0 (315)", "80.0", "0.0", "80.0 (15)", "0.0", "0.0", "200.0 (300)",
        "400.0 (315)", "",
    ]  # fmt: skip


def test_no_samples_are_no_error() -> None:
    nothing = Profile(0.0)
    finding = report.find(scenes.SCENES[0], "utcp", (nothing, 1), (nothing, 1))
    report.show([finding], top=1)
    assert finding.total.us == 0


def test_layers() -> None:
    def of(*parts: str) -> str:
        return layers.layer((str(ROOT.joinpath(*parts)), "f"))

    assert of("utcp", "udp", "linux.py") == "udp"
    assert of("utcp", "aio", "driver.py") == "aio"
    assert of("utcp", "core", "cc", "cubic.py") == "core/cc/cubic.py"
    assert of("utcp", "config.py") == "other"
    assert of("benchmarks", "bare", "port.py") == "bare"
    assert of("benchmarks", "programs", "echo.py") == "program"
    assert of("benchmarks", "profile", "probe.py") == "other"
    assert layers.layer((asyncio.runners.__file__, "Runner.run")) == "event loop"
    assert layers.layer(("<string>", "f")) == "other"
    assert layers.short((asyncio.runners.__file__, "run")) == "asyncio/runners.py: run"


def test_a_system_call_is_known_by_its_line() -> None:
    file = str(ROOT / "utcp" / "udp" / "linux.py")
    lines = enumerate(Path(file).read_text().splitlines(), 1)
    number = next(number for number, line in lines if "self._sock.sendmsg(" in line)
    assert probe.is_system_call(file, number)
    assert not probe.is_system_call(file, 1)
    # Instructions that the compiler has added have none.
    assert not probe.is_system_call(file, None)


def test_a_case_that_fails_says_why() -> None:
    (case,) = scenes.cases(scenes.SCENES[:1], ["utcp"])
    with pytest.raises(pair.PairError, match="nobody"):
        pair.count(replace(case, contestant="nobody"), 0.01)
