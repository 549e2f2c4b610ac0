"""What one constant is worth."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks import toggle
from benchmarks.toggle import Setting, Slice, compare


def test_a_setting_is_a_constant_that_there_is() -> None:
    setting = Setting.parse("utcp.aio.driver._BUDGET=4")
    assert (setting.module, setting.name, setting.value) == ("utcp.aio.driver", "_BUDGET", 4)
    for text in (
        "utcp.aio.driver._BUDGET", "utcp.aio.driver.NO=1", "utcp.nothing.AT=1", "=", "X=1",
        "utcp.aio.driver._BUDGET=1+", "utcp.aio.driver._BUDGET=open",
    ):  # fmt: skip
        with pytest.raises(ValueError):  # noqa: PT011
            Setting.parse(text)


def test_a_slice_is_compared_with_those_around_it() -> None:
    slices = [
        Slice(number, units, cpu, 0.1)
        for number, units, cpu in (
            (10, 1, 1.0), (11, 1, 1.0), (12, 100, 0.1), (13, 300, 0.3), (14, 200, 0.2),
            (15, 100, 0.2), (16, 0, 0.0), (17, 100, 0.1), (18, 100, 0.1), (20, 1, 1.0),
            (21, 1, 1.0),
        )
    ]  # fmt: skip
    rates, costs = compare(slices)
    assert rates == [pytest.approx(2.0)]  # of number 13 only
    assert costs == [pytest.approx(1.0)]


@pytest.mark.parametrize("what", [["--segment", "1448"], ["--connections", "3"]])
def test_it_says_what_it_found(
    what: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["utcp.aio.driver._BUDGET=4", "--seconds", "2", "--slice", "0.05", *what]
    monkeypatch.setattr(sys, "argv", ["toggle", *arguments])
    assert toggle.main() == 0
    first, *sides = capsys.readouterr().out.splitlines()
    assert first.startswith("with utcp.aio.driver._BUDGET=4")
    assert [side.split(":")[0] for side in sides] == ["client", "server"]
    assert all(re.search(r"rate \d\.\d{3} .*CPU time \d\.\d{3} .* slices$", s) for s in sides)


def test_what_makes_no_sense(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["toggle", "utcp.NOTHING=1"])
    assert toggle.main() == 2
    assert "no such constant" in capsys.readouterr().err
