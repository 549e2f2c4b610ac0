"""The receiver alone: acceptability, timestamps, text, the window it offers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.core.receiver import Receiver, window_scale
from utcp.testing import ReassemblyModel

IRS = 5000
DAY_NS = 86_400 * 10**9


def receiver(capacity: int = 1000, wscale: int = 0) -> Receiver:
    rcv = Receiver(capacity, 100)
    rcv.rcv_wscale = wscale
    rcv.start(IRS)
    return rcv


@pytest.mark.parametrize(
    ("window", "seq", "length", "expected"),
    [
        # RFC 9293 §3.10.7.4 step 1, Table 6, with RCV.NXT = 0 and RCV.WND = window.
        (0, 0, 0, True),
        (0, 1, 0, False),
        (0, -1, 0, False),
        (0, 0, 1, False),
        (0, -1, 2, False),
        (1000, 0, 0, True),
        (1000, 999, 0, True),
        (1000, 1000, 0, False),
        (1000, -1, 0, False),
        (1000, 0, 1, True),
        (1000, 999, 1, True),
        (1000, 999, 500, True),
        (1000, 1000, 1, False),
        (1000, -10, 10, False),
        (1000, -10, 11, True),
        (1000, -10, 1010, True),
        (1000, -10, 1011, False),
    ],
)
def test_table_6(window: int, seq: int, length: int, expected: bool) -> None:
    rcv = receiver(window)
    assert rcv.acceptable(rcv.rcv_nxt + seq, length) is expected


def test_paws_and_ts_recent() -> None:
    rcv = receiver()
    rcv.ts_recent, rcv.ts_recent_at = 0xFFFF_FFF0, 0
    assert rcv.paws_reject(0xFFFF_FFEF, 1)
    assert not rcv.paws_reject(0xFFFF_FFF0, 1)
    assert not rcv.paws_reject(5, 1)  # the clock of the peer has wrapped
    assert not rcv.paws_reject(0x7FFF_FFEF, 1)
    assert rcv.paws_reject(0x7FFF_FFF0, 1)
    assert rcv.paws_reject(0x7FFF_FFF0, 24 * DAY_NS - 1)
    assert not rcv.paws_reject(0x7FFF_FFF0, 24 * DAY_NS)
    rcv.note_timestamp(rcv.last_ack_sent + 1, 7, 2)
    assert rcv.ts_recent == 0xFFFF_FFF0
    rcv.note_timestamp(rcv.last_ack_sent, 7, 2)
    assert (rcv.ts_recent, rcv.ts_recent_at) == (7, 2)


def test_paws_looks_back_to_the_first_hole_but_not_for_ever() -> None:
    rcv = receiver(1 << 30)
    rcv.ts_recent, rcv.ts_recent_at = 1000, 0
    rcv.text(rcv.rcv_nxt + 10, b"held")
    rcv.ts_recent = 2000
    assert not rcv.paws_reject(1000, 1)
    assert rcv.paws_reject(999, 1)
    rcv.note_timestamp(rcv.last_ack_sent, 1500, 2)
    assert rcv.ts_recent == 2000
    # RFC 7323 §5.4 (a): what sequence numbers can mistake for new was sent 2^31 bytes earlier.
    rcv.rcv_nxt += (1 << 30) - 1
    assert not rcv.paws_reject(1000, 1)
    rcv.rcv_nxt += 1
    assert rcv.paws_reject(1000, 1)
    assert not rcv.paws_reject(2000, 1)


@pytest.mark.parametrize(
    ("capacity", "shift"),
    [(2048, 0), (65_535, 0), (65_536, 1), (131_070, 1), (131_072, 2), (4 << 20, 7), (1 << 30, 14)],
)
def test_window_scale(capacity: int, shift: int) -> None:
    assert window_scale(capacity) == shift


@pytest.mark.rfc("MUST-39")
def test_an_update_is_due_at_a_segment_or_half_of_the_buffer() -> None:
    rcv = receiver(1000)
    rcv.text(rcv.rcv_nxt, bytes(100))
    rcv.text(rcv.rcv_nxt, bytes(880))
    assert rcv.offer_window() == 20
    rcv.buffer.read(99)
    assert not rcv.window_update_due()
    rcv.buffer.read(1)
    assert rcv.window_update_due()
    assert rcv.offer_window() == 120
    # With a segment's worth of window the peer is not stopped: the next update is for the half.
    rcv.buffer.read(499)
    assert not rcv.window_update_due()
    rcv.buffer.read(1)
    assert rcv.window_update_due()


@pytest.mark.rfc("SHLD-19")
def test_an_ack_is_due_for_two_segments() -> None:
    rcv = receiver(10_000)
    rcv.text(rcv.rcv_nxt, bytes(80))
    assert not rcv.ack_due()
    rcv.text(rcv.rcv_nxt, bytes(119))
    assert rcv.rcv_mss == 100
    assert not rcv.ack_due()
    rcv.text(rcv.rcv_nxt, bytes(1))
    assert rcv.ack_due()


def test_no_larger_than_the_socket() -> None:
    rcv = receiver(10_000)
    rcv.limit(2000)
    # What was offered stands; it only does not grow any more.
    assert rcv.offer_window() == 10_000
    rcv.text(rcv.rcv_nxt, bytes(9000))
    assert rcv.offer_window() == 1000
    rcv.buffer.read()
    assert rcv.offer_window() == 2000
    rcv.limit(3000)
    assert rcv.capacity == 2000


def test_made_smaller_and_larger_again() -> None:
    rcv = receiver(10_000)
    rcv.resize(2000)
    assert rcv.capacity == 2000
    rcv.resize(32_768)
    assert rcv.capacity == 32_768  # what a new connection would begin with
    rcv.resize(16 << 20)
    assert rcv.capacity == 256 << 10
    rcv.capacity = 1 << 20  # has grown
    rcv.resize(2 << 20)
    assert rcv.capacity == 1 << 20


PIECES = st.lists(st.tuples(st.integers(-50, 300), st.integers(1, 120), st.booleans()), max_size=40)


@pytest.mark.rfc("SHLD-31")
@given(pieces=PIECES)
def test_text_of_any_order_and_overlap(pieces: list[tuple[int, int, bool]]) -> None:
    rcv = receiver(400)
    model = ReassemblyModel(0)
    read = bytearray()
    expected = bytearray()
    for generation, (at, size, reading) in enumerate(pieces):
        data = bytes((generation,)) * size
        start = max(at, 0)
        stop = min(at + size, rcv.rcv_adv - IRS - 1)
        taken = rcv.text(IRS + 1 + at, memoryview(data))
        if start < stop:
            model.insert(start, data[start - at : stop - at])
        got = model.read()
        assert taken == len(got)
        expected += got
        rcv.buffer.settle()
        if reading:
            read += rcv.buffer.read()
            rcv.offer_window()
    read += rcv.buffer.read()
    assert read == expected
    assert rcv.total == len(expected) == rcv.rcv_nxt - IRS - 1


@pytest.mark.rfc("SHLD-14", "MUST-1", "MUST-39")
@given(
    capacity=st.sampled_from([2048, 65_535, 70_000, 200_000]),
    sizes=st.lists(st.integers(1, 100), min_size=50, max_size=300),
    reading=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_the_edge_only_moves_right(capacity: int, sizes: list[int], reading: float) -> None:
    shift = window_scale(capacity)
    rcv = Receiver(capacity, 100)
    rcv.rcv_wscale = shift
    rcv.start(IRS)
    edge = rcv.rcv_adv
    for size in sizes:
        for _ in range(capacity // 4096 + 1):
            room = min(size, edge - rcv.rcv_nxt)
            rcv.text(rcv.rcv_nxt, bytes(room))
            rcv.buffer.read(int(rcv.buffer.size * reading))
            field = rcv.offer_window()
            assert 0 <= field <= 0xFFFF
            assert rcv.rcv_nxt + (field << shift) >= edge
            edge = rcv.rcv_nxt + (field << shift)
            assert rcv.rcv_adv == edge
            assert rcv.buffer.size + (field << shift) <= capacity
