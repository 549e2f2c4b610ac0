"""Segments as utcp has them: 12 bytes of header, 12 of timestamps, payload; and trains of them.

A train is cut into payloads, and put together, by what loops in C: one compiled format takes the
payloads out, one join puts the same header before each, and a field of all headers is read, or
written, as one strided view. For that, segments are multiples of four bytes long.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final

HEADERS: Final = 24
MASK32: Final = 0xFFFF_FFFF
SCALE: Final = 8
"""Of all windows, in bits."""

PLAIN: Final = 0x8018 << 16  # 24 bytes, ACK, PSH
SYN: Final = 0x0002 << 16
FIN: Final = 0x0001 << 16
CONTROL: Final = SYN | FIN
_TIMESTAMPS: Final = 0x0101080A

# Offset, flags, window; sequence; acknowledgment, option; both timestamps.
unpack: Final = Struct(">IIQQ").unpack_from
_pack: Final = Struct(">IIIIII").pack


def header(flags: int, window: int, seq: int, ack: int, stamp: int, echo: int) -> bytes:
    """24 bytes."""
    return _pack(flags | window >> SCALE, seq, ack, _TIMESTAMPS, stamp & MASK32, echo)


def pack(first: bytes, seq: int, payloads: Sequence[bytes]) -> bytearray:
    """Segments with these payloads, all of the same size, with the header `first`."""
    # Each payload but the empty one that begins the list gets a header before it.
    train = bytearray(first).join((b"", *payloads))
    size = len(payloads[0])
    memoryview(train).cast("I")[1 :: (size + HEADERS) // 4] = _numbers(seq, size, len(payloads))
    return train


def unpack_train(buf: memoryview, words: memoryview, length: int, stride: int) -> bytes:
    """The payload of a train, whose segments differ in sequence number and payload only.

    `words` is `buf` seen as 32-bit numbers. Raises ValueError if it is no such train.
    """
    count = length // stride
    if length % stride:
        raise ValueError("the last segment of a train is shorter")
    step, end = stride // 4, length // 4
    seq = int.from_bytes(buf[4:8], "big")
    if words[1:end:step].tobytes() != _numbers(seq, stride - HEADERS, count).tobytes() or any(
        words[place:end:step].tobytes() != bytes(buf[4 * place : 4 * place + 4]) * count
        for place in (0, 2, 3, 4, 5)
    ):
        raise ValueError("not the segments of one train")
    return b"".join(map(buf.__getitem__, _slices(count, stride)))


@lru_cache(256)
def payloads(count: int, size: int) -> Struct:
    """To take so many payloads out of what was written."""
    return Struct(f"{size}s" * count)


@lru_cache(256)
def _slices(count: int, stride: int) -> list[slice]:
    return [slice(at + HEADERS, at + stride) for at in range(0, count * stride, stride)]


def _numbers(seq: int, size: int, count: int) -> array[int]:
    """The sequence numbers, in network order."""
    end = seq + size * count
    if end <= MASK32:
        numbers = array("I", range(seq, end, size))
    else:
        numbers = array("I", [number & MASK32 for number in range(seq, end, size)])
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
