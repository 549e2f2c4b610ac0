"""What one transfer looks like over time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from benchmarks.paths.cells import Cell
from benchmarks.paths.simulate import begin
from utcp.config import Config
from utcp.testing import MS, SECOND

_POINTS: Final = 1500


@dataclass(slots=True)
class Series:
    """Equally long lists, one entry for each look."""

    seconds: list[float] = field(default_factory=list)
    cwnd: list[float] = field(default_factory=list)
    """KiB; as are `ssthresh` and `flight`."""
    ssthresh: list[float] = field(default_factory=list)
    """`nan` while there is none."""
    flight: list[float] = field(default_factory=list)
    """Sent and not acknowledged."""
    rtt: list[float] = field(default_factory=list)
    """Smoothed, milliseconds."""
    queue: list[float] = field(default_factory=list)
    """Mean time in the bottleneck's queue since the last look, milliseconds."""
    rate: list[float] = field(default_factory=list)
    """Payload delivered in the last four round trips, Mbit/s."""


def record(cell: Cell, controller: str, seed: int = 1) -> Series:
    """The transfer that `simulate.measure` measures, looked at about 1,500 times."""
    transfer = begin(*cell.links(), seed, Config(congestion_control=controller))
    world, sink = transfer.world, transfer.sink
    stats = world.network.links["a", "b"].stats
    series = Series()
    interval = max(cell.seconds * SECOND // _POINTS, MS)
    queued = entered = 0
    received = [0]
    span = max(4 * cell.rtt_ns // interval, 1)
    for _ in range(cell.seconds * SECOND // interval):
        world.run_for(interval)
        info = transfer.client.info()
        series.seconds.append((world.now - transfer.began_at) / SECOND)
        series.cwnd.append(info.snd_cwnd / 1024)
        huge = info.snd_ssthresh >= 1 << 40
        series.ssthresh.append(float("nan") if huge else info.snd_ssthresh / 1024)
        series.flight.append(info.unacked / 1024)
        series.rtt.append(info.rtt / 1000)
        received.append(sink.received)
        back = min(span, len(received) - 1)
        bits = (received[-1] - received[-1 - back]) * 8
        series.rate.append(bits * SECOND / (back * interval) / 1e6)
        now_entered = stats.sent - stats.overflowed - stats.too_big
        series.queue.append((stats.queued_ns - queued) / max(now_entered - entered, 1) / MS)
        queued, entered = stats.queued_ns, now_entered
    return series
