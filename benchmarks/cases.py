"""The list of what is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

SEGMENT: Final = 1460
"""The MSS that a path of 1,500 bytes gives; timestamps take 12 bytes of it: 1,448 of payload."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure."""

    question: str  # "bulk", "echo", "memory"
    api: str  # "protocol", "streams", "sockets"; what is weighed for "memory"
    loop: str  # "asyncio", "uvloop", "none"
    mss: int  # 0: as the path allows
    contestant: str  # "utcp", "tcp", "raw"

    @property
    def group(self) -> str:
        """The name without the contestant: what is compared with each other has one group."""
        path = "loopback" if self.mss == 0 else str(self.mss - 12)
        return f"{self.question}/{self.api}/{self.loop}/{path}"

    @property
    def name(self) -> str:
        """For example "bulk/protocol/uvloop/1448/utcp"."""
        return f"{self.group}/{self.contestant}"


def all_cases() -> Iterator[Case]:
    """Every case, contestants of one group beside each other."""
    for mss in (0, SEGMENT):
        for loop, api in product(("asyncio", "uvloop"), ("protocol", "streams")):
            for contestant in ("tcp", "utcp"):
                yield Case("bulk", api, loop, mss, contestant)
        yield Case("bulk", "sockets", "none", mss, "raw")
    for loop, api in product(("asyncio", "uvloop"), ("protocol", "streams")):
        for contestant in ("tcp", "utcp"):
            yield Case("echo", api, loop, 0, contestant)
    yield Case("echo", "sockets", "none", 0, "raw")
    for weighed in ("connection", "time-wait", "transfer"):
        yield Case("memory", weighed, "asyncio", 0, "utcp")
