"""The parts of README.md that are written by what measures them, each between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

README: Final = Path(__file__).parents[1] / "README.md"


def part(text: str, name: str) -> str:
    """What stands between the marks of that name."""
    return text.partition(f"<!-- {name}: begin -->\n")[2].partition(f"<!-- {name}: end -->\n")[0]


def put(name: str, text: str) -> None:
    """Have `text` stand between the marks of that name."""
    begin, end = (f"<!-- {name}: {mark} -->\n" for mark in ("begin", "end"))
    before, _, rest = README.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    README.write_text("".join((before, begin, text, end, after)), encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Its lines, names to the left and numbers to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]
