"""The first ACK of a connection, which waits for the first data if the driver wishes."""

from __future__ import annotations

import pytest

from utcp import Config
from utcp.core import Connection, Endpoint, State, events
from utcp.testing import SegmentView

MS = 1_000_000


def carry(source: Endpoint, target: Endpoint, name: str, now: int) -> list[SegmentView]:
    """Hand over what `source`, which is called `name`, has to send."""
    sent = []
    while (out := source.poll_transmit(now)) is not None:
        sent.append(SegmentView(out.data))
        target.receive(now, name, out.data, len(out.data), out.segment_size)
    return sent


def opened(*, await_data: bool) -> tuple[Endpoint, Endpoint, Connection]:
    """Two endpoints after SYN and SYN-ACK, and the client's connection."""
    client = Endpoint(Config(), bytes(16))
    server = Endpoint(Config(), bytes(range(16)))
    client.await_data = server.await_data = await_data
    server.listen()
    conn = client.connect(0, "server")
    carry(client, server, "client", MS)
    carry(server, client, "server", 2 * MS)
    assert conn.state is State.ESTABLISHED
    return client, server, conn


def test_it_leaves_at_once() -> None:
    client, server, _ = opened(await_data=False)
    [ack] = carry(client, server, "client", 3 * MS)
    assert not ack.payload
    assert server.state("client") is State.ESTABLISHED


@pytest.mark.parametrize("size", [1, 100])
def test_it_waits_for_data(size: int) -> None:
    client, server, conn = opened(await_data=True)
    assert not carry(client, server, "client", 3 * MS)
    conn.write(bytes(size))
    sent = carry(client, server, "client", 4 * MS)
    assert sum(len(segment.payload) for segment in sent) == size
    accepted = server.poll_ready()
    assert accepted is not None
    assert accepted.take_events() & (events.CONNECTED | events.READABLE)
    conn.acknowledge()
    assert not carry(client, server, "client", 5 * MS)


def test_it_leaves_when_the_application_has_nothing_to_say() -> None:
    client, server, conn = opened(await_data=True)
    conn.acknowledge()
    [ack] = carry(client, server, "client", 3 * MS)
    assert not ack.payload
    assert server.state("client") is State.ESTABLISHED
    conn.acknowledge()
    assert not carry(client, server, "client", 4 * MS)


def test_the_first_data_is_acknowledged_with_its_answer() -> None:
    client, server, conn = opened(await_data=True)
    conn.write(b"question")
    carry(client, server, "client", 3 * MS)
    assert not carry(server, client, "server", 3 * MS)
    accepted = server.poll_ready()
    assert accepted is not None
    accepted.write(accepted.read())
    accepted.acknowledge()
    [answer] = carry(server, client, "server", 4 * MS)
    assert answer.payload == b"question"
    assert conn.buffered == 0


def test_the_first_data_is_acknowledged_without_an_answer() -> None:
    client, server, conn = opened(await_data=True)
    conn.write(b"question")
    carry(client, server, "client", 3 * MS)
    accepted = server.poll_ready()
    assert accepted is not None
    accepted.acknowledge()
    [ack] = carry(server, client, "server", 4 * MS)
    assert not ack.payload
    assert conn.buffered == 0


def test_what_is_lost_or_more_than_two_segments_does_not_wait() -> None:
    client, server, conn = opened(await_data=True)
    conn.write(bytes(5000))
    carry(client, server, "client", 3 * MS)
    # RFC 9293 §3.8.6.3 (SHLD-19): at least every second full segment.
    assert carry(server, client, "server", 3 * MS)


def test_a_syn_ack_that_comes_again_is_answered() -> None:
    client, server, conn = opened(await_data=True)
    server.handle_timeout(2_000 * MS)
    carry(server, client, "server", 2_000 * MS)
    assert carry(client, server, "client", 2_000 * MS)
    assert conn.state is State.ESTABLISHED
    assert server.state("client") is State.ESTABLISHED


def test_what_was_written_before_leaves_with_it() -> None:
    client = Endpoint(Config(), bytes(16))
    server = Endpoint(Config(), bytes(range(16)))
    client.await_data = True
    server.listen()
    conn = client.connect(0, "server")
    conn.write(b"early")
    carry(client, server, "client", MS)
    carry(server, client, "server", 2 * MS)
    [first] = carry(client, server, "client", 3 * MS)
    assert first.payload == b"early"


def test_keepalive_runs_although_nothing_is_said() -> None:
    config = Config(keepalive=True)
    client = Endpoint(config, bytes(16))
    server = Endpoint(config, bytes(range(16)))
    server.await_data = True
    server.listen()
    client.connect(0, "server")
    carry(client, server, "client", MS)
    carry(server, client, "server", 2 * MS)
    carry(client, server, "client", 3 * MS)
    accepted = server.poll_ready()
    assert accepted is not None
    accepted.acknowledge()
    assert not carry(server, client, "server", 4 * MS)
    # The timers of the handshake are asked first, and have stopped.
    assert not server.overdue(10_000 * MS)
    assert server.poll_timeout() == 4 * MS + config.ns("keepalive_idle")


def test_who_wants_no_news_gets_none() -> None:
    client, server, conn = opened(await_data=False)
    assert client.poll_ready() is conn
    client.mute(conn)
    carry(client, server, "client", 3 * MS)
    accepted = server.poll_ready()
    assert accepted is not None
    accepted.write(b"news")
    carry(server, client, "server", 4 * MS)
    assert conn.readable
    assert client.poll_ready() is None
