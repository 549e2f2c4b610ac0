"""Which layer a function belongs to, by its file."""

from __future__ import annotations

import asyncio
import sysconfig
from pathlib import Path
from typing import Final

from benchmarks.profile.probe import Place

KERNEL: Final = "socket calls"
LOOP: Final = "event loop"
PROGRAM: Final = "program"
OTHER: Final = "other"

_ROOT: Final = Path(__file__).parents[2]
_ASYNCIO: Final = Path(asyncio.__file__).parent
_LIBRARY: Final = Path(sysconfig.get_paths()["stdlib"])
_FIRST: Final = (KERNEL, LOOP, PROGRAM, "udp", "aio", "core", "bare", OTHER)


def layer(place: Place) -> str:
    """For example "core/output.py"; all of `utcp/udp` is "udp", and of `utcp/aio` "aio"."""
    path = Path(place[0])
    if path.is_relative_to(_ROOT):
        top, room, *rest = path.relative_to(_ROOT).parts
        if top == "utcp":
            if room == "core":
                return "/".join([room, *rest])
            return room if room in _FIRST else OTHER
        if room == "bare":
            return "bare"
        return OTHER if room == "profile" else PROGRAM
    if path.is_relative_to(_ASYNCIO) or path.name == "selectors.py":
        return LOOP
    return OTHER


def short(place: Place) -> str:
    """For tables: "core/output.py: poll"."""
    path = Path(place[0])
    for root in (_ROOT / "utcp", _ROOT / "benchmarks", _LIBRARY):
        if path.is_relative_to(root):
            return f"{path.relative_to(root)}: {place[1]}"
    return f"{path.name}: {place[1]}"


def rank(name: str) -> int:
    """Where a layer stands in tables."""
    return _FIRST.index(name.partition("/")[0])
