"""Receive-buffer auto-tuning: what windows grow to, and what they do not."""

from __future__ import annotations

from typing import Final

from utcp.config import Config
from utcp.core import Connection
from utcp.testing import MS, SECOND, App, LinkConfig, Pair, Sink, Source, pair

KIB: Final = 1024
MIB: Final = 1024 * KIB


class Drain(App):
    """Reads all there is, and counts it."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.received = 0

    def act(self, now: int, events: int) -> None:
        self.received += len(self.conn.read())
        self.progress = self.received


def stream(link: LinkConfig, config: Config | None = None, *, rate: int = 0) -> tuple[Pair, Drain]:
    """A stream without end from "a" to "b", which reads it."""
    world = pair(5, config=config, link=link, path_mtu=link.mtu, trace=False)
    client, server = world.connect()
    drain = Drain(server)
    world.b.run(drain)
    chunk = 2000 if rate else 256 * KIB
    world.a.run(Source(client, 1 << 40, finish="keep", chunk=chunk, rate_bps=rate))
    return world, drain


def test_one_gigabit_over_100_ms_fills_by_default() -> None:
    """1 Gbit/s, 100 ms, queue of one bandwidth-delay product, no loss, default Config.

    With segments of 30,000 bytes, so that it takes few seconds of real time; with 1,500 it is the
    same.
    """
    mtu = 30_000
    link = LinkConfig(rate_bps=1_000_000_000, delay_ns=50 * MS, queue_bytes=12_500_000, mtu=mtu)
    world, drain = stream(link)
    world.run_for(10 * SECOND)
    before = drain.received
    world.run_for(4 * SECOND)
    payload_share = (mtu - 52) / mtu
    assert drain.received - before > 0.9 * 4 * 125_000_000 * payload_share


def test_it_begins_small_and_doubles_ahead_of_the_sender() -> None:
    world, drain = stream(
        LinkConfig(rate_bps=200_000_000, delay_ns=50 * MS, queue_bytes=2_500_000, mtu=1500)
    )
    conn = drain.conn
    assert conn.info().rcv_space == 256 * KIB
    spaces = []
    for _ in range(10):
        world.run_for(100 * MS)
        spaces.append(conn.info().rcv_space)
        # The window never holds the sender back.
        client = world.a.connections[0].info()
        assert client.snd_wnd > client.snd_cwnd or client.unacked < client.snd_wnd
    assert spaces == sorted(spaces)
    assert spaces[-1] > 4 * 2_500_000


def test_a_slow_sender_leaves_it_as_it_is() -> None:
    link = LinkConfig(delay_ns=10 * MS, mtu=1500)
    world, drain = stream(link, rate=8_000_000)
    world.run_for(5 * SECOND)
    assert drain.received > 4_500_000
    # 1 MB/s over 20 ms are 20,000 bytes.
    assert drain.conn.info().rcv_space == 256 * KIB


def test_a_reader_that_does_not_read_gets_no_more_than_the_beginning() -> None:
    world = pair(5, link=LinkConfig(delay_ns=20 * MS), trace=False)
    client, server = world.connect()
    world.a.run(Source(client, 1 << 40, finish="keep"))
    world.run_for(10 * SECOND)
    assert server.info().rcv_space == 256 * KIB
    assert 128 * KIB < server.readable <= 256 * KIB


def test_never_beyond_the_config() -> None:
    link = LinkConfig(rate_bps=1_000_000_000, delay_ns=20 * MS, queue_bytes=5_000_000, mtu=9000)
    world, drain = stream(link, Config(recv_buffer=1 * MIB))
    world.b.recv_buffer = 1 * MIB
    world.run_for(3 * SECOND)
    assert drain.conn.info().rcv_space == 1 * MIB
    assert drain.conn.info().rcv_wscale == 5


def test_the_window_scale_is_that_of_the_maximum() -> None:
    world = pair(5)
    client, server = world.connect()
    assert client.info().rcv_wscale == server.info().rcv_wscale == 10
    assert Config().recv_buffer <= 0xFFFF << 10


def test_it_knows_the_socket_on_a_short_path() -> None:
    world = pair(5, link=LinkConfig(delay_ns=10_000), trace=False)
    world.b.endpoint.burst_capacity = 100_000
    client, server = world.connect()
    assert server.info().rcv_space == 100_000
    world.b.run(Drain(server))
    world.a.run(Source(client, 50 * MIB, finish="keep"))
    world.run_for(SECOND)
    assert server.info().rcv_space == 100_000
    # On a long one the socket is emptied while the window is on its way.
    world = pair(5, link=LinkConfig(rate_bps=100_000_000, delay_ns=20 * MS), trace=False)
    world.b.endpoint.burst_capacity = 100_000
    client, server = world.connect()
    world.b.run(Drain(server))
    world.a.run(Source(client, 50 * MIB, finish="keep"))
    world.run_for(SECOND)
    assert server.info().rcv_space > MIB


def test_without_timestamps_and_without_scaling() -> None:
    link = LinkConfig(rate_bps=100_000_000, delay_ns=20 * MS, queue_bytes=500_000, mtu=1500)
    world, drain = stream(link, Config(timestamps=False))
    world.run_for(2 * SECOND)
    assert drain.conn.info().rcv_space > MIB
    world, drain = stream(link, Config(window_scaling=False))
    world.run_for(2 * SECOND)
    assert drain.conn.info().rcv_space == 0xFFFF


def test_the_send_buffer_grows_with_the_window() -> None:
    link = LinkConfig(rate_bps=1_000_000_000, delay_ns=20 * MS, queue_bytes=5_000_000, mtu=9000)
    world, drain = stream(link, Config(send_buffer=4 * MIB))
    client = world.a.connections[0]
    assert client.sndbuf == 256 * KIB
    world.run_for(2 * SECOND)
    assert client.sndbuf == 4 * MIB < 2 * client.info().snd_cwnd
    assert client.buffered <= 4 * MIB + 512 * KIB
    assert drain.received


def test_a_sink_that_reads_slowly_is_given_what_it_uses() -> None:
    world = pair(5, link=LinkConfig(delay_ns=20 * MS), trace=False)
    client, server = world.connect()
    sink = Sink(server, 1 << 40, rate_bps=8_000_000)
    world.b.run(sink)
    world.a.run(Source(client, 1 << 40, finish="keep"))
    world.run_for(5 * SECOND)
    # 1 MB/s over 40 ms are 40,000 bytes, about what there is at the beginning.
    assert server.info().rcv_space < 512 * KIB
    assert sink.received > 4_000_000
