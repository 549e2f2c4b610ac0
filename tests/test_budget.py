"""Files, classes and functions stay readable, and objects of the core stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
FILE_LINES: Final = 500
CLASS_LINES: Final = 400
FUNCTION_LINES: Final = 60

FILES: Final = [
    path
    for folder in ("utcp", "examples", "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
CORE: Final = sorted((ROOT / "utcp" / "core").rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_sizes(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert _lines(node) <= FUNCTION_LINES, node.name
        elif isinstance(node, ast.ClassDef):
            assert _lines(node) <= CLASS_LINES, node.name


@pytest.mark.parametrize("path", CORE, ids=name)
def test_core_classes_have_slots(path: Path) -> None:
    for node in _plain_classes(ast.parse(path.read_text())):
        assert _has_slots(node), f"{node.name} has no __slots__"


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _plain_classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """The classes of a module, enumerations and exceptions excepted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base) for base in node.bases}
            if not bases & {"IntEnum", "Enum", "NamedTuple", "Exception", "ValueError"}:
                yield node


def _has_slots(node: ast.ClassDef) -> bool:
    if any("slots=True" in ast.unparse(decorator) for decorator in node.decorator_list):
        return True
    return any(
        isinstance(item, ast.Assign | ast.AnnAssign) and "__slots__" in ast.unparse(item)
        for item in node.body
    )
