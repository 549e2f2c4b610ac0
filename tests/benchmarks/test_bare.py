"""Bare segments are segments, and what is none is noticed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks.bare import wire
from benchmarks.bare.connection import Connection
from utcp.core.segment import ACK, OK, PSH, Segment

SIZE = 1448
STRIDE = SIZE + wire.HEADERS
DATA = bytes(range(250)) * 200
PAYLOADS = [DATA[at : at + SIZE] for at in range(0, 9 * SIZE, SIZE)]


def train(seq: int) -> bytearray:
    first = wire.header(wire.PLAIN, 1 << 20, seq, 7, 123_456, 654_321)
    return bytearray(wire.pack(first, PAYLOADS))


def unpack(data: bytearray) -> bytes:
    return wire.unpack_train(memoryview(data), len(data), STRIDE)


@pytest.mark.parametrize("seq", [0, 99, (1 << 32) - 3 * SIZE, (1 << 32) - SIZE - 1])
def test_a_train_is_made_of_segments(seq: int) -> None:
    data = train(seq)
    seg = Segment()
    for number, payload in enumerate(PAYLOADS):
        at = number * STRIDE
        assert seg.parse(data, at, at + STRIDE) == OK
        assert seg.seq32 == (seq + number * SIZE) % (1 << 32)
        assert (seg.flags, seg.ack32, seg.ts_val, seg.ts_ecr) == (ACK | PSH, 7, 123_456, 654_321)
        assert data[at + wire.HEADERS : at + STRIDE] == payload
    assert unpack(data) == b"".join(PAYLOADS)


@pytest.mark.parametrize("place", [*range(STRIDE, STRIDE + wire.HEADERS)])
def test_what_is_no_train_is_noticed(place: int) -> None:
    data = train(99)
    data[place] ^= 1
    with pytest.raises(ValueError, match="not the segments of one train"):
        unpack(data)
    with pytest.raises(ValueError, match="shorter"):
        unpack(data[:-8])


class Wire:
    """In place of a socket: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(bytes(data))

    def sendto(self, data: bytes, addr: object) -> None:
        self.send(data)

    def sendmsg(self, pieces: list[Any], *rest: object) -> None:
        self.send(b"".join(pieces))


class Reader(asyncio.Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.got = b""
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> None:
        pass

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Pair:
    """Two connections, and what is on the way between them."""

    def __init__(self, window: int) -> None:
        self.wires = Wire(), Wire()
        self.readers = Reader(), Reader()
        self.over: list[int] = []
        one, other = self.ends = [
            Connection(self.wires[end], None, SIZE, window, lambda end=end: self.over.append(end))  # type: ignore[arg-type, misc]
            for end in (0, 1)
        ]
        one.connect()
        other.accept(self._take(0))
        one.answered(self._take(1), self.readers[0])
        other.answered(self._take(0), self.readers[1])

    def _take(self, end: int) -> memoryview:
        return memoryview(bytearray(self.wires[end].sent.pop(0)))

    def carry(self) -> None:
        """Until nothing is on the way."""
        while any(wire.sent for wire in self.wires):
            for end in (0, 1):
                if self.wires[end].sent:
                    self._receive(self.ends[1 - end], self._take(end))

    @staticmethod
    def _receive(end: Connection, buf: memoryview) -> None:
        if len(buf) > STRIDE:
            end.on_train(buf, len(buf), STRIDE)
        else:
            end.on_segment(buf, len(buf))
        end.acknowledge()


async def test_bytes_arrive_and_both_ends_close() -> None:
    pair = Pair(100_000)
    one, _ = pair.ends
    for size in (1, 2000, len(DATA), 64):
        one.write(DATA[:size])
    one.close()
    pair.carry()
    assert pair.readers[1].got == DATA[:1] + DATA[:2000] + DATA + DATA[:64]
    assert pair.readers[0].lost == pair.readers[1].lost == [None]
    assert sorted(pair.over) == [0, 1]


async def test_a_reader_that_pauses_stops_the_writer() -> None:
    pair = Pair(60_000)
    one, other = pair.ends
    other.pause_reading()
    written = DATA * 3
    one.write(written)
    pair.carry()
    assert pair.readers[1].got == b""
    one.close()
    for _ in range(4):
        other.resume_reading()
        await asyncio.sleep(0)
        pair.carry()
    assert pair.readers[1].got == written
    assert pair.readers[0].lost == pair.readers[1].lost == [None]


async def test_a_loss_ends_it() -> None:
    pair = Pair(60_000)
    one, other = pair.ends
    one.write(DATA[:64])
    one.write(DATA[:64])
    buf = bytearray(pair.wires[0].sent[1])
    with pytest.raises(ValueError, match="not the next segment"):
        other.on_segment(memoryview(buf), len(buf))
    for _ in range(50):
        one.tick()
    (error,) = pair.readers[0].lost
    assert "this is no TCP" in str(error)


async def test_who_gives_up_says_so() -> None:
    pair = Pair(60_000)
    pair.ends[0].abort()
    pair.carry()
    assert pair.readers[0].lost == [None]
    (error,) = pair.readers[1].lost
    assert isinstance(error, ConnectionResetError)
