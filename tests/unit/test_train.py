"""Trains are what a loop over their segments makes, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.core import train
from utcp.core.segment import ACK, PSH, TIMESTAMPS_WORD

SIZE = 600
COUNT = 9
HEAD = bytes((0x80, ACK, 1, 0))
LAST = bytes((0x80, ACK | PSH, 1, 0))
TAIL = b"ackn" + TIMESTAMPS_WORD.to_bytes(4, "big") + b"timeecho"
STRIDE = 24 + SIZE


def payload(size: int) -> bytes:
    return bytes(i * 7 & 0xFF for i in range(size))


def one_by_one(head: bytes, seq32: int, tail: bytes, data: bytes, size: int, count: int) -> bytes:
    return b"".join(
        head + (seq32 + i * size).to_bytes(4, "big") + tail + data[i * size : (i + 1) * size]
        for i in range(count)
    )


def whole() -> bytearray:
    return bytearray(one_by_one(HEAD, 1000, TAIL, payload(SIZE * COUNT), SIZE, COUNT))


@given(
    seq32=st.integers(0, (1 << 32) - 64 * 100),
    size=st.integers(1, 100),
    count=st.integers(1, 64),
    tail=st.binary(min_size=4, max_size=44),
    more=st.integers(0, 10),
)
def test_packed_as_one_by_one(seq32: int, size: int, count: int, tail: bytes, more: int) -> None:
    data = payload(size * count + more)
    packed = train.pack(HEAD, LAST, seq32, tail, memoryview(data), size, count)
    plain = bytearray(one_by_one(HEAD, seq32, tail, data, size, count))
    last = (count - 1) * (8 + len(tail) + size)
    plain[last : last + 4] = LAST
    assert packed == plain


@pytest.mark.parametrize("count", [train.LEAST, COUNT])
def test_unpacked(count: int) -> None:
    buf = memoryview(b"???" + whole())
    pieces = train.unpack(buf, 3, STRIDE, count)
    assert b"".join(pieces) == payload(SIZE * count)
    assert {len(piece) for piece in pieces} == {SIZE}


def test_the_last_one_may_be_pushed() -> None:
    buf = whole()
    buf[(COUNT - 1) * STRIDE + 1] ^= PSH
    assert b"".join(train.unpack(memoryview(buf), 0, STRIDE, COUNT)) == payload(SIZE * COUNT)


@pytest.mark.parametrize("field", range(24))
@pytest.mark.parametrize("segment", range(COUNT))
def test_a_field_that_differs(segment: int, field: int) -> None:
    buf = whole()
    buf[segment * STRIDE + field] ^= 1
    assert train.unpack(memoryview(buf), 0, STRIDE, COUNT) == ()


@pytest.mark.parametrize("segment", range(COUNT - 1))
def test_a_push_before_the_last(segment: int) -> None:
    buf = whole()
    buf[segment * STRIDE + 1] ^= PSH
    assert train.unpack(memoryview(buf), 0, STRIDE, COUNT) == ()


def test_numbers_that_wrap_are_no_train() -> None:
    buf = one_by_one(HEAD, (1 << 32) - 4 * SIZE, TAIL, payload(SIZE * 4), SIZE, 4)
    assert len(train.unpack(memoryview(buf), 0, STRIDE, 4)) == 4
    wrapping = bytearray(buf)
    wrapping += HEAD + bytes(4) + TAIL + bytes(SIZE)
    assert train.unpack(memoryview(wrapping), 0, STRIDE, 5) == ()


def test_more_than_a_burst_is_no_train() -> None:
    buf = one_by_one(HEAD, 0, TAIL, payload(SIZE * 65), SIZE, 65)
    assert train.unpack(memoryview(buf), 0, STRIDE, 65) == ()
