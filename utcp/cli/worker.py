"""Calls that block, such as reading standard input, without holding up the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["Worker"]

_T = TypeVar("_T")
_P = ParamSpec("_P")


class _Call(Generic[_T]):
    """A call, and the future that its outcome goes to."""

    __slots__ = ("_function", "_loop", "future")

    def __init__(self, function: Callable[[], _T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._function = function
        self.future: asyncio.Future[_T] = self._loop.create_future()

    def run(self) -> None:
        try:
            result = self._function()
        except BaseException as error:
            self._tell(self._fail, error)
        else:
            self._tell(self._succeed, result)

    def _tell(self, settle: Callable[[Any], None], outcome: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, nobody waits any more
            self._loop.call_soon_threadsafe(settle, outcome)

    def _succeed(self, result: _T) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Worker:
    """One thread that does one call after another.

    Unlike an executor's threads it does not keep the process alive: a read from a terminal that
    nobody types at must not outlast Ctrl-C.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call[Any]] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    async def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """`function(*args, **kwargs)`. When this is cancelled, the call itself goes on."""
        call = _Call(lambda: function(*args, **kwargs))
        self._calls.put(call)
        return await call.future

    def _work(self) -> None:
        while True:
            self._calls.get().run()
