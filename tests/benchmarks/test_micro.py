"""The micro benchmarks measure what they say, and count what callgrind counts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from benchmarks.micro import ack, gauge, report, wakeup
from benchmarks.micro.cases import Case, all_cases, find
from benchmarks.micro.gauge import BASE, HERE, Figures
from benchmarks.micro.pair import WARM, Pair
from benchmarks.micro.worker import PORTIONS
from utcp.aio import driver, outlet

if TYPE_CHECKING:
    from tests.conftest import Spawn

CASES: Final = all_cases()
ROOT: Final = Path(__file__).parents[2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_runs(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (driver, outlet):
        clock = vars(module)["monotonic_ns"]
        monkeypatch.setattr(module, "monotonic_ns", clock)  # the driver's cases put theirs there
    run = case.prepare(6)
    run(4)
    run(2)
    served = getattr(run, "__self__", None)
    if isinstance(served, wakeup.Served):
        served.close()
    assert case.steps % PORTIONS == BASE % PORTIONS == 0
    assert case.units > 0


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(find(case.name).name == case.name for case in CASES)


def test_a_burst_is_one_burst() -> None:
    pair = Pair(1500, echo=False)
    pair.connect()
    for _ in range(WARM + 2):
        pair.turn(bytes(44 * 1448))
    (burst,) = pair.server.log[-1].arrivals
    assert (len(burst.data), burst.segment_size) == (44 * 1472, 1472)
    acks = [out for event in pair.client.log[pair.marks[-2][0] :] for out in event.arrivals]
    assert [len(out.data) for out in acks] == [24]


def test_a_message_is_one_wake_up() -> None:
    pair = Pair(1500, echo=True)
    pair.connect()
    for _ in range(WARM + 2):
        pair.turn(bytes(64))
    assert pair.marks[-1][1] - pair.marks[-2][1] == 1
    assert pair.client.bytes_read == 64 * (WARM + 2)


@pytest.mark.parametrize("flight", [88, 8_800])
def test_so_much_is_in_flight(flight: int) -> None:
    sender = ack.Sender(flight)
    sender.step(1)(5)
    assert sender.conn.buffered == flight * ack.MSS
    assert sender.conn.unsent == 0


def test_instructions_are_those_of_the_steps(
    spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands in for callgrind: so many instructions to begin with, and seven for each step.
    program = tmp_path / "valgrind"
    program.write_text(
        "#!/bin/sh\n"
        "for word; do before=$steps; steps=$last; last=$word; done\n"
        'echo "==1== Collected : $((1000000 + 7 * steps))" >&2\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    target = tmp_path / "micro.json"
    process = spawn(
        "-m", "benchmarks.micro", "--only", "build/ack", "--runs", "1", "--instructions",
        "--compare", str(ROOT), "--json", str(target),
    )  # fmt: skip
    out, errors = process.communicate(timeout=55)
    assert process.returncode == 0, errors
    assert "1.0000" in out
    for row in json.loads(target.read_text()):
        assert row["name"] == "build/ack"
        assert row["instructions"] == 7
        assert 0 < row["ns_min"] <= row["ns_median"]


def test_another_revision(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no-such-revision|not a git repository"):
        gauge.other_tree("no-such-revision", tmp_path)
    tree = gauge.other_tree(str(ROOT), tmp_path)
    assert (tree.folder / "utcp" / "core").is_dir()


def test_a_case_that_fails_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    lost = Case("no/such/case", "step", lambda _: lambda _: None)
    results = gauge.measure([lost], [HERE], runs=1, count=False, progress=lambda _: None)
    assert results[lost, HERE] == "KeyError: 'no/such/case'"
    report.show(results, [HERE])
    assert "KeyError" in capsys.readouterr().out
    assert report.as_json(results)[0]["failed"] == results[lost, HERE]


def test_a_ratio_needs_both(capsys: pytest.CaptureFixture[str]) -> None:
    case, other = CASES[0], gauge.Tree("other", ROOT)
    figures = Figures(1.0, 2.0, 300.0)
    report.show({(case, HERE): figures, (case, other): "gone"}, [HERE, other])
    assert "gone" in capsys.readouterr().out
