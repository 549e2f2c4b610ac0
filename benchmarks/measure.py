"""What one process can say of itself, and the bytes that are sent."""

from __future__ import annotations

import gc
import os
import random
import resource
import time
import tracemalloc
from array import array
from collections.abc import Callable
from functools import cache
from typing import Final

BLOCK: Final = 256 << 10
_PERIOD: Final = 4 << 20
_SAMPLE: Final = 16
_WARM_UP: Final = 200


class Meter:
    """Wall clock, CPU seconds and memory of this process since the meter was made or restarted.

    CPU seconds are its own, all threads, and those of its children that have ended.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        gc.collect()
        self._rss = resident()
        self._traced = tracemalloc.get_traced_memory()[0]
        self._wall = time.perf_counter()
        self._cpu = _cpu_seconds()

    def read(self) -> dict[str, float]:
        """{"seconds": wall clock, "cpu": user and system time, "rss_grown" and "traced_grown"}"""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        gc.collect()
        return {
            "seconds": wall - self._wall,
            "cpu": cpu - self._cpu,
            "rss_grown": resident() - self._rss,
            "traced_grown": tracemalloc.get_traced_memory()[0] - self._traced,
        }


class Checker:
    """Counts what arrives on one connection and compares it with what was sent.

    Comparing costs time, so a timed run looks at the first bytes of every piece only, which is
    enough to see a loss, a repetition or a wrong order; with `every_byte` all of it is compared.
    """

    def __init__(self, *, every_byte: bool) -> None:
        self.count = 0
        self._every_byte = every_byte
        self._pattern = pattern()

    def feed(self, data: bytes | memoryview) -> None:
        """The next piece. Raises ValueError if it is not what was sent."""
        start = self.count % _PERIOD
        sample = data if self._every_byte else data[:_SAMPLE]
        for at in range(0, len(sample), _PERIOD):
            piece = sample[at : at + _PERIOD]
            if piece != self._pattern[start : start + len(piece)]:
                raise ValueError(f"wrong bytes after {self.count:,}")
        self.count += len(data)


class Stopwatch:
    """Times round trips for `seconds`; the first ones, up to 200, do not count.

    `on_warm` is called when they are over: `ClientSide.start`.
    """

    def __init__(self, seconds: float, on_warm: Callable[[], object]) -> None:
        self._seconds = seconds
        self._on_warm = on_warm
        self._left = min(_WARM_UP, int(_WARM_UP * seconds) + 1)
        self._trips = array("q")
        self._started_at = self._end_at = 0

    def start(self) -> None:
        """The message is about to be sent."""
        self._started_at = time.perf_counter_ns()

    def stop(self) -> bool:
        """It is back: whether there should be another one."""
        now = time.perf_counter_ns()
        if not self._left:
            self._trips.append(now - self._started_at)
            return now < self._end_at
        self._left -= 1
        if not self._left:
            self._on_warm()
            self._end_at = time.perf_counter_ns() + int(self._seconds * 1e9)
        return True

    def read(self) -> dict[str, float]:
        """{"trips": n, "p50_us", "p99_us" and "p999_us"}"""
        return {"trips": len(self._trips), **percentiles(self._trips)}


def percentiles(times_ns: array[int]) -> dict[str, float]:
    """{"p50_us": ..., "p99_us": ..., "p999_us": ...}"""
    ordered = sorted(times_ns)
    names = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
    return {name: ordered[int(len(ordered) * part)] / 1e3 for name, part in names.items()}


@cache
def blocks(size: int = BLOCK) -> list[bytes]:
    """What a sender writes, again and again, in pieces of `size`: a power of two, at most 4 MiB."""
    whole = pattern()
    return [whole[at : at + size] for at in range(0, _PERIOD, size)]


@cache
def pattern() -> bytes:
    """The 4 MiB that are sent, twice: the same random ones in every process."""
    return random.Random("utcp").randbytes(_PERIOD) * 2


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
