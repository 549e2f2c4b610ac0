"""The paths that are simulated, and the committed table of what comes out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.paths import pictures, pool, sharing, simulate, table
from benchmarks.paths.__main__ import SEEDS, run_grid
from benchmarks.paths.cells import MTU, Cell, all_cells
from benchmarks.paths.series import record
from utcp.testing import MS

if TYPE_CHECKING:
    from tests.conftest import Spawn

QUICK = [cell for cell in all_cells() if cell.quick]
COMMITTED = table.load()


@pytest.mark.parametrize("cell", QUICK, ids=lambda cell: cell.name)
def test_as_committed(cell: Cell) -> None:
    """Not a goal: it shows what a change did. If that is meant, write the table again."""
    assert COMMITTED["seeds"] == SEEDS
    grid = run_grid([cell], simulate.controllers(), SEEDS, jobs=1, quiet=True)
    lines = table.differences(COMMITTED["grid"], grid)
    assert not lines, "\n".join([*lines, f"if this is what it should be: {table.UPDATE}"])


def test_everything_is_committed() -> None:
    for cell in all_cells():
        assert set(COMMITTED["grid"][cell.name]) == set(simulate.controllers())
    for case in sharing.all_cases():
        assert case.possible == (case.name in COMMITTED["sharing"])
    known = {cell.name for cell in all_cells()} | {case.name for case in sharing.all_cases()}
    assert known >= {*COMMITTED["grid"], *COMMITTED["sharing"]}


def test_names_are_unique() -> None:
    names = [cell.name for cell in all_cells()]
    assert len(names) == len(set(names))
    assert {*pictures.CHOSEN} <= {*names}


def test_jain() -> None:
    assert sharing.jain([3, 3, 3]) == pytest.approx(1)
    assert sharing.jain([5, 0, 0, 0]) == pytest.approx(0.25)


def test_flows_that_share() -> None:
    two = (sharing.Flow("reno", 20 * MS), sharing.Flow("reno", 40 * MS))
    figures = sharing.measure(sharing.Case("two", two, minutes=1))
    assert 0.5 < figures["jain"][0] <= 1
    assert 0.8 < figures["link"][0] <= 1
    assert set(figures["shares"]) == {"reno 20 ms", "reno 40 ms"}


def test_series() -> None:
    cell = Cell(name="x", rate_bps=2_000_000, seconds=3)
    series = record(cell, "reno")
    assert len(series.seconds) == len(series.cwnd) == len(series.rate) == 1500
    assert 0 < max(series.queue) < max(series.rtt)
    # Where a hole is filled, all that waited behind it is delivered at once.
    assert 1 < max(series.rate) < 8


def test_pictures_need_matplotlib(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    assert pictures.draw_all(tmp_path, [""], ["reno"]) == 0
    assert "bench" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert pictures.draw_all(tmp_path, ["bad/5M"], ["reno"]) == 0
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".png"}


def test_a_saved_table_is_the_same(tmp_path: Path) -> None:
    table.save(COMMITTED, tmp_path / "paths.json")
    assert (tmp_path / "paths.json").read_text() == table.COMMITTED.read_text()
    assert json.loads(table.COMMITTED.read_text()) == COMMITTED


def test_differences_are_named() -> None:
    old: table.Grid = {"x": {"reno": {"goodput": 0.5, "rto": 1.0}}}
    new: table.Grid = {"x": {"reno": {"goodput": 0.5, "rto": 2.0}, "cubic": {"rto": 0.0}}}
    assert table.differences(old, new) == ["x, reno: rto 1.0 > 2.0", "x, cubic: rto - > 0.0"]
    merged = table.merged(
        {"seeds": 1, "grid": old, "sharing": {"gone": {}}},
        {"seeds": 1, "grid": new, "sharing": {}},
        {"x"},
    )
    assert merged == {"seeds": 1, "grid": new, "sharing": {}}


def test_pool_keeps_the_order(capfd: pytest.CaptureFixture[str]) -> None:
    tasks = [(number,) for number in range(5)]
    assert pool.run(abs, tasks, jobs=2, label=str) == [0, 1, 2, 3, 4]
    assert "5/5" in capfd.readouterr().err


def test_command(spawn: Spawn, tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    words = ["--only", "bad/5M", "--seeds", "1", "--jobs", "1", "--json", str(target)]
    process = spawn("-m", "benchmarks.paths", *words)
    out, errors = process.communicate(timeout=50)
    assert process.returncode == 0, errors
    assert "bad/5M/150ms" in out
    assert "1/" in errors
    figures = table.load(target)["grid"]["bad/5M/150ms"]
    assert set(figures) == set(simulate.controllers())


def test_list(spawn: Spawn) -> None:
    process = spawn("-m", "benchmarks.paths", "--list", "--quick")
    out, _ = process.communicate(timeout=20)
    assert set(out.splitlines()) >= {cell.name for cell in QUICK}


def test_mtu_is_what_the_links_take() -> None:
    for cell in all_cells():
        there, back = cell.links()
        assert there.mtu == back.mtu == MTU
        assert there.queue_bytes >= 4 * MTU
