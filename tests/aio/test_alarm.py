"""Alarms: many of them, one timer of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from utcp.aio.alarm import Alarm, Alarms
from utcp.core import NEVER

from .conftest import until

MS = 1_000_000


class Clockwork:
    """Alarms by number, and the order in which they have rung."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.alarms = Alarms(self.loop)
        self.each: dict[int, Alarm] = {}
        self.rung: list[int] = []
        self.bell = asyncio.Event()

    def set(self, number: int, at: int) -> None:
        alarm = self.each.setdefault(number, Alarm(self.alarms))
        alarm.set(at, self.ringing(number, at))

    def ringing(self, number: int, at: int) -> Callable[[int], object]:
        def ring(late_ns: int) -> None:
            assert self.each[number].at == NEVER
            assert 0 <= late_ns <= monotonic_ns() - at
            self.rung.append(number)
            self.bell.set()

        return ring

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.rung) < count:
                self.bell.clear()
                await self.bell.wait()


async def test_they_ring_in_the_order_of_their_times() -> None:
    clock = Clockwork()
    now = monotonic_ns()
    for number in (3, 1, 4, 0, 2):
        clock.set(number, now + (5 + 4 * number) * MS)
    await clock.wait(5)
    assert clock.rung == [0, 1, 2, 3, 4]


async def test_only_the_last_time_counts() -> None:
    clock = Clockwork()
    now = monotonic_ns()
    clock.set(1, now + 10_000 * MS)
    clock.set(1, now + 5 * MS)
    clock.set(2, now + 10 * MS)
    clock.each[2].cancel()
    clock.each[2].cancel()
    clock.set(3, now + 2 * MS)
    clock.set(3, now + 15 * MS)
    await clock.wait(2)
    await asyncio.sleep(0.02)
    assert clock.rung == [1, 3]
    assert clock.each[2].at == NEVER


async def test_one_that_fails_takes_no_other_with_it() -> None:
    clock = Clockwork()
    failures: list[Any] = []
    clock.loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))

    def fail(_: int) -> None:
        raise ArithmeticError

    at = monotonic_ns()
    failing = Alarm(clock.alarms)
    failing.set(at, fail)
    clock.set(1, at + 1)
    await clock.wait(1)
    assert [type(failure) for failure in failures] == [ArithmeticError]


async def test_one_that_is_set_again_and_again_keeps_nobody_waiting() -> None:
    clock = Clockwork()
    alarm = Alarm(clock.alarms)
    count = 0

    def again(_: int) -> None:
        nonlocal count
        count += 1
        alarm.set(0, again)

    alarm.set(0, again)
    clock.set(1, monotonic_ns())
    await clock.wait(1)  # which needs a turn of the loop, too
    assert count <= 2
    await until(lambda: count > 5)
    alarm.cancel()
    before = count
    for _ in range(10):
        await asyncio.sleep(0)
    assert count == before


async def test_what_was_overtaken_is_forgotten() -> None:
    clock = Clockwork()
    now = monotonic_ns()
    for number in range(1000):
        clock.set(number % 10, now + (100_000 - number) * MS)
    assert len(clock.alarms._heap) <= 66
    for alarm in clock.each.values():
        alarm.cancel()
    assert not clock.alarms._heap
    assert clock.alarms._handle is None


async def test_each_is_told_how_late_it_is() -> None:
    clock = Clockwork()
    at = monotonic_ns()
    late: list[int] = []

    def slow(late_ns: int) -> None:
        late.append(late_ns)
        until = monotonic_ns() + 5 * MS
        while monotonic_ns() < until:
            pass
        clock.bell.set()

    for number in range(2):
        Alarm(clock.alarms).set(at + number, slow)
    async with asyncio.timeout(20):
        while len(late) < 2:
            clock.bell.clear()
            await clock.bell.wait()
    assert late[1] >= 5 * MS
