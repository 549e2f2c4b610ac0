"""The grid: which paths, and what trouble each of them has.

A cell is one path. All of them have a bottleneck with a queue that drops at its tail; the way back
is as fast, and its queue holds all ACKs. A group varies one thing and leaves the rest as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from utcp.testing import MS, SECOND, GilbertElliott, LinkConfig

MTU: Final = 1500
HEADERS: Final = 52
"""IP, UDP, TCP over UDP and timestamps: 20 + 8 + 12 + 12 bytes."""
PAYLOAD: Final = MTU - HEADERS

_MBIT: Final = 1_000_000
_LEAST_QUEUE: Final = 4 * MTU
_MERGED: Final = 8
_COALESCED_RATE: Final = 50 * _MBIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One path. Rates in bits per second, times in nanoseconds, the rest as in `LinkConfig`."""

    name: str
    rate_bps: int = 20 * _MBIT
    rtt_ns: int = 40 * MS
    queue: float = 1.0  # in products of rate and round trip
    seconds: int = 20
    loss: float = 0.0
    burst_loss: GilbertElliott | None = None
    ack_loss: float = 0.0
    reorder: float = 0.0
    reorder_ns: int = 0
    jitter_ns: int = 0
    duplicate: float = 0.0
    ecn: bool = False  # mark from a quarter of the queue on
    quick: bool = False

    @property
    def chance(self) -> bool:
        """Whether anything happens by chance, so that seeds differ."""
        return bool(
            self.loss
            or self.burst_loss
            or self.ack_loss
            or self.reorder
            or self.jitter_ns
            or self.duplicate
        )

    @property
    def payload_per_second(self) -> float:
        """Bytes of payload that the link can carry in a second."""
        return self.rate_bps / 8 * PAYLOAD / MTU

    def links(self) -> tuple[LinkConfig, LinkConfig]:
        """The way there and the way back."""
        product = self.rate_bps * self.rtt_ns // (8 * SECOND)
        queue = max(int(self.queue * product), _LEAST_QUEUE)
        coalesce_ns = 0
        if self.rate_bps > _COALESCED_RATE:
            # As network cards do on fast links; and it is what makes these cells affordable.
            coalesce_ns = min(_MERGED * MTU * 8 * SECOND // self.rate_bps, self.rtt_ns // 20)
        there = LinkConfig(
            rate_bps=self.rate_bps,
            delay_ns=self.rtt_ns // 2,
            queue_bytes=queue,
            loss=self.loss,
            burst_loss=self.burst_loss,
            reorder=self.reorder,
            reorder_ns=self.reorder_ns,
            jitter_ns=self.jitter_ns,
            duplicate=self.duplicate,
            ecn_threshold=queue // 4 if self.ecn else LinkConfig().ecn_threshold,
            mtu=MTU,
            coalesce_ns=coalesce_ns,
        )
        back = LinkConfig(
            rate_bps=self.rate_bps,
            delay_ns=self.rtt_ns // 2,
            loss=self.ack_loss,
            mtu=MTU,
            coalesce_ns=coalesce_ns,
        )
        return there, back


def all_cells() -> list[Cell]:
    """The whole grid."""
    return [
        *_clean(),
        *_queues(),
        *_losses(),
        *_bursts(),
        *_reordering(),
        *_other_troubles(),
        *_together(),
    ]


def _clean() -> Iterator[Cell]:
    for rate in (1, 10, 100, 1000):
        for rtt in (1, 10, 40, 100, 300):
            yield Cell(
                name=f"clean/{_rate(rate)}/{rtt}ms",
                rate_bps=rate * _MBIT,
                rtt_ns=rtt * MS,
                seconds=_long_enough(rate, rtt),
                quick=(rate, rtt) in ((1, 40), (10, 10), (10, 100)),
            )


def _queues() -> Iterator[Cell]:
    for rate, rtt in ((10, 100), (100, 20)):
        for queue in (0.1, 0.25, 0.5, 2.0, 4.0):
            yield Cell(
                name=f"queue/{_rate(rate)}/{rtt}ms/{queue:g}BDP",
                rate_bps=rate * _MBIT,
                rtt_ns=rtt * MS,
                queue=queue,
                seconds=30 if rtt >= 100 else 15,
                quick=rate == 10 and queue in (0.1, 4.0),
            )
    yield Cell(name="queue/20M/40ms/1BDP/ecn", ecn=True, quick=True)
    yield Cell(name="queue/100M/20ms/2BDP/ecn", rate_bps=100 * _MBIT, rtt_ns=20 * MS, queue=2,
               ecn=True, seconds=15)  # fmt: skip


def _losses() -> Iterator[Cell]:
    for rtt in (1, 10, 40, 100, 300):
        for loss in (0.0001, 0.001, 0.01, 0.05):
            yield Cell(
                name=f"loss/20M/{rtt}ms/{loss:.2%}",
                rtt_ns=rtt * MS,
                loss=loss,
                seconds=60 if rtt >= 100 else 30,
                quick=rtt == 40 and loss in (0.01, 0.05),
            )
    for loss in (0.0001, 0.001):
        yield Cell(name=f"loss/1G/20ms/{loss:.2%}", rate_bps=1000 * _MBIT, rtt_ns=20 * MS,
                   loss=loss, seconds=10)  # fmt: skip
    yield Cell(name="loss/1M/100ms/2.00%", rate_bps=_MBIT, rtt_ns=100 * MS, loss=0.02, seconds=60)


def _bursts() -> Iterator[Cell]:
    for length in (3, 10, 30):
        # One burst in about two thousand datagrams, so long on average. The chain moves on by
        # datagrams, not by time: if nothing at all came through, long bursts would last minutes.
        chain = GilbertElliott(
            to_bad=1 / 2000, to_good=1 / length, loss_in_bad=1.0 if length < 30 else 0.5
        )
        for rate, rtt in ((20, 40), (20, 200), (100, 20)):
            yield Cell(
                name=f"bursts/{_rate(rate)}/{rtt}ms/{length}",
                rate_bps=rate * _MBIT,
                rtt_ns=rtt * MS,
                burst_loss=chain,
                seconds=60 if rtt > 100 else 20,
            )


def _reordering() -> Iterator[Cell]:
    for share in (0.005, 0.05, 0.2):
        for part, word in ((16, "sixteenth"), (4, "quarter"), (1, "whole")):
            rtt_ns = 40 * MS
            yield Cell(
                name=f"reorder/20M/40ms/{share:.1%}/{word}",
                reorder=share,
                reorder_ns=rtt_ns // part,
                quick=share == 0.05 and part == 4,
            )
    yield Cell(name="reorder/100M/20ms/5.0%/quarter", rate_bps=100 * _MBIT, rtt_ns=20 * MS,
               reorder=0.05, reorder_ns=5 * MS)  # fmt: skip


def _other_troubles() -> Iterator[Cell]:
    for jitter in (2, 10, 40):
        yield Cell(name=f"jitter/20M/40ms/{jitter}ms", jitter_ns=jitter * MS)
    for loss in (0.05, 0.2, 0.5):
        yield Cell(name=f"acks/20M/40ms/{loss:.0%}", ack_loss=loss)
    yield Cell(name="acks/100M/20ms/20%", rate_bps=100 * _MBIT, rtt_ns=20 * MS, ack_loss=0.2)
    for share in (0.01, 0.1):
        yield Cell(name=f"duplicate/20M/40ms/{share:.0%}", duplicate=share)


def _together() -> Iterator[Cell]:
    radio = Cell(
        name="radio/20M/30ms", rtt_ns=30 * MS, queue=4, jitter_ns=8 * MS, reorder=0.01,
        reorder_ns=4 * MS, loss=0.0005, ack_loss=0.001, seconds=30,
    )  # fmt: skip
    yield radio
    yield dataclasses.replace(
        radio, name="satellite/10M/600ms", rate_bps=10 * _MBIT, rtt_ns=600 * MS, queue=1,
        burst_loss=GilbertElliott(to_bad=1 / 5000, to_good=0.2), reorder=0, seconds=120,
    )  # fmt: skip
    yield dataclasses.replace(
        radio, name="bad/5M/150ms", rate_bps=5 * _MBIT, rtt_ns=150 * MS, queue=0.5, loss=0.03,
        ack_loss=0.03, duplicate=0.01, reorder=0.05, reorder_ns=60 * MS, seconds=60, quick=True,
    )  # fmt: skip
    yield dataclasses.replace(
        radio, name="dreadful/2M/300ms", rate_bps=2 * _MBIT, rtt_ns=300 * MS, queue=0.2, loss=0.05,
        ack_loss=0.1, duplicate=0.05, reorder=0.2, reorder_ns=300 * MS, seconds=120,
    )  # fmt: skip


def _long_enough(mbit: int, rtt: int) -> int:
    """Seconds in which the start matters little, and that can be afforded."""
    if rtt >= 100:
        return 30 if mbit < 1000 else 20
    if mbit * rtt <= 1000:
        return 20 if mbit < 100 else 5
    return 20 if mbit < 1000 else 10


def _rate(mbit: int) -> str:
    return f"{mbit}M" if mbit < 1000 else f"{mbit // 1000}G"
