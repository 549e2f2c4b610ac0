"""Trains: segments that differ only in sequence number and payload, taken together.

One compiled format packs, or unpacks, all of them in a single call, so that the loop over the
segments runs in C. What it costs is the format, so those of late are kept. All segments of a
train are of the same size.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from utcp.core.segment import PSH, STAMPED_SIZE
from utcp.core.seq import MASK32

LEAST: Final = 4
"""Segments below which a loop is as good."""
LEAST_PAYLOAD: Final = 512
"""Bytes of payload below which segments are not worth an object of their own each."""

# Offset, flags and window; sequence; acknowledgment, and the word that opens the timestamps option;
# both timestamps: what must be equal throughout a run is read as one.
_UNPACK_RUN: Final = Struct(">IIQQ").unpack_from
_BUT_PSH: Final = 0xFFFF_FFFF & ~(PSH << 16)
_TAIL: Final = STAMPED_SIZE - 8
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
    size = stride - STAMPED_SIZE
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


def gather(
    views: list[bytes | memoryview],
    buf: memoryview,
    pos: int,
    end: int,
    length: int,
    stride: int,
    room: int,
) -> int:
    """Append the payloads of the run whose first segment is `buf[pos:end]`, with others behind it,
    as far as they fit into `room` bytes of window; returns where the run ends.

    The hot loop: for a train one call, per segment that is none one unpacking, one slice, one
    comparison for each field.
    """
    size = end - pos - STAMPED_SIZE
    word, seq32, ack_word, stamps = _UNPACK_RUN(buf, pos)
    count = (length - pos) // stride
    if count >= LEAST and size >= LEAST_PAYLOAD and size * count <= room:
        views += unpack(buf, pos, stride, count)
    if views:
        total = size * count
        done = pos + stride * count
    elif size <= room:
        views.append(buf[pos + STAMPED_SIZE : end])
        total = size
        done = end
    else:
        return pos
    while done < length:
        end = done + stride
        if end > length:
            end = length
        size = end - done - STAMPED_SIZE
        if size <= 0 or total + size > room:
            break
        next_word, next_seq32, next_ack_word, next_stamps = _UNPACK_RUN(buf, done)
        if (
            next_seq32 != (seq32 + total) & MASK32
            or next_stamps != stamps
            or next_ack_word != ack_word
            or (next_word ^ word) & _BUT_PSH
        ):
            break
        views.append(buf[done + STAMPED_SIZE : end])
        total += size
        done = end
    return done
