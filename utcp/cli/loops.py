"""The event loop that an option names, and what runs on it until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from importlib.util import find_spec
from typing import Any, Final, TypeVar

from utcp.cli.errors import Ended

__all__ = ["BEST", "LOOPS", "run", "stopped"]

_T = TypeVar("_T")

LOOPS: Final = ("asyncio", "uvloop") if find_spec("uvloop") is not None else ("asyncio",)
BEST: Final = LOOPS[-1]


def run(loop: str, main: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run(main)` on the loop called `loop`, one of LOOPS.

    SIGTERM and SIGHUP cancel it, as Ctrl-C does, so that peers hear of the end; then this raises
    Ended.
    """
    with asyncio.Runner(loop_factory=_factory(loop)) as runner:
        return runner.run(_until_told(main))


async def _until_told(main: Coroutine[Any, Any, _T]) -> _T:
    told: list[int] = []
    task = asyncio.current_task()
    assert task is not None

    def end(number: int) -> None:
        told.append(number)
        task.cancel()

    for number in _signals():
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        return await main
    except asyncio.CancelledError:
        if told:
            raise Ended(told[0]) from None
        raise


async def stopped() -> None:
    """Wait until the process is told to end (SIGTERM, SIGHUP), which is the usual end of what calls
    this. Ctrl-C cancels it."""
    told = asyncio.Event()
    for number in _signals():
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def _signals() -> Iterator[int]:
    """Those that tell the process to end, except that `nohup` has one of them ignored."""
    if hasattr(signal, "SIGHUP"):  # not on Windows, whose loops handle none of them
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                yield number


def _factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if loop == "asyncio":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 (not there on every platform)

    return uvloop.new_event_loop
