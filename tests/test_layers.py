"""Imports point downward only: between the rooms of the package, and inside the core."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).parents[1] / "utcp"

# What each room may import of utcp, besides itself.
ROOMS: Final = {
    "core": {"config", "stats"},
    "udp": set[str](),
    "config": set[str](),
    "stats": set[str](),
    "errors": {"core"},
    "aio": {"config", "core", "errors", "stats", "udp"},
    "testing": {"aio", "config", "core", "errors", "stats", "udp"},
    "__init__": {"aio", "config", "core", "errors", "stats"},
    "cli": {"", "aio", "config", "core", "errors", "stats", "udp"},
    "__main__": {"cli"},
}

# Time is an argument of the core, entropy is handed in, and it neither waits nor writes.
NOT_IN_CORE: Final = {
    "asyncio", "socket", "time", "datetime", "random", "secrets", "uuid", "os", "io", "logging",
    "threading", "ssl", "select", "selectors", "signal", "subprocess", "structlog", "uvloop",
}  # fmt: skip

# The core from the bottom up. A module imports from lower lines, or from
# its own where that makes no circle; types excepted.
CORE: Final = (
    "events prr sample seq state timers transmit",
    "segment",
    "ackdelay admission autotune cc frto listener pacer pmtu reassembly recv_buffer "
    "records rtt scoreboard secrets sharing status train",
    "deadlines flight memory receiver resets send_buffer teardown timewait tlp",
    "terms",
    "agenda rack undo",
    "loss",
    "probing text tuning",
    "handshake icmp recovery",
    "burst calm",
    "ack bulk message output sender timeouts",
    "arrival connection farewell",
    "cookies fastpath",
    "table",
    "reception",
    "endpoint",
    "__init__",
)
RANK: Final = {name: rank for rank, line in enumerate(CORE) for name in line.split()}


def modules(room: str = "") -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_downward(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = ROOMS[room] | {room}
    wrong = {name for name in imports(path) if _room(name) not in {None, *allowed}}
    assert not wrong


@pytest.mark.parametrize("path", modules("core"), ids=lambda path: path.name)
def test_the_core_does_no_io(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path, types=True)} & NOT_IN_CORE


@pytest.mark.parametrize("path", modules("core"), ids=lambda path: path.name)
def test_the_core_imports_downward(path: Path) -> None:
    own = _part(path.relative_to(PACKAGE / "core").parts[0].removesuffix(".py"))
    parts = {name.split(".")[2] for name in imports(path) if name.startswith("utcp.core.")}
    upward = {part for part in parts if RANK[_part(part)] >= RANK[own] and part != own}
    same_line = {part for part in upward if RANK[_part(part)] == RANK[own]}
    assert upward <= same_line, f"{own} imports upward"
    assert not any(_imports_back(part, own) for part in same_line), f"{own} is in a circle"


def imports(path: Path, *, types: bool = False) -> set[str]:
    """The modules, and the names in modules, that a file imports when it runs, as full names.

    With `types` also those that only a type checker reads.
    """
    tree = ast.parse(path.read_text(), str(path))
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
    skipped: set[ast.AST] = set()
    if not types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                skipped.update(child for part in node.body for child in ast.walk(part))
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def _room(name: str) -> str | None:
    """The room of utcp that a full name lies in, "" for a name of utcp itself, None outside."""
    top, _, rest = name.partition(".")
    if top != "utcp":
        return None
    room = rest.partition(".")[0]
    return room if room in ROOMS else ""


def _part(name: str) -> str:
    assert name in RANK, f"utcp.core.{name} has no place in CORE"
    return name


def _imports_back(part: str, own: str) -> bool:
    path = PACKAGE / "core" / f"{part}.py"
    return path.exists() and any(name.startswith(f"utcp.core.{own}") for name in imports(path))
