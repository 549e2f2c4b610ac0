"""Alarms: one for each driver, all of them on a single timer of the event loop.

A connection that lives for some milliseconds sets its driver's alarm once or twice. A timer of the
loop costs much more than an entry in the heap here, most of all one that is cancelled again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from time import monotonic_ns
from typing import Final, TypeAlias

from utcp.core import NEVER

__all__ = ["Alarm", "Alarms"]

_MS: Final = 1_000_000
_COMPACT_AT: Final = 64

_Entry: TypeAlias = "tuple[int, int, Alarm]"
"""When it is due, a running number for the order of equal times, and whose it is."""


class Alarms:
    """The alarms of one event loop. At most half of the heap, or 64 entries, have been overtaken:
    an entry counts while its alarm stands at its time."""

    __slots__ = ("_at", "_count", "_handle", "_heap", "_loop", "_standing")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._at = NEVER  # when the timer calls
        self._heap: list[_Entry] = []
        self._count = 0
        self._standing = 0  # alarms that are set

    def add(self, alarm: Alarm, at: int, *, moved: bool) -> None:
        """`alarm` is set, to `at`; `moved`: it was set before."""
        self._standing += not moved
        self._count += 1
        heappush(self._heap, (at, self._count, alarm))
        if at < self._at:
            self._arm(at)
        if len(self._heap) > _COMPACT_AT and len(self._heap) > 2 * self._standing:
            valid = {entry[2]: entry for entry in self._heap if entry[2].at == entry[0]}
            self._heap[:] = valid.values()
            heapify(self._heap)

    def remove(self) -> None:
        """An alarm that was set is not any more."""
        self._standing -= 1
        if not self._standing:
            self._heap.clear()
            self._disarm()

    def _arm(self, at: int) -> None:
        self._disarm()
        # Whole milliseconds, rounded up: what libuv rounds down would fire early, again and again.
        delay_ms = max(0, -((monotonic_ns() - at) // _MS))
        self._handle = self._loop.call_later(delay_ms / 1000, self._fire)
        self._at = at

    def _disarm(self) -> None:
        self._at = NEVER
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._at = 0  # what is set meanwhile waits for the end of this
        now = monotonic_ns()
        heap = self._heap
        due = deque[_Entry]()
        while heap and heap[0][0] <= now:
            due.append(heappop(heap))
        try:
            while due:
                at, _, alarm = due.popleft()
                if alarm.at == at:
                    self._standing -= 1
                    alarm.ring()
        finally:
            # After one that fails the others have their turn.
            for entry in due:
                heappush(heap, entry)
            self._at = NEVER
            while heap and heap[0][2].at != heap[0][0]:
                heappop(heap)
            if heap:
                self._arm(heap[0][0])


class Alarm:
    """Calls back at a time of the monotonic clock, in nanoseconds. Early or late is harmless."""

    __slots__ = ("_alarms", "_callback", "at")

    def __init__(self, alarms: Alarms) -> None:
        self.at = NEVER
        """When it will call, NEVER if it is not set."""
        self._alarms = alarms
        self._callback: Callable[[int], object] | None = None

    def set(self, at: int, callback: Callable[[int], object]) -> None:
        """Call `callback` at `at`, and nothing at the time that was set before. It is told how
        many nanoseconds late it is called."""
        moved = self.at != NEVER
        self.at = at
        self._callback = callback
        self._alarms.add(self, at, moved=moved)

    def cancel(self) -> None:
        """Do not call."""
        self._callback = None
        if self.at != NEVER:
            self.at = NEVER
            self._alarms.remove()

    def ring(self) -> None:
        """The time has come."""
        late_ns = monotonic_ns() - self.at
        callback = self._callback
        assert callback is not None
        self.at = NEVER
        callback(late_ns)
