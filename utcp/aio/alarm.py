"""Alarm: the one timer of a driver, only ever moved earlier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

from utcp.core import NEVER

__all__ = ["Alarm"]

_MS: Final = 1_000_000


class Alarm:
    """Calls back at a time of the monotonic clock, in nanoseconds. Early or late is harmless."""

    __slots__ = ("_handle", "_loop", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.at = NEVER
        """When it will call, NEVER if it is not set."""
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: int, callback: Callable[[int], object]) -> None:
        """Call `callback` at `at`, and nothing at the time that was set before. It is told how
        many nanoseconds late it is called."""
        if self._handle is not None:
            self._handle.cancel()
        # Whole milliseconds, rounded up: what libuv rounds down would fire early, again and again.
        delay_ms = max(0, -((monotonic_ns() - at) // _MS))
        self.at = at
        self._handle = self._loop.call_later(delay_ms / 1000, self._fire, callback)

    def cancel(self) -> None:
        """Do not call."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.at = NEVER

    def _fire(self, callback: Callable[[int], object]) -> None:
        late_ns = monotonic_ns() - self.at
        self._handle = None
        self.at = NEVER
        callback(late_ns)
