"""What one process can say of itself, and the bytes that are sent."""

from __future__ import annotations

import os
import random
import resource
import time
from functools import cache
from typing import Final

BLOCK: Final = 256 << 10
_BLOCKS: Final = 16
_PERIOD: Final = BLOCK * _BLOCKS
_SAMPLE: Final = 16


class Meter:
    """Wall clock and CPU seconds of this process since the meter was made or restarted."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = _cpu_seconds()

    def read(self) -> dict[str, float]:
        """{"seconds": wall clock, "cpu": user and system time}"""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        return {"seconds": wall - self._wall, "cpu": cpu - self._cpu}


class Checker:
    """Counts what arrives and compares it with what was sent.

    Comparing costs time, so a timed run looks at the first bytes of every piece only, which is
    enough to see a loss, a repetition or a wrong order; with `every_byte` all of it is compared.
    """

    def __init__(self, *, every_byte: bool) -> None:
        self.count = 0
        self._every_byte = every_byte
        self._pattern = b"".join(blocks()) * 2

    def feed(self, data: bytes) -> None:
        """The next piece. Raises ValueError if it is not what was sent."""
        start = self.count % _PERIOD
        sample = data if self._every_byte else data[:_SAMPLE]
        for at in range(0, len(sample), _PERIOD):
            piece = sample[at : at + _PERIOD]
            if piece != self._pattern[start : start + len(piece)]:
                raise ValueError(f"wrong bytes after {self.count:,}")
        self.count += len(data)


@cache
def blocks() -> list[bytes]:
    """The blocks that a sender writes, again and again: the same random ones in every process."""
    generator = random.Random("utcp")
    return [generator.randbytes(BLOCK) for _ in range(_BLOCKS)]


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
