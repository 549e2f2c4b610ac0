"""What the tests of goals share: the paths, the formulas, and eyes on a sender."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any, Final

from benchmarks.paths.cells import PAYLOAD, Cell
from benchmarks.paths.simulate import ENDLESS, Transfer, begin
from utcp.config import Config
from utcp.core.loss import OPEN
from utcp.testing import MS, SECOND, LinkConfig

__all__ = [
    "OPEN",
    "RTT",
    "Watch",
    "cubic_response",
    "goodput",
    "median",
    "path",
    "reno_response",
    "start",
]

RATE: Final = 100_000_000
RTT: Final = 40 * MS
CUBIC_C: Final = 0.4
CUBIC_BETA: Final = 0.7


def path(name: str = "100M/40ms", **changes: Any) -> Cell:
    """100 Mbit/s, 40 ms and a queue of 1 BDP, but for `changes`."""
    return Cell(name=name, **{"rate_bps": RATE, "rtt_ns": RTT, "seconds": 30, **changes})


def start(cell: Cell, seed: int, controller: str = "", size: int = ENDLESS) -> Transfer:
    """A transfer over the path; the default controller unless one is named."""
    config = Config(congestion_control=controller) if controller else Config()
    # Round trips differ by up to a hundredth, so that seeds differ on a clean path, too.
    there, back = cell.links()
    back = _longer(back, seed * 7919 % 100 * cell.rtt_ns // 10_000)
    return begin(there, back, seed, config, size=size)


def _longer(link: LinkConfig, ns: int) -> LinkConfig:
    return LinkConfig(
        rate_bps=link.rate_bps,
        delay_ns=link.delay_ns + ns,
        loss=link.loss,
        mtu=link.mtu,
        coalesce_ns=link.coalesce_ns,
    )


def goodput(transfer: Transfer, cell: Cell, seconds: float) -> float:
    """Share of the link's capacity for payload, over the first `seconds`."""
    world = transfer.world
    world.run_for(int(seconds * SECOND) - (world.now - transfer.began_at))
    return transfer.sink.received / (cell.payload_per_second * seconds)


def median(values: Iterable[float]) -> float:
    """Over the seeds."""
    return statistics.median(values)


def reno_response(loss: float, rtt_s: float) -> float:
    """Bytes of payload per second (RFC 5681's controller: Mathis et al. 1997)."""
    return math.sqrt(1.5 / loss) * PAYLOAD / rtt_s


def cubic_response(loss: float, rtt_s: float) -> float:
    """Bytes of payload per second: RFC 9438 §5.1 equation 5, or §4.3 where that gives more."""
    # RFC 9438 §5.1: AVG_W_cubic = (C * (3 + beta) / (4 * (1 - beta)))^(1/4) * RTT^(3/4) / p^(3/4)
    factor = math.pow(CUBIC_C * (3 + CUBIC_BETA) / (4 * (1 - CUBIC_BETA)), 0.25)
    segments = factor * math.pow(rtt_s / loss, 0.75)
    return max(segments * PAYLOAD / rtt_s, reno_response(loss, rtt_s))


class Watch:
    """Notes when the sender of a transfer reduces its window, and why."""

    def __init__(self, transfer: Transfer) -> None:
        self.reductions: list[tuple[int, str]] = []
        world = transfer.world
        control: Any = transfer.client.snd.cc
        note = self.reductions.append

        def method(name: str) -> Callable[..., None]:
            def noted(self: Any, *values: Any) -> None:
                note((world.now, name))
                getattr(super(type(self), self), name)(*values)

            return noted

        names = ("on_loss", "on_ecn", "on_rto")
        body: dict[str, Any] = {"__slots__": (), **{name: method(name) for name in names}}
        # The same layout, so an object may change its class.
        control.__class__ = type("Watched", (type(control),), body)

    def count(self, start: int, end: int) -> int:
        """Reductions in [start, end)."""
        return sum(start <= at < end for at, _ in self.reductions)
