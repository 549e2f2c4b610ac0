"""Segment text (RFC 9293 §3.10.7.4 step 7): whatever order, whatever overlap, and the FIN."""

from __future__ import annotations

import itertools

import pytest

from tests.script.peers import client, plain
from utcp.core import State, events
from utcp.core.segment import ACK
from utcp.testing import encode_segment


@pytest.mark.rfc("SHLD-31")
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_any_order_of_four_segments_and_a_fin(order: tuple[int, ...]) -> None:
    texts = [
        ". 1:101(100) ack 1",
        ". 101:201(100) ack 1",
        ". 201:251(50) ack 1",
        "F. 251:301(50) ack 1",
    ]
    with client() as s:
        for i in order:
            s.inject(texts[i])
        s.advance(ms=40)
        assert s.take()[-1].ack32 == (s.peer_iss + 302) & 0xFFFF_FFFF
        s.expect_state(State.CLOSE_WAIT)
        assert s.read() == s.payload(1, 301)
        assert s.conn.at_eof
        assert s.take_events() & events.EOF


def test_of_overlapping_data_the_first_stands() -> None:
    with client() as s:
        s.inject(". 101:201(100) ack 1", data=b"A" * 100)
        # The segment that fills the hole says something else about what is held already ...
        s.inject(". 1:151(150) ack 1", data=b"B" * 150)
        assert s.read() == b"B" * 100 + b"A" * 100
        # ... and so does one that covers two held ranges and the holes around them.
        s.inject(". 211:221(10) ack 1", data=b"C" * 10)
        s.inject(". 231:241(10) ack 1", data=b"D" * 10)
        s.inject(". 201:251(50) ack 1", data=b"E" * 50)
        assert s.read() == b"E" * 10 + b"C" * 10 + b"E" * 10 + b"D" * 10 + b"E" * 10
        # What has been read already cannot change either.
        s.inject(". 241:261(20) ack 1", data=b"F" * 20)
        assert s.read() == b"F" * 10
        s.take()


def test_text_beyond_the_window_is_cut_off() -> None:
    with client(plain(recv_buffer=2048)) as s:
        s.inject(". 1:1461(1460) ack 1")
        s.inject(". 1461:2921(1460) ack 1")
        s.expect(". 1:1(0) ack 2049 win 0")
        assert s.read() == s.payload(1, 2049)
        s.expect(". 1:1(0) ack 2049 win 2048")


def test_a_fin_beyond_the_window_is_not_taken() -> None:
    with client(plain(recv_buffer=2048)) as s:
        s.inject(". 1:1461(1460) ack 1")
        s.inject("F. 1461:2921(1460) ack 1")
        s.expect(". 1:1(0) ack 2049 win 0")
        s.expect_state(State.ESTABLISHED)
        s.read()
        s.expect(". 1:1(0) ack 2049 win 2048")
        s.inject("F. 2049:2921(872) ack 1")
        s.expect(". 1:1(0) ack 2922")
        s.expect_state(State.CLOSE_WAIT)


def test_a_fin_that_comes_early_waits_for_the_hole() -> None:
    with client() as s:
        s.inject("F. 101:101(0) ack 1")
        s.expect(". 1:1(0) ack 1")
        s.expect_state(State.ESTABLISHED)
        s.inject(". 1:101(100) ack 1")
        s.expect(". 1:1(0) ack 102")
        s.expect_state(State.CLOSE_WAIT)
        assert len(s.read()) == 100


def test_beyond_a_fin_there_is_nothing() -> None:
    with client() as s:
        s.inject("F. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 12")
        s.inject(". 12:22(10) ack 1")
        s.take()
        assert len(s.read()) == 10
        assert s.conn.at_eof
    with client() as s:
        s.inject("F. 11:21(10) ack 1")
        s.inject(". 1:41(40) ack 1")
        s.take()
        assert s.read() == s.payload(1, 21)
        s.expect_state(State.CLOSE_WAIT)


def test_a_fin_is_taken_once() -> None:
    with client() as s:
        s.inject("F. 1:1(0) ack 1")
        s.expect(". 1:1(0) ack 2")
        s.inject("F. 1:1(0) ack 1")
        s.expect(". 1:1(0) ack 2")
        s.expect_state(State.CLOSE_WAIT)


def test_one_byte_at_a_time_backwards() -> None:
    with client() as s:
        for seq in range(500, 0, -1):
            s.inject(f". {seq}:{seq + 1}(1) ack 1")
        assert s.read() == s.payload(1, 501)
        assert len(s.take()) == 500


def test_what_is_out_of_order_survives_the_buffer_it_came_in() -> None:
    with client() as s:
        buffer = bytearray(64)
        for seq in (6, 1):
            data = encode_segment(
                ACK, s.peer_iss + seq, (s.iss or 0) + 1, 65_535, [], s.payload(seq, seq + 5)
            )
            buffer[: len(data)] = data
            s.endpoint.receive(s.now, s.peer, buffer, len(data))
            s.endpoint.settle()
            buffer[:] = bytes(64)
        assert s.read() == s.payload(1, 11)
        s.take()
