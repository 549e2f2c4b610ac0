"""The segment codec against any bytes, beside a second codec that shares nothing with it."""

from __future__ import annotations

from typing import Final

from utcp.core import segment
from utcp.core.segment import FIN, MALFORMED, NOT_OURS, OK, SYN, URG, Segment
from utcp.testing.segment_view import SegmentView

_BEFORE: Final = b"\x5a\x10\xff"
_AFTER: Final = b"\x08\x0a\x05\x0a"
_KNOWN_KINDS: Final = frozenset((2, 3, 4, 5, 8))

_segment: Final = Segment()


def codec_input(data: bytes) -> None:
    """Take `data` for a datagram. AssertionError if anything is not as it should be."""
    # In the middle of a buffer: what lies around it must not matter.
    seg = _segment
    start = len(_BEFORE)
    end = start + len(data)
    buf = _BEFORE + data + _AFTER
    status = seg.parse(buf, start, end)
    view, why = _decode(data)
    if status == OK:
        assert start + 12 <= seg.payload_at <= seg.end == end
        assert seg.length() == end - seg.payload_at + bool(seg.flags & SYN) + bool(seg.flags & FIN)
        assert view is not None or "cannot have length" in why, why
        _build_again(seg, data, start)
        if view is not None:
            _compare(seg, view, buf)
    elif status == NOT_OURS:
        assert data[0] < 0x50
    else:
        assert status == MALFORMED
        assert view is None, "a good segment was refused"


def _decode(data: bytes) -> tuple[SegmentView | None, str]:
    try:
        return SegmentView(data), ""
    except ValueError as error:
        return None, str(error)


def _build_again(seg: Segment, data: bytes, start: int) -> None:
    """The header that `build` makes of what was read is the one that was read."""
    options = data[12 : seg.payload_at - start]
    built = segment.build(seg.flags, seg.window, seg.seq32, seg.ack32, options)
    # Reserved bits are not kept, URG is ignored.
    assert built[0] == data[0] & 0xF0
    assert built[1] == data[1] & ~URG
    assert built[2:] == data[2 : len(built)]


def _compare(seg: Segment, view: SegmentView, buf: bytes) -> None:
    assert seg.flags == view.flags & ~URG
    assert (seg.window, seg.seq32, seg.ack32) == (view.window, view.seq32, view.ack32)
    assert buf[seg.payload_at : seg.end] == view.payload
    kinds = [kind for kind, _ in view.options if kind in _KNOWN_KINDS]
    if len(set(kinds)) < len(kinds):
        return  # of an option that comes twice any may count
    assert seg.mss == (-1 if view.mss is None else view.mss)
    assert seg.wscale == (-1 if view.window_scale is None else min(view.window_scale, 14))
    assert seg.sack_permitted == view.sack_permitted
    assert seg.sack32 == view.sack_blocks
    stamps = (seg.ts_val, seg.ts_ecr) if seg.has_timestamps else None
    assert stamps == view.timestamps
