"""Pacing: how a window is spread over the round trip, with exact times."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from tests.script.peers import RTT_MS, client, plain
from utcp.config import Config
from utcp.core.cc.reno import Reno
from utcp.testing import MS, SECOND, LinkConfig, Script, SegmentView, Sink, Source, pair

PACED = plain(pacing=True, congestion_control="reno")
MSS = 1460


def sizes(segments: list[SegmentView]) -> list[int]:
    return [len(segment.payload) for segment in segments]


def departures(s: Script, until_ms: float) -> list[tuple[float, int]]:
    """When segments leave, milliseconds, and how many at once."""
    found = []
    while s.now_ms < until_ms:
        try:
            s.expect(". *", within_ms=until_ms - s.now_ms)
        except AssertionError:
            break
        found.append((s.now_ms, 1 + len(s.take())))
    return found


def test_the_initial_window_leaves_at_once() -> None:
    with client(PACED) as s:
        s.write(100 * MSS)
        assert sizes(s.take()) == [MSS] * 10
        s.expect_nothing(for_ms=RTT_MS)


def test_slow_start_sends_at_twice_the_window_per_round_trip() -> None:
    with client(PACED) as s:
        s.write(1000 * MSS)
        s.take()
        s.advance(ms=RTT_MS)
        s.inject(f". 1:1(0) ack {1 + 10 * MSS}")
        # 20 segments are free to go: at 2 * 20 segments per 100 ms, two in 5 ms. The bucket has
        # filled meanwhile, by 2 ms.
        assert len(s.take()) == 2
        start = s.now_ms
        times = departures(s, start + 60)
        assert [count for _, count in times] == [2] * 9
        gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(times)]
        assert gaps == pytest.approx([5 * 1472 / 1460 * 1.0] * 8, rel=0.01)
        assert times[0][0] - start == pytest.approx(5 - 2, abs=0.1)
        # Half a round trip after it was opened the window is full.
        assert s.conn.info().unacked == 20 * MSS
        s.expect_nothing()


def test_an_ack_does_not_wait_for_the_pacer() -> None:
    with client(PACED) as s:
        s.write(1000 * MSS)
        s.take()
        s.advance(ms=RTT_MS)
        s.inject(f". 1:1(0) ack {1 + 10 * MSS}")
        assert len(s.take()) == 2
        at = s.now_ms
        for seq in (1, 1461):
            s.inject(f". {seq}:{seq + 1460}(1460) ack {1 + 10 * MSS}")
        s.expect(f". {1 + 12 * MSS}:{1 + 12 * MSS}(0) ack 2921", at_ms=at)
        s.abort()
        s.take()


def test_bursts_of_a_millisecond_on_a_fast_path() -> None:
    # 100 Mbit/s: 12,500 bytes, 8 segments, in a millisecond.
    # The ACKs come together, too, as interrupt moderation makes them.
    link = LinkConfig(rate_bps=100_000_000, delay_ns=20 * MS, queue_bytes=1_000_000, mtu=1500)
    back = LinkConfig(delay_ns=20 * MS, coalesce_ns=MS)
    world = pair(1, config=Config(congestion_control="reno"), link=link, back=back, trace=False)
    client_, server = world.connect()
    world.b.run(Sink(server, 1 << 40))
    world.a.run(Source(client_, 1 << 40, finish="keep"))
    world.run_for(SECOND)
    transmits = world.a.endpoint.counters.datagrams_out
    segments = world.a.endpoint.counters.segments_out
    world.run_for(SECOND)
    transmits = world.a.endpoint.counters.datagrams_out - transmits
    segments = world.a.endpoint.counters.segments_out - segments
    assert segments > 8000
    # No timer for each segment.
    assert 4 < segments / transmits < 40


def test_a_smoothed_round_trip_that_lags_does_not_hold_the_window_back() -> None:
    """After a loss the queue empties, and at once the window fits the shorter round trip."""
    link = LinkConfig(rate_bps=100_000_000, delay_ns=20 * MS, queue_bytes=500_000, mtu=1500)
    world = pair(1, config=Config(congestion_control="reno"), link=link, trace=False)
    client_, server = world.connect()
    sink = Sink(server, 1 << 40)
    world.b.run(sink)
    world.a.run(Source(client_, 1 << 40, finish="keep"))
    world.run_for(2 * SECOND)
    before = client_.info()
    wire = world.network.links["a", "b"]
    wire.config = dataclasses.replace(link, loss=0.02)
    world.run_for(20 * MS)
    wire.config = link
    # Fast recovery, and the queue empties.
    world.run_for(200 * MS)
    after = client_.info()
    assert after.snd_ssthresh < before.snd_ssthresh
    received = sink.received
    world.run_for(SECOND)
    assert sink.received - received > 0.95 * 12_500_000 * 1448 / 1500


def test_a_path_is_filled_through_a_queue_that_no_burst_of_a_window_fits_into() -> None:
    """A tenth of the bandwidth-delay product of queue: without pacing slow start overflows it with
    the first lump of a hundred segments."""

    def first_loss(pacing: bool) -> int:
        link = LinkConfig(rate_bps=100_000_000, delay_ns=50 * MS, queue_bytes=125_000)
        config = Config(congestion_control="reno", pacing=pacing)
        world = pair(1, config=config, link=link, trace=False)
        client_, server = world.connect()
        sink = Sink(server, 1 << 40)
        world.b.run(sink)
        world.a.run(Source(client_, 1 << 40, finish="keep"))
        stats = world.network.links["a", "b"].stats
        world.run_until(lambda: stats.overflowed, 60 * SECOND)
        return sink.received

    assert first_loss(True) > 2 * first_loss(False)


def test_no_pacing_where_the_round_trip_is_short() -> None:
    world = pair(1, link=LinkConfig(delay_ns=400_000))
    client_, _ = world.connect()
    assert not client_.snd.pacer.on
    world = pair(1, link=LinkConfig(delay_ns=500_000))
    client_, _ = world.connect()
    assert client_.snd.pacer.on


@pytest.mark.parametrize(("path_mtu", "on"), [(65_534, True), (65_535, False), (65_536, False)])
def test_no_pacing_within_a_host_that_is_too_busy_to_answer_soon(path_mtu: int, on: bool) -> None:
    with client(PACED, path_mtu=path_mtu) as s:
        assert s.conn.info().min_rtt == 100_000
        assert s.conn.snd.pacer.on is on


def test_off_by_config() -> None:
    with client(dataclasses.replace(PACED, pacing=False)) as s:
        assert not s.conn.snd.pacer.on


class Steady(Reno):
    """A controller with a rate of its own."""

    __slots__ = ()
    name = "steady"

    def __init__(self, mss: int, initial_window_segments: int) -> None:
        super().__init__(mss, initial_window_segments)
        self.cwnd = 1000 * mss
        self.pacing_rate = 1_472_000


def test_a_controller_may_set_the_rate() -> None:
    with client(PACED, win=65_535) as s:
        s.conn.snd.cc = Steady(MSS, 10)
        s.conn.snd.pacer.start(0)
        s.write(30 * MSS)
        # 1,472 bytes in a millisecond, two at a time.
        # Two bursts are in the bucket.
        assert len(s.take()) == 4
        times = departures(s, s.now_ms + 20.5)
        assert [count for _, count in times[1:]] == [2] * 9
        gaps = [round(later - earlier, 6) for (earlier, _), (later, _) in itertools.pairwise(times)]
        assert gaps == [2.0] * 9
        s.abort()
        s.take()
