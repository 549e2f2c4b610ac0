"""Segments as utcp has them: 12 bytes of header, 12 of timestamps, payload; and trains of them.

A train is packed, and unpacked, by one compiled format, as in `utcp.core.train`. Tried for the
floor, and not faster: views of the payloads instead of copies; one join that puts the same header
before each payload, and the numbers then written as one strided view; fields of all headers
compared as strided views; headers and payloads handed to `sendmsg`, and received by
`recvmsg_into`, as pieces of their own.
"""

from __future__ import annotations

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
RST: Final = 0x0004 << 16
UNUSUAL: Final = SYN | RST
CONTROL: Final = UNUSUAL | FIN
_TIMESTAMPS: Final = 0x0101080A

# Offset, flags, window; sequence; acknowledgment, option; both timestamps.
unpack: Final = Struct(">IIQQ").unpack_from
_pack: Final = Struct(">IIIIII").pack


def header(flags: int, window: int, seq: int, ack: int, stamp: int, echo: int) -> bytes:
    """24 bytes."""
    return _pack(flags | window >> SCALE, seq, ack, _TIMESTAMPS, stamp & MASK32, echo)


def pack(first: bytes, payloads: Sequence[bytes]) -> bytes:
    """Segments with these payloads, all of the same size, of which the first has this header."""
    count, size = len(payloads), len(payloads[0])
    seq = int.from_bytes(first[4:8], "big")
    fields: list[bytes | int] = [first[:4], 0, first[8:], b""] * count
    fields[1::4] = _numbers(seq, size, count)
    fields[3::4] = payloads
    return _segments(count, size).pack(*fields)


def unpack_train(buf: memoryview, length: int, stride: int) -> bytes:
    """The payload of a train, whose segments differ in sequence number and payload only.

    Raises ValueError if it is no such train.
    """
    count = length // stride
    if length % stride:
        raise ValueError("the last segment of a train is shorter")
    size = stride - HEADERS
    fields = _segments(count, size).unpack_from(buf)
    if (
        fields[0::4].count(fields[0]) != count
        or fields[2::4].count(fields[2]) != count
        or fields[1::4] != tuple(_numbers(fields[1], size, count))
    ):
        raise ValueError("not the segments of one train")
    return b"".join(fields[3::4])


@lru_cache(256)
def payloads(count: int, size: int) -> Struct:
    """To take so many payloads out of what was written."""
    return Struct(f"{size}s" * count)


@lru_cache(256)
def _segments(count: int, size: int) -> Struct:
    # Flags and window; sequence number; acknowledgment and timestamps; payload.
    return Struct(">" + f"4sI16s{size}s" * count)


def _numbers(seq: int, size: int, count: int) -> Sequence[int]:
    end = seq + size * count
    if end <= MASK32:
        return range(seq, end, size)
    return [number & MASK32 for number in range(seq, end, size)]
