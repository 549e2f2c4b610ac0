"""Two endpoints over a bad network: every byte arrives, nothing stalls, both ends forget all.

Each seed draws the network, both configurations, how datagrams are merged and cut into bursts,
how much is written and read at a time, how fast, and who ends the stream when. To repeat one:

    python -m tests.property.test_transfer 1234

prints how it went, segment by segment.
"""

from __future__ import annotations

import dataclasses
import random
import sys
from typing import Literal

import pytest

from utcp.config import Config
from utcp.testing import (
    SECOND,
    App,
    Pair,
    SimulationError,
    Sink,
    Source,
    chaos_pair,
    check_invariants,
    check_transfer,
    draw_config,
    draw_link,
    ladder,
    pair,
)

BLOCK = 25
BLOCKS = 16


class Answer(App):
    """Reads all there is up to the end of the stream, and only then sends its own."""

    def __init__(self, sink: Sink, source: Source) -> None:
        self.conn = sink.conn
        self.sink = sink
        self.source = source

    def act(self, now: int, events: int) -> None:
        """Read; after the end, write."""
        if not self.sink.done:
            self.sink.act(now, events)
            self.wake_at, self.progress = self.sink.wake_at, self.sink.progress
        if self.sink.done:
            self.source.act(now, events)
            self.wake_at = self.source.wake_at
            self.progress = self.sink.progress + self.source.progress
            self.done = self.source.done


def world_of(seed: int, *, trace: bool) -> Pair:
    """As `chaos_pair`, with more ways to cut bursts and wider limits."""
    rng = random.Random(seed)
    mtu = rng.choice((576, 1280, 1500, 1500, 9000, 65_536))
    configs: list[Config] = []
    for _ in range(2):
        config = draw_config(rng)
        small = rng.random() < 0.3
        configs.append(dataclasses.replace(config, recv_buffer=2048) if small else config)
    world = pair(
        seed,
        config=configs[0],
        config_b=configs[1],
        link=draw_link(rng, mtu),
        back=draw_link(rng, mtu),
        path_mtu=mtu,
        gro=rng.choice((0.0, 0.3, 1.0)),
        trace=trace,
    )
    for host in (world.a, world.b):
        host.endpoint.max_burst_segments = rng.randint(1, 64)
        host.endpoint.max_burst_bytes = rng.choice((1, 3000, 65_000))
    return world


def run(seed: int, *, trace: bool = False) -> Pair:
    """One transfer both ways, as the seed says."""
    world = world_of(seed, trace=trace)
    rng = random.Random(~seed)
    client, server = world.connect()
    there, back = (rng.choice((0, 1, 100, 20_000, 100_000)) for _ in range(2))
    # A slow reader keeps its window shut most of the time, so it gets less to read.
    slow = rng.random() < 0.3
    if slow:
        there, back = min(there, 20_000), min(back, 20_000)

    def sink(conn: object, size: int) -> Sink:
        limit = rng.choice((-1, -1, 1000, 10_000))
        rate = rng.choice((0, 8_000, 1_000_000)) if slow else 0
        return Sink(conn, size, limit=limit, rate_bps=rate)  # type: ignore[arg-type]

    def source(conn: object, size: int, finish: Literal["eof", "close"] = "eof") -> Source:
        chunk = rng.choice((7 if size < 1000 else 300, 1000, 65_536))
        rate = rng.choice((0, 0, 100_000))
        return Source(conn, size, chunk=chunk, rate_bps=rate, finish=finish)  # type: ignore[arg-type]

    at_b, at_a = sink(server, there), sink(client, back)
    world.a.run(at_a, source(client, there))
    if rng.random() < 0.5:
        world.b.run(at_b, source(server, back))
    else:
        world.b.run(Answer(at_b, source(server, back)))
    world.run_until(lambda: world.finished, 6 * 3600 * SECOND)
    check_invariants(world)
    for conn in (client, server):
        assert str(conn.state) in ("CLOSED", "TIME-WAIT")
    return world


@pytest.mark.parametrize("block", range(BLOCKS))
def test_all_bytes_arrive_and_all_is_forgotten(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        try:
            run(seed)
        except Exception as error:
            how = f"python -m tests.property.test_transfer {seed}"
            raise AssertionError(f"seed {seed} failed; to repeat it: {how}\n{error}") from error


@pytest.mark.parametrize("block", range(4))
def test_bulk_both_ways_at_once(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        check_transfer(chaos_pair(seed, trace=False), there=150_000, back=50_000)


def main(seed: int) -> None:
    """Run one seed and print its segments."""
    try:
        world = run(seed, trace=True)
    except SimulationError as error:
        print(error)
        raise SystemExit(1) from error
    print(ladder(world.trace))


if __name__ == "__main__":
    main(int(sys.argv[1]))
