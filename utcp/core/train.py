"""Trains: segments that differ only in sequence number and payload, taken together.

One compiled format packs, or unpacks, all of them in a single call, so that the loop over the
segments runs in C. What it costs is the format, so those of late are kept. All segments of a
train are of the same size.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from utcp.core.segment import HEADER_SIZE, PSH, TIMESTAMPS_SIZE

LEAST: Final = 4
"""Segments below which a loop is as good."""
LEAST_PAYLOAD: Final = 512
"""Bytes of payload below which segments are not worth an object of their own each."""

_OVERHEAD: Final = HEADER_SIZE + TIMESTAMPS_SIZE
_TAIL: Final = _OVERHEAD - 8
_MOST: Final = 64  # segments in what UDP_GRO hands over
_FORMATS: Final = 128  # none takes more than 8 KB


@lru_cache(_FORMATS)
def _segments(count: int, tail: int, size: int) -> Struct:
    # Offset, flags and window; sequence number; acknowledgment and options; payload.
    return Struct(">" + f"4sI{tail}s{size}s" * count)


@lru_cache(_FORMATS)
def _payloads(count: int, size: int) -> Struct:
    return Struct(f"{size}s" * count)


def pack(
    head: bytes,
    last_head: bytes,
    seq32: int,
    tail: bytes,
    data: memoryview,
    size: int,
    count: int,
) -> bytes:
    """`count` segments with the first `size * count` bytes of `data`, numbered from `seq32`.

    The numbers must not wrap. `head` comes before them, 4 bytes, that of the last one is
    `last_head`; and `tail` after.
    """
    fields: list[bytes | int] = [head, 0, tail, b""] * count
    fields[-4] = last_head
    fields[1::4] = range(seq32, seq32 + size * count, size)
    fields[3::4] = _payloads(count, size).unpack_from(data)
    return _segments(count, len(tail), size).pack(*fields)


def unpack(buf: memoryview, pos: int, stride: int, count: int) -> tuple[bytes, ...]:
    """The payloads of `count` datagrams of `stride` bytes from `buf[pos:]`; () if they are not a
    train with timestamps and no other option. Its last segment may differ in PSH."""
    if count > _MOST:
        return ()
    size = stride - _OVERHEAD
    fields = _segments(count, _TAIL, size).unpack_from(buf, pos)
    head, seq32, tail = fields[:3]
    if (
        fields[:-4:4].count(head) != count - 1
        or (fields[-4] != head and fields[-4] != bytes((head[0], head[1] ^ PSH)) + head[2:])
        or fields[2::4].count(tail) != count
        or fields[1::4] != tuple(range(seq32, seq32 + size * count, size))
    ):
        return ()
    return fields[3::4]
