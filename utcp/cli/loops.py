"""The event loop that an option names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, Final, TypeVar

__all__ = ["BEST", "LOOPS", "run"]

_T = TypeVar("_T")

LOOPS: Final = ("asyncio", "uvloop") if find_spec("uvloop") is not None else ("asyncio",)
BEST: Final = LOOPS[-1]


def run(loop: str, main: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run(main)` on the loop called `loop`, one of LOOPS."""
    with asyncio.Runner(loop_factory=_factory(loop)) as runner:
        return runner.run(main)


def _factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if loop == "asyncio":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 (not there on every platform)

    return uvloop.new_event_loop
