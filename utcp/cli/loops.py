"""The event loop that an option names, and what runs on it until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final, TypeVar

__all__ = ["BEST", "LOOPS", "run", "stopped"]

_T = TypeVar("_T")

LOOPS: Final = ("asyncio", "uvloop") if find_spec("uvloop") is not None else ("asyncio",)
BEST: Final = LOOPS[-1]


def run(loop: str, main: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run(main)` on the loop called `loop`, one of LOOPS."""
    with asyncio.Runner(loop_factory=_factory(loop)) as runner:
        return runner.run(main)


async def stopped() -> None:
    """Wait until the process is told to end in order (SIGTERM). Ctrl-C cancels this, as usual."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows
        loop.add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()


def _factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if loop == "asyncio":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 (not there on every platform)

    return uvloop.new_event_loop
