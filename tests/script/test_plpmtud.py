"""Path MTU discovery with segments of data (RFC 8899): paths that change under a transfer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.script.peers import RTT_MS, client, plain
from utcp.config import Config
from utcp.testing import MS, SECOND, LinkConfig, Pair, Sink, Source, pair

LINK: Final = LinkConfig(rate_bps=20_000_000, delay_ns=20 * MS, queue_bytes=200_000, mtu=9000)


class Transfer:
    """Bytes from "a" to "b", for as long as is looked at it, over a path that may change."""

    def __init__(self, config: Config | None = None, *, link: LinkConfig = LINK) -> None:
        self.link = link
        self.world: Pair = pair(3, config=config, link=link, path_mtu=link.mtu, trace=False)
        self.client, server = self.world.connect()
        self.sink = Sink(server, 1 << 40)
        self.world.b.run(self.sink)
        self.world.a.run(Source(self.client, 1 << 40, finish="keep"))

    def change(self, mtu: int, *, icmp: bool) -> None:
        """From now on the path takes `mtu` bytes."""
        self.link = dataclasses.replace(self.link, mtu=mtu, report_too_big=icmp)
        self.world.link("a", "b", self.link)

    @property
    def pmtu(self) -> int:
        return self.client.info().pmtu

    def until(self, reached: Callable[[], object], limit_ns: int) -> int:
        """Run until something is true; how long that took, nanoseconds."""
        start = self.world.now
        self.world.run_until(reached, limit_ns)
        return self.world.now - start

    def received(self, ns: int) -> int:
        """How many bytes arrive in so much time."""
        before = self.sink.received
        self.world.run_for(ns)
        return self.sink.received - before


def test_a_path_that_stays_is_never_probed() -> None:
    t = Transfer()
    t.world.run_for(3 * SECOND)
    assert t.client.pmtu.probe_at > t.world.now + 1000 * SECOND
    assert t.pmtu == 9000


@pytest.mark.parametrize("real", [1500, 1400, 4000])
def test_a_path_that_shrinks_and_says_so(real: int) -> None:
    t = Transfer()
    t.world.run_for(2 * SECOND)
    t.change(real, icmp=True)
    # The router's message takes 20 ms to come back.
    assert t.until(lambda: t.pmtu == real, SECOND) < 200 * MS
    assert t.received(3 * SECOND) > 3 * 20_000_000 / 8 * 0.5


@pytest.mark.parametrize("real", [1500, 1400, 4000, 1280])
def test_a_path_that_shrinks_and_says_nothing_costs_two_time_outs(real: int) -> None:
    t = Transfer()
    t.world.run_for(2 * SECOND)
    t.change(real, icmp=False)
    at = t.sink.received
    in_flight = 2_000_000
    # The second time-out, and data flows again.
    assert t.until(lambda: t.pmtu == 1280, 5 * SECOND) < 2 * SECOND
    assert t.until(lambda: t.sink.received > at + in_flight, 10 * SECOND) < 5 * SECOND
    # Probing finds out what the path really takes.
    t.until(lambda: real - 8 < t.pmtu <= real and not t.client.pmtu.searching, 60 * SECOND)
    assert t.received(2 * SECOND) > 2 * 20_000_000 / 8 * 0.8


@pytest.mark.parametrize("size", [4000, 1400, 600])
def test_a_path_that_shrinks_below_a_segment_that_is_not_full(size: int) -> None:
    world = pair(3, link=LINK, path_mtu=LINK.mtu, trace=False)
    client, server = world.connect()
    world.link("a", "b", dataclasses.replace(LINK, mtu=size, report_too_big=False))
    client.write(bytes(size))
    world.run_until(lambda: server.readable == size, 20 * SECOND)


def test_a_path_below_the_base() -> None:
    t = Transfer()
    t.world.run_for(SECOND)
    t.change(700, icmp=False)
    t.until(lambda: t.pmtu == 552, 20 * SECOND)
    assert t.received(10 * SECOND) > 10 * 20_000_000 / 8 * 0.5
    assert t.pmtu == 552 or 692 < t.pmtu <= 700


def test_it_is_raised_again_when_the_path_allows() -> None:
    t = Transfer(Config(mtu_raise_interval=20.0))
    t.world.run_for(SECOND)
    t.change(1500, icmp=True)
    t.until(lambda: t.pmtu == 1500, SECOND)
    t.world.run_for(SECOND)
    link = t.world.network.links["a", "b"].stats
    before = link.too_big
    # Looked at again after 20 s: not yet. The router's message answers the probe.
    t.world.run_for(22 * SECOND)
    assert t.pmtu == 1500
    assert link.too_big == before + 1
    t.change(9000, icmp=True)
    t.until(lambda: t.pmtu == 9000, 22 * SECOND)
    assert t.client.pmtu.probe_at > t.world.now + 1000 * SECOND


def test_the_loss_of_a_probe_is_no_congestion() -> None:
    # A queue without end, and a receive window that keeps it short: no loss but that of probes.
    config = Config(mtu_raise_interval=20.0, recv_buffer=300_000)
    t = Transfer(config, link=dataclasses.replace(LINK, queue_bytes=1 << 30))
    t.change(1500, icmp=True)
    t.until(lambda: t.pmtu == 1500, 5 * SECOND)
    t.change(1500, icmp=False)
    t.world.run_for(10 * SECOND)
    before = t.client.info()
    counters = t.world.a.endpoint.counters
    resent = counters.retransmitted_segments
    t.until(lambda: t.client.pmtu.probed, 20 * SECOND)
    t.until(lambda: t.client.pmtu.probe_at > t.world.now + 10 * SECOND, 20 * SECOND)
    after = t.client.info()
    # Three probes of each size: 9,000 bytes, and then by halves down to where 1,500 is known.
    lost = t.world.network.links["a", "b"].stats.too_big
    assert lost == 3 * 11
    assert after.pmtu == 1500
    assert after.snd_ssthresh >= before.snd_ssthresh  # what any reduction would have set
    assert after.snd_ssthresh == before.snd_ssthresh
    assert counters.timeouts == 0
    # Nothing went twice but the bytes of the probes, in segments that the path takes.
    assert counters.retransmitted_segments - resent < lost * 7


def test_an_outage_costs_one_probe_afterwards() -> None:
    t = Transfer()
    t.world.run_for(SECOND)
    link = t.link
    t.link = dataclasses.replace(link, loss=1.0)
    t.world.link("a", "b", t.link)
    t.until(lambda: t.pmtu == 552, 20 * SECOND)
    t.world.link("a", "b", link)
    t.until(lambda: t.pmtu == 9000, 30 * SECOND)
    assert t.world.network.links["a", "b"].stats.too_big == 0


def test_it_can_be_turned_off() -> None:
    t = Transfer(Config(mtu_probing=False))
    t.world.run_for(SECOND)
    t.change(1500, icmp=False)
    t.world.run_for(20 * SECOND)
    assert t.pmtu == 9000


def test_ipv4_message_must_quote_what_is_in_flight() -> None:
    t = Transfer()
    t.world.run_for(SECOND)
    snd = t.client.snd
    endpoint = t.world.a.endpoint
    for seq in (snd.snd_una - 1, snd.snd_nxt + 1):
        quoted = bytes(4) + (seq & 0xFFFF_FFFF).to_bytes(4, "big") + bytes(4)
        endpoint.packet_too_big(t.world.now, "b", 1400, quoted)
        assert t.pmtu == 9000
    quoted = bytes(4) + (snd.snd_una & 0xFFFF_FFFF).to_bytes(4, "big") + bytes(4)
    endpoint.packet_too_big(t.world.now, "b", 1400, quoted)
    assert t.pmtu == 1400


PROBED: Final[dict[str, Any]] = {"mtu_probing": True, "mtu_raise_interval": 10.0, "sack": True}


def test_what_goes_again_of_a_lost_probe_is_no_proof() -> None:
    s = client(plain(**PROBED), options="mss 1460,sackOK", path_mtu=1280)
    s.at(ms=11_000)
    s.write(14_000)
    s.take()
    assert s.conn.pmtu.probed == 1500
    s.advance(ms=RTT_MS)
    s.inject(". 1:1(0) ack 1 win 0")  # the probe is dropped, and all behind it
    s.advance(ms=1000)
    s.take()
    s.inject(". 1:1(0) ack 1 win 65535")
    first, second = s.take()[:2]
    assert len(first.payload) == len(second.payload) == 1240
    s.advance(ms=RTT_MS)
    s.inject(f". 1:1(0) ack {second.seq32 + 1240 - s.conn.snd.iss}")
    assert s.conn.pmtu.low == 1280


def test_a_probe_whose_loss_one_sack_shows_is_no_congestion() -> None:
    s = client(plain(**PROBED, initial_window=8), options="mss 1460,sackOK", path_mtu=1280)
    snd = s.conn.snd
    mss = snd.mss
    snd.cc.ssthresh = snd.cc.cwnd
    s.at(ms=10_050)
    s.write(4 * mss)
    s.advance(ms=33)
    s.write(60_000)
    s.take()
    s.advance(ms=67)
    s.inject(f". 1:1(0) ack {1 + 2 * mss}")
    start, end = s.conn.pmtu.probe_start - snd.iss, s.conn.pmtu.probe_end - snd.iss
    assert end - start == 1460
    s.advance(ms=33)
    s.inject(f". 1:1(0) ack {1 + 4 * mss}")
    s.advance(ms=10)
    s.inject(f". 1:1(0) ack {start}")
    s.take()
    ssthresh = snd.cc.ssthresh
    s.advance(ms=90)
    again = []
    for count in range(1, 5):
        s.inject(f". 1:1(0) ack {start} <sack {end}:{end + count * mss}>")
        again += [seg for seg in s.take() if seg.seq32 - snd.iss == start]
    assert (s.conn.pmtu.low, s.conn.pmtu.probed) == (1280, 0)
    assert snd.cc.ssthresh == ssthresh
    assert len(again) == 1


@pytest.mark.parametrize("peer_mss", [1360, 536])
@pytest.mark.rfc("MUST-16")
def test_probes_after_a_black_hole_keep_to_the_peers_mss(peer_mss: int) -> None:
    s = client(plain(mtu_probing=True, sack=True), options=f"mss {peer_mss},sackOK", path_mtu=1500)
    snd = s.conn.snd
    s.write(60_000)
    while s.endpoint.counters.timeouts < 2:
        s.advance(ms=100)
    s.take()
    for _ in range(12):
        s.advance(ms=RTT_MS)
        s.inject(f". 1:1(0) ack {snd.snd_nxt - snd.iss}")
        s.write(30_000)
        assert max(len(seg.payload) for seg in s.take()) <= peer_mss
