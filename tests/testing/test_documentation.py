"""The programs in the documentation run."""

from __future__ import annotations

import textwrap
from types import ModuleType

import pytest

import utcp.core
import utcp.testing
import utcp.testing.chaos
import utcp.testing.script
import utcp.testing.world


def blocks(module: ModuleType) -> list[str]:
    """The indented blocks of a module's docstring, in order."""
    assert module.__doc__ is not None
    found: list[list[str]] = [[]]
    for line in module.__doc__.splitlines():
        if line.startswith("    ") or (not line and found[-1]):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [textwrap.dedent("\n".join(lines)) for lines in found if lines]


@pytest.mark.parametrize(
    "module",
    [utcp.testing, utcp.testing.world, utcp.testing.script, utcp.testing.chaos],
    ids=lambda module: module.__name__,
)
def test_examples(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    programs = blocks(module)
    assert programs
    for program in programs:
        names = {name: getattr(utcp.testing, name) for name in utcp.testing.__all__}
        names["State"] = utcp.core.State
        exec(program, names)
    if "print(" in "".join(programs):
        assert "SYN-SENT" in capsys.readouterr().out
