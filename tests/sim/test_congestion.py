"""Congestion control on simulated paths: what the pieces come to when they work together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable

import pytest

from utcp.config import Config
from utcp.core import Connection, Endpoint
from utcp.testing import MS, SECOND, LinkConfig, Pair, Sink, Source, World, pair

MSS = 1448
RATE = 100_000_000
RTT = 40 * MS
BDP = RATE * RTT // SECOND // 8


def bulk(world: Pair) -> tuple[Connection, Sink]:
    """Somebody who always has something to send."""
    client, server = world.connect()
    sink = Sink(server)
    world.b.run(sink)
    world.a.run(Source(client, 1 << 40))
    return client, sink


def path(seed: int = 1, config: Config | None = None, **link: float) -> Pair:
    return pair(
        seed,
        config=config,
        link=LinkConfig(**{"rate_bps": RATE, "delay_ns": RTT // 2, **link}),  # type: ignore[arg-type]
        trace=False,
    )


def test_random_loss_leaves_cubic_what_the_response_function_gives() -> None:
    loss = 0.01
    # RFC 9438 §5, Figure 6, and §4.3, Figure 3: the greater of the two is the window.
    seconds = RTT / SECOND
    cubic = (0.4 * 3.7 / 1.2) ** 0.25 * (seconds / loss) ** 0.75
    alpha = 3 * 0.3 / 1.7
    friendly = math.sqrt(alpha * 1.7 / (2 * 0.3 * loss))
    expected = max(cubic, friendly) * MSS * 8 / seconds * (1 - loss)
    rates = []
    for seed in range(1, 9):
        world = path(seed, loss=loss, queue_bytes=BDP)
        _, sink = bulk(world)
        world.run_for(30 * SECOND)
        rates.append(sink.received * 8 / 30)
    assert sum(rates) / len(rates) >= expected


def test_what_a_black_out_lost_is_repaired_in_slow_start() -> None:
    world = path(config=Config(pacing=False), queue_bytes=4 * BDP)
    client, _ = bulk(world)
    world.run_for(SECOND)
    link = world.network.links["a", "b"]
    link.config = dataclasses.replace(link.config, loss=1.0)
    world.run_for(SECOND)
    lost = client.info().lost
    assert lost > 300 * MSS
    link.config = dataclasses.replace(link.config, loss=0.0)
    world.run_until(lambda: client.info().retransmits == 0, 2 * SECOND)
    started = world.now
    world.run_until(lambda: not client.info().lost, 2 * SECOND)
    # One segment, then two, four ... each round trip, as far as the link takes it.
    assert world.now - started < RTT * math.log2(lost / MSS) + lost * 8 * SECOND / RATE


def test_hystart_leaves_slow_start_without_a_loss_where_the_queue_is_long() -> None:
    config = Config(recv_buffer=64 << 20, send_buffer=64 << 20)
    world = path(config=config, queue_bytes=12 * BDP)
    client, _ = bulk(world)
    world.run_for(2 * SECOND)
    info = client.info()
    assert not info.total_retrans
    assert 2 * BDP < info.snd_ssthresh < 12 * BDP


@pytest.mark.parametrize("control", ["cubic", "reno"])
def test_marks_keep_the_queue_short_and_lose_nothing(control: str) -> None:
    config = Config(congestion_control=control)
    # Slow start overshoots before a mark can come back: room for that, too.
    world = path(config=config, queue_bytes=4 * BDP, ecn_threshold=BDP // 2)
    client, sink = bulk(world)
    world.run_for(3 * SECOND)
    before = sink.received
    link = world.network.links["a", "b"]
    link.stats.queue_max = 0
    world.run_for(5 * SECOND)
    assert link.stats.marked
    assert not client.info().total_retrans
    # The mark takes a round trip, in which the window grows by little more than a segment.
    assert link.stats.queue_max < BDP // 2 + 20 * 1500
    # RFC 8511: with half a BDP of queue, 0.8 and 0.85 never let it run empty.
    assert (sink.received - before) * 8 / 5 > 0.97 * RATE * MSS / 1500


def test_marks_on_everything_slow_down_to_the_retransmission_timer() -> None:
    """RFC 3168 §6.1.2: with a window of one segment, a mark is answered by waiting."""
    world = path(ecn_threshold=0)
    client, sink = bulk(world)
    world.run_for(5 * SECOND)
    info = client.info()
    assert info.snd_cwnd == MSS
    assert not info.total_retrans
    before = sink.received
    world.run_for(10 * SECOND)
    segments = (sink.received - before) // MSS
    # One in an RTO, which is a little more than the round trip and 200 ms.
    assert 10 * SECOND // (info.rto * 1000 + RTT) - 1 <= segments <= 10 * SECOND // (200 * MS)


def test_a_slow_application_does_not_gather_a_window() -> None:
    world = path(queue_bytes=BDP)
    client, server = world.connect()
    world.b.run(Sink(server))
    # 10 Mbit/s, in writes of 10,000 bytes each 8 ms: 50,000 bytes in a round trip.
    world.a.run(Source(client, 1 << 40, chunk=10_000, rate_bps=10_000_000))
    world.run_for(20 * SECOND)
    assert client.info().snd_cwnd < 3 * 50_000


def test_a_slow_reader_does_not_let_the_window_grow() -> None:
    world = path(config=Config(recv_buffer=50_000), queue_bytes=BDP)
    client, _ = bulk(world)
    world.run_for(10 * SECOND)
    assert client.info().snd_cwnd < 3 * 50_000


def test_after_a_pause_the_window_is_smaller_and_comes_back_soon() -> None:
    world = path(queue_bytes=4 * BDP)
    client, server = world.connect()
    sink = Sink(server)
    world.b.run(sink)
    world.a.run(Source(client, 20_000_000, finish="keep"))
    world.run_until(lambda: sink.received == 20_000_000, 10 * SECOND)
    before = client.info()
    world.run_for(10 * SECOND)
    world.a.run(Source(client, 20_000_000, finish="keep"))
    world.flush()
    after = client.info()
    assert after.snd_cwnd == 10 * MSS
    assert after.snd_ssthresh >= before.snd_cwnd * 3 // 4
    started = world.now
    sink.received = 0
    world.run_until(lambda: sink.received == 20_000_000, 10 * SECOND)
    # 20 MB are 1.66 s of the link; slow start takes some round trips of 40 ms.
    assert world.now - started < 2.2 * SECOND


def test_cubic_beside_reno() -> None:
    """Two flows over one bottleneck, each with a fair part of it over a minute."""
    rate = 20_000_000
    bdp = rate * RTT // SECOND // 8
    world = World(5, trace=False)
    link = LinkConfig(rate_bps=rate, delay_ns=RTT // 2, queue_bytes=bdp)
    there, _ = world.link("cubic", "server", link, LinkConfig(delay_ns=RTT // 2))
    world.link("reno", "server", link, LinkConfig(delay_ns=RTT // 2))
    world.network.route("reno", "server", there)
    sinks: dict[Hashable, Sink] = {}
    server = world.add("server", endpoint(world, Config()))
    server.endpoint.listen()
    server.on_accept = lambda conn: server.run(sinks.setdefault(conn.addr, Sink(conn)))
    for name in ("cubic", "reno"):
        host = world.add(name, endpoint(world, Config(congestion_control=name)))
        host.run(Source(host.endpoint.connect(world.now, "server"), 1 << 40))
    world.run_for(60 * SECOND)
    share = {name: sink.received * 8 / 60 / (rate * MSS / 1500) for name, sink in sinks.items()}
    assert sum(share.values()) > 0.93
    assert all(0.25 < part < 0.75 for part in share.values()), share


def endpoint(world: World, config: Config) -> Endpoint:
    return Endpoint(config, world.random.randbytes(32), path_mtu=1500)
