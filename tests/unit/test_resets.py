"""RSTs for segments that belong to no connection."""

from __future__ import annotations

import pytest

from utcp.core.resets import Resets
from utcp.core.segment import ACK, FIN, RST, SYN, Segment
from utcp.stats import Counters
from utcp.testing import SECOND, SegmentView


def stray(flags: int, seq: int = 1000, ack: int = 2000, size: int = 0) -> Segment:
    seg = Segment()
    seg.flags, seg.seq32, seg.ack32, seg.end = flags, seq, ack, size
    return seg


@pytest.mark.parametrize(
    ("seg", "answer"),
    [
        # RFC 9293 §3.10.7.1: with an ACK field its number, without one 0 and an ACK of it all.
        (stray(ACK), (RST, 2000, 0)),
        (stray(ACK | SYN), (RST, 2000, 0)),
        (stray(ACK, size=500), (RST, 2000, 0)),
        (stray(SYN), (RST | ACK, 0, 1001)),
        (stray(SYN, size=10), (RST | ACK, 0, 1011)),
        (stray(FIN, size=10), (RST | ACK, 0, 1011)),
        (stray(SYN, seq=0xFFFF_FFFF), (RST | ACK, 0, 0)),
    ],
)
def test_forms(seg: Segment, answer: tuple[int, int, int]) -> None:
    view = SegmentView(Resets(10, Counters()).answer(0, seg))
    assert (view.flags, view.seq32, view.ack32) == answer
    assert (view.payload, view.options) == (b"", [])


@pytest.mark.parametrize("flags", [RST, RST | ACK])
def test_a_reset_is_never_answered(flags: int) -> None:
    counters = Counters()
    resets = Resets(1, counters)
    assert resets.answer(0, stray(flags)) == b""
    assert counters.resets_out == counters.resets_suppressed == 0
    assert resets.answer(0, stray(ACK))


def test_rate() -> None:
    counters = Counters()
    resets = Resets(3, counters)
    answered = [bool(resets.answer(at, stray(ACK))) for at in range(5)]
    assert answered == [True, True, True, False, False]
    assert (counters.resets_out, counters.resets_suppressed) == (3, 2)
    assert not resets.answer(SECOND - 1, stray(ACK))
    assert resets.answer(SECOND, stray(ACK))


def test_never() -> None:
    assert Resets(0, Counters()).answer(0, stray(ACK)) == b""
