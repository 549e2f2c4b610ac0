"""The connection as its user sees it: questions, commands, events."""

from __future__ import annotations

import pytest

from tests.script.peers import PLAIN, client, plain
from utcp.config import Config
from utcp.core import Reason, State, events, tuning
from utcp.core.pmtu import MIN_MSS, mss_for
from utcp.core.segment import TIMESTAMPS_SIZE


@pytest.mark.rfc("MUST-67")
@pytest.mark.parametrize(
    ("mtu", "ipv6", "limit", "mss"),
    [
        (1500, False, 0, 1460),
        (1500, True, 0, 1440),
        (65_536, False, 0, 65_495),
        (65_536, True, 0, 65_476),
        (1 << 20, True, 0, 65_515),
        (1 << 20, False, 0, 65_495),
        (1500, False, 1000, 1000),
        (1000, False, 1400, 960),
        (68, False, 0, MIN_MSS + TIMESTAMPS_SIZE),
    ],
)
def test_the_mss_for_a_path(mtu: int, ipv6: bool, limit: int, mss: int) -> None:
    assert mss_for(mtu, ipv6, Config(max_segment_size=limit)) == mss
    # RFC 768: a datagram's payload, of which twelve bytes are the header.
    assert mss + 12 <= (65_527 if ipv6 else 65_507)


def test_buffered_unsent_and_room() -> None:
    with client(plain(initial_window=2), win=60_000) as s:
        conn = s.conn
        assert (conn.buffered, conn.unsent) == (0, 0)
        s.write(5000)
        assert (conn.buffered, conn.unsent) == (5000, 5000 - 2920)
        s.inject(". 1:1(0) ack 1461 win 60000")
        assert conn.buffered == 5000 - 1460
        assert conn.sndbuf == 256 << 10
        s.take()
        s.inject(". 1:1(0) ack 5001 win 60000")
        s.take()
        s.inject(". 1:1(0) ack 5001 win 60000")
    with client(plain(send_buffer=2048)) as s:
        assert s.conn.sndbuf == 2048


def test_watch_writable_is_answered_at_once_if_there_is_room() -> None:
    with client() as s:
        s.conn.watch_writable(0)
        s.write(b"")
        assert s.take_events() == events.WRITABLE
        assert s.take_events() == 0


def test_writing_when_it_makes_no_sense() -> None:
    with client() as s:
        with pytest.raises(TypeError):
            s.conn.write("text")
        s.write_eof()
        s.expect("F. 1:1(0) ack 1")
        with pytest.raises(BrokenPipeError):
            s.conn.write(b"x")
        s.write_eof()
        s.abort()
        s.take()
        with pytest.raises(BrokenPipeError):
            s.conn.write(b"x")
    with client() as s:
        s.abort()
        s.take()
        with pytest.raises(ConnectionError):
            s.conn.write(b"x")


def test_the_fin_of_a_close_may_wait_for_the_last_bytes() -> None:
    with client() as s:
        s.conn.close(more=True)
        s.expect_nothing()
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        s.write_eof()
        s.expect("F. 11:11(0) ack 1")
        with pytest.raises(BrokenPipeError):
            s.conn.write(b"x")
    with client() as s:
        s.conn.close(more=True)
        s.inject("P. 1:11(10) ack 1")  # RFC 9293 §3.6.1 (SHLD-3): nobody will read it
        s.expect("R. 1:1(0) ack 1")
        s.expect_state(State.CLOSED)
    with client() as s:
        s.inject("P. 1:11(10) ack 1")
        s.take()
        s.conn.close(more=True)
        s.expect_state(State.CLOSED)
        assert s.conn.reason is Reason.ABORTED


def test_what_has_arrived_can_be_read_after_the_end() -> None:
    with client() as s:
        s.inject("P. 1:11(10) ack 1")
        s.inject("R 11:11(0)")
        s.expect_state(State.CLOSED)
        assert s.conn.reason is Reason.RESET
        assert s.conn.readable == 10
        assert s.read() == s.payload(1, 11)
        assert s.read() == b""
        assert s.take_events() & events.CLOSED


def test_reading_in_pieces_and_into_a_buffer() -> None:
    with client() as s:
        s.inject("P. 1:101(100) ack 1")
        s.take()
        assert s.read(10) == s.payload(1, 11)
        assert s.read(0) == b""
        buffer = bytearray(50)
        assert s.conn.read_into(buffer) == 50
        assert buffer == s.payload(11, 61)
        assert s.conn.read_into(memoryview(buffer)[:20]) == 20
        assert s.read() == s.payload(81, 101)
        assert s.conn.read_into(buffer) == 0
        s.advance(ms=40)
        s.take()


def test_events_come_once() -> None:
    with client() as s:
        s.inject("P. 1:11(10) ack 1")
        assert s.take_events() == events.READABLE
        s.inject("FP. 11:21(10) ack 1")
        assert s.take_events() == events.READABLE | events.EOF
        assert not s.conn.at_eof
        s.read()
        assert s.conn.at_eof
        s.close()
        s.inject(". 22:22(0) ack 2")
        assert s.take_events() == events.FINISHED | events.CLOSED
        assert s.conn.reason is Reason.CLOSED
        s.take()


def test_info_counts_bytes_and_names_what_was_agreed() -> None:
    options = "mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 3"
    with client(Config(), options=options, flags="SE.") as s:
        info = s.conn.info()
        assert info.options == ("timestamps", "sack", "wscale", "ecn")
        assert (info.state, info.snd_wscale, info.snd_mss, info.rcv_mss) == (
            "ESTABLISHED", 3, 1448, 1460,
        )  # fmt: skip
        s.write(100)
        assert s.conn.info().unacked == 100
        s.inject("P. 1:11(10) ack 101 win 1000 <nop,nop,TS val 2 ecr 1>")
        info = s.conn.info()
        assert (info.bytes_sent, info.bytes_acked, info.bytes_received) == (100, 100, 10)
        assert (info.unacked, info.notsent_bytes, info.rtt) == (0, 0, 100_000 - 100_000 // 8)
        s.advance(ms=40)
        s.take()
    with client(PLAIN) as s:
        assert s.conn.info().options == ()


def test_the_window_stays_within_what_the_socket_holds_on_a_fast_path() -> None:
    with client(plain(recv_buffer=60_000)) as s:
        s.conn.burst_capacity = 10_000
        tuning.tune(s.conn, s.now, -1)
        assert s.conn.info().rcv_space == 60_000  # 100 ms away
        s.conn.snd.rtt.min_rtt_ns = 999_999
        tuning.tune(s.conn, s.now, -1)
        assert s.conn.info().rcv_space == 10_000
    with client(plain(recv_buffer=60_000), path_mtu=65_536) as s:
        s.conn.burst_capacity = 10_000
        tuning.tune(s.conn, s.now, -1)
        assert s.conn.info().rcv_space == 10_000  # within a busy host
