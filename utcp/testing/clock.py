"""Time that only moves when it is told to, and an asyncio event loop that lives in it.

`VirtualClock` is an integer of nanoseconds. `VirtualLoop` is a complete asyncio event loop whose
`time()` is such a clock: when nothing is ready to run it does not wait for the next timer, it
jumps to it. So a program full of `asyncio.sleep`, `asyncio.timeout` and retransmission timers
runs at once, and the same way each time.

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())

or, shorter, `run_virtual(main())`.

Sockets work on a `VirtualLoop` as long as both ends are in this process: before the clock jumps,
the system gets a millisecond of real time to carry what was sent over loopback. Threads work too:
while a call that was handed to an executor is running, time stands still and the loop really waits
for it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar, TypeVarTuple

__all__ = ["MS", "SECOND", "US", "DeadlockError", "VirtualClock", "VirtualLoop", "run_virtual"]

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

US: Final = 1_000
"""Nanoseconds in a microsecond."""
MS: Final = 1_000_000
"""Nanoseconds in a millisecond."""
SECOND: Final = 1_000_000_000
"""Nanoseconds in a second."""


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: the program waits for something that cannot come."""


class VirtualClock:
    """A monotonic clock that is moved by hand, in whole nanoseconds.

    The start is not zero, so that code which takes 0 for "never happened" is found out.
    """

    __slots__ = ("now",)

    def __init__(self, start: int = 1_000 * SECOND) -> None:
        self.now = start

    def advance(self, ns: int) -> int:
        """Move on by `ns` nanoseconds and return the new time. ValueError if negative."""
        if ns < 0:
            raise ValueError("a clock does not run backwards")
        self.now += ns
        return self.now

    def advance_to(self, at: int) -> int:
        """Move on to the time `at`; a time that has passed changes nothing. Returns the time."""
        self.now = max(self.now, at)
        return self.now

    def __repr__(self) -> str:
        return f"VirtualClock({self.now})"


class _JumpingSelector(selectors.BaseSelector):
    """Looks at the real files without waiting, and moves the clock instead of waiting."""

    def __init__(self, clock: VirtualClock) -> None:
        self._real = selectors.DefaultSelector()
        self._clock = clock
        self._grace = 0.001  # real seconds
        self.threads = 0  # calls that run in other threads: for these, really wait

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.threads:
            return self._real.select(None)
        # One file is the loop's own; others may have bytes that the system has yet to carry.
        if len(self._real.get_map()) > 1 and (ready := self._real.select(self._grace)):
            return ready
        if timeout is None:
            raise DeadlockError(
                "deadlock: nothing is ready to run, no timer is set and no data has arrived, so "
                "this program would wait for ever"
            )
        # Rounded up: a loop that wakes a moment too early would only come back.
        self._clock.advance(math.ceil(timeout * SECOND))
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time.

    `run_forever` and `run_until_complete` raise `DeadlockError` when nothing can happen any more.
    A clock may be shared with a simulation; by default the loop has its own, in `clock`.
    """

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = VirtualClock() if clock is None else clock
        self._jumping = _JumpingSelector(self.clock)
        super().__init__(self._jumping)
        # asyncio runs timers up to one clock resolution early; this clock resolves nanoseconds.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds."""
        return self.clock.now / SECOND

    def monotonic_ns(self) -> int:
        """Virtual nanoseconds, for who counts in these: what `time.monotonic_ns` is to `time`."""
        return self.clock.now

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[[*_Ts], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """Run `func` in a thread; virtual time stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # asyncio's own signature
    ) -> None:
        """Join the executor's threads; `timeout`, real seconds, is not needed and ignored."""
        self._jumping.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.threads -= 1

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._jumping.threads -= 1


def run_virtual(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """What `asyncio.run` does, in virtual time. Raises `DeadlockError` for a program that hangs."""
    with asyncio.Runner(debug=debug, loop_factory=VirtualLoop) as runner:
        return runner.run(main)
