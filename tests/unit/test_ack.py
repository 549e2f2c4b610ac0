"""One acknowledgment on its way through window, flight, round trip, loss and congestion control."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.config import Config
from utcp.core import Connection, Endpoint, State, ack, events, timers
from utcp.core.segment import ACK, SYN
from utcp.core.timers import NEVER
from utcp.testing import MS, SECOND, encode_segment

MSS = 1000


def connection(**settings: object) -> Connection:
    """Established, with an initial window of ten segments of 1,000 bytes and a huge peer window."""
    config = Config(timestamps=False, window_scaling=False, ecn=False, **settings)  # type: ignore[arg-type]
    endpoint = Endpoint(config, bytes(16))
    conn = endpoint.connect(SECOND, "peer")
    endpoint.poll_transmit(SECOND)
    options = [(2, MSS.to_bytes(2, "big")), (4, b"")]
    data = encode_segment(SYN | ACK, 100, conn.snd.iss + 1, 65_535, options)
    endpoint.receive(SECOND + 100 * MS, "peer", data, len(data))
    while endpoint.poll_transmit(SECOND + 100 * MS) is not None:
        pass
    assert conn.state is State.ESTABLISHED
    conn.take_events()
    conn.agenda.ready.clear()
    conn.announced = False
    return conn


def send(conn: Connection, segments: int, now: int = 2 * SECOND) -> None:
    """So many segments leave now."""
    snd = conn.snd
    snd.buffer.append(bytes(segments * MSS))
    for _ in range(segments):
        snd.flight.sent(snd.snd_nxt, snd.snd_nxt + MSS, now)
        snd.snd_nxt += MSS
    conn.timers[timers.RTO] = now + snd.rtt.rto_ns
    conn.queued = False


def acknowledge(
    conn: Connection,
    acked: int,
    now: int = 2 * SECOND + 100 * MS,
    *,
    seq: int = 101,
    wnd: int = 65_535,
    length: int = 0,
    sack: list[tuple[int, int]] | None = None,
) -> None:
    """`acked` and the blocks count from our first byte."""
    base = conn.snd.iss + 1
    blocks = [((base + a) & 0xFFFF_FFFF, (base + b) & 0xFFFF_FFFF) for a, b in sack or ()]
    ack.process(conn, now, seq, base + acked, wnd, length, False, blocks)


def test_what_is_acknowledged_is_released() -> None:
    conn = connection()
    send(conn, 3)
    acknowledge(conn, 1500)
    assert conn.snd.snd_una == conn.snd.iss + 1 + 1500
    assert conn.buffered == 1500
    assert conn.snd.flight.una == conn.snd.snd_una
    assert conn.snd.rtt.srtt_ns == 100 * MS


def test_the_timer_runs_while_something_is_in_flight() -> None:
    # RFC 6298 §5 (5.2), (5.3)
    conn = connection()
    send(conn, 2)
    due = conn.timers[timers.RTO]
    acknowledge(conn, 0, length=5)
    assert conn.timers[timers.RTO] == due
    now = 2 * SECOND + 150 * MS
    acknowledge(conn, 1000, now)
    assert conn.timers[timers.RTO] == now + conn.snd.rtt.rto_ns
    acknowledge(conn, 2000, now)
    assert conn.timers[timers.RTO] == NEVER


@pytest.mark.parametrize(
    ("length", "wnd", "duplicate"), [(0, 65_535, True), (1, 65_535, False), (0, 60_000, False)]
)
def test_what_a_duplicate_is(length: int, wnd: int, duplicate: bool) -> None:
    # RFC 5681 §2
    conn = connection(sack=False)
    send(conn, 5)
    acknowledge(conn, 0, length=length, wnd=wnd)
    assert conn.snd.loss.dup_acks == duplicate
    conn = connection(sack=False)
    acknowledge(conn, 0)
    assert conn.snd.loss.dup_acks == 0  # nothing is outstanding


def test_an_old_ack_moves_nothing_but_its_sacks_count() -> None:
    conn = connection()
    send(conn, 5)
    acknowledge(conn, 2000)
    acknowledge(conn, 1000, wnd=5, sack=[(3000, 4000)], seq=500)
    snd = conn.snd
    assert snd.snd_una == snd.iss + 1 + 2000
    assert snd.snd_wnd == 65_535
    assert snd.flight.sacked_bytes == 1000
    # Without SACK, it does nothing at all.
    acknowledge(conn, 1000, wnd=5, seq=600)
    assert snd.snd_wnd == 65_535


@given(
    blocks=st.lists(
        st.tuples(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-(1 << 31), (1 << 31) - 1)),
        max_size=4,
    ),
    acked=st.integers(0, 5000),
)
def test_no_sack_block_can_do_harm(blocks: list[tuple[int, int]], acked: int) -> None:
    conn = connection()
    send(conn, 5)
    acknowledge(conn, acked, sack=blocks)
    flight = conn.snd.flight
    assert 0 <= flight.pipe <= 5000
    assert 0 <= flight.sacked_bytes <= 5000 - acked


def test_a_window_that_opens_again() -> None:
    conn = connection()
    send(conn, 2)
    acknowledge(conn, 0, wnd=0)
    conn.snd.probe_due = True
    conn.snd.probes = 9
    conn.timers[timers.RTO] = 100 * SECOND
    now = 3 * SECOND
    acknowledge(conn, 1000, now, wnd=1000)
    assert (conn.snd.probe_due, conn.snd.probes) == (False, 0)
    assert conn.timers[timers.RTO] == now + conn.snd.rtt.rto_ns
    # What the window had dropped is to go again.
    assert conn.snd.flight.lost_bytes == 1000
    assert conn.queued


def test_writable_is_told_once() -> None:
    conn = connection(send_buffer=2048)
    send(conn, 5)
    conn.watch_writable(1000)
    acknowledge(conn, 1000)
    assert not conn.take_events() & events.WRITABLE
    acknowledge(conn, 2000)
    assert conn.take_events() & events.WRITABLE
    acknowledge(conn, 3000)
    assert not conn.take_events() & events.WRITABLE


@pytest.mark.rfc("MUST-20")
def test_only_progress_and_answered_probes_start_the_count_anew() -> None:
    conn = connection()
    send(conn, 2)
    conn.snd.retries = 3
    acknowledge(conn, 0)
    acknowledge(conn, 0, length=10)
    assert conn.snd.retries == 3
    acknowledge(conn, 1000)
    assert conn.snd.retries == 0
    conn.snd.retries = 3
    conn.snd.snd_wnd = 0
    conn.snd.probes = 3
    acknowledge(conn, 1000, wnd=0)
    assert conn.snd.retries == 0
