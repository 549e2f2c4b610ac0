"""One transfer over one path, and what is measured of it."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from benchmarks.paths.cells import Cell
from utcp.config import Config
from utcp.core import Connection
from utcp.core.cc import ALGORITHMS
from utcp.testing import MS, SECOND, LinkConfig, Pair, Sink, Source, pair

Figures = dict[str, float]

ENDLESS: Final = 1 << 60
# Where half of all ACKs get lost a tail can need a dozen time-outs, the last of two minutes each.
_PATIENCE: Final = 7200 * SECOND


def controllers() -> list[str]:
    """The names of all congestion control algorithms that there are."""
    return list(ALGORITHMS)


@dataclass(slots=True)
class Transfer:
    """An endless transfer from `a` to `b`, established and not yet begun to move."""

    world: Pair
    client: Connection
    source: Source
    sink: Sink
    began_at: int

    @property
    def stats(self) -> tuple[int, int]:
        """Datagrams that the link has dropped, and time-outs of the sender, until now."""
        link = self.world.network.links["a", "b"].stats
        dropped = link.lost + link.overflowed + link.ruled_out + link.too_big
        return dropped, self.world.a.endpoint.counters.timeouts

    def drain(self) -> None:
        """Write no more, and run until everything written has been acknowledged."""
        self.source.size = self.source.written
        self.world.run_until(lambda: not self.client.buffered, _PATIENCE)


def begin(
    there: LinkConfig, back: LinkConfig, seed: int, config: Config, *, size: int = ENDLESS
) -> Transfer:
    """Connect over these links, without their troubles, and start to send."""
    world = pair(seed, link=_untroubled(there), back=_untroubled(back), config=config,
                 lend=False, trace=False)  # fmt: skip
    client, server = world.connect()
    # A first SYN that gets lost costs a second, which says nothing of what is measured here.
    world.network.links["a", "b"].config = there
    world.network.links["b", "a"].config = back
    # So that seeds differ also where nothing else is left to chance.
    world.run_for(random.Random(seed).randrange(10 * MS))
    source, sink = Source(client, size, finish="keep"), Sink(server)
    world.b.run(sink)
    world.a.run(source)
    return Transfer(world, client, source, sink, world.now)


def measure(cell: Cell, controller: str, seed: int) -> Figures:
    """Send for `cell.seconds` and see how it went. Shares are between 0 and 1:

    - `goodput`: payload delivered in order, of what the link could carry;
    - `rto`: retransmission time-outs;
    - `resent`: segments sent again, `needless`: those of them of which no copy had been lost,
      both of all data segments sent;
    - `queue_ms`: how long a datagram waited in the queue, on average.
    """
    config = Config(congestion_control=controller)
    transfer = begin(*cell.links(), seed, config)
    world, client = transfer.world, transfer.client
    dropped, timeouts = transfer.stats
    link = world.network.links["a", "b"].stats
    sent = link.sent
    world.run_for(cell.seconds * SECOND)
    received = transfer.sink.received
    timeouts = transfer.stats[1] - timeouts
    entered = max(link.sent - link.overflowed - link.too_big, 1)
    queue_ms = link.queued_ns / entered / MS
    # What was lost and not sent again until now would count as sent again for nothing.
    transfer.drain()
    dropped = transfer.stats[0] - dropped
    sent = max(link.sent - sent, 1)
    resent = client.total_retrans
    return {
        "goodput": round(received / (cell.payload_per_second * cell.seconds), 4),
        "rto": timeouts,
        "resent": round(resent / sent, 5),
        "needless": round(max(resent - dropped, 0) / sent, 5),
        "queue_ms": round(queue_ms, 3),
    }


def medians(runs: Iterable[Figures]) -> Figures:
    """Of each figure the median over the seeds."""
    runs = list(runs)
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def _untroubled(link: LinkConfig) -> LinkConfig:
    return LinkConfig(
        rate_bps=link.rate_bps,
        delay_ns=link.delay_ns,
        queue_bytes=link.queue_bytes,
        mtu=link.mtu,
    )
