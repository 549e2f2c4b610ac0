"""The record that a connection leaves for 2 MSL."""

from __future__ import annotations

import sys

import pytest

from tests.script.states import Scene
from utcp.core.segment import ACK, FIN, RST, SYN, Segment
from utcp.core.timewait import ANSWER, ANSWER_AND_RESTART, DROP, REOPEN, TimeWait
from utcp.testing import MS, SECOND, SegmentView

LIMIT = SECOND // 2


class Record:
    """A record with the numbers of its connection."""

    def __init__(self, *, stamps: bool) -> None:
        self.scene = Scene("TIME-WAIT", stamps=stamps)
        self.now = self.scene.s.now
        self.record = TimeWait(self.scene.s.conn, self.now)
        self.nxt = self.record.rcv_nxt32
        self.stamp = self.record.ts_recent

    def arrives(
        self,
        flags: int,
        seq: int,
        size: int = 0,
        *,
        stamp: int | None = None,
        listening: bool = True,
        timestamps: bool = True,
        after: int = 0,
    ) -> int:
        """A segment whose sequence number is RCV.NXT + `seq`."""
        seg = Segment()
        seg.flags = flags
        seg.seq32 = (self.nxt + seq) & 0xFFFF_FFFF
        seg.ack32 = self.record.snd_nxt32
        seg.end = size
        if stamp is not None:
            seg.has_timestamps = True
            seg.ts_val = (self.stamp + stamp) & 0xFFFF_FFFF
        return self.record.segment_arrives(
            self.now + after, seg, listening=listening, timestamps=timestamps, interval_ns=LIMIT
        )


@pytest.mark.parametrize("seq", [-1, 0, 1, 1000])
def test_a_reset_is_ignored(seq: int) -> None:
    # RFC 1337 §3 (F1)
    assert Record(stamps=False).arrives(RST, seq) == DROP
    assert Record(stamps=False).arrives(RST | ACK, seq) == DROP


@pytest.mark.rfc("MUST-13")
def test_the_fin_again_is_answered_each_time() -> None:
    record = Record(stamps=False)
    for _ in range(3):
        assert record.arrives(FIN | ACK, -1) == ANSWER_AND_RESTART
        assert record.arrives(FIN | ACK, -11, 10) == ANSWER_AND_RESTART


def test_the_fin_again_brings_a_newer_timestamp() -> None:
    record = Record(stamps=True)
    assert record.arrives(FIN | ACK, -1, stamp=5) == ANSWER_AND_RESTART
    assert record.record.ts_recent == record.stamp + 5
    assert record.arrives(FIN | ACK, -1, stamp=-5) == ANSWER_AND_RESTART
    assert record.record.ts_recent == record.stamp + 5


def test_an_acknowledgment_is_dropped() -> None:
    # Answering it, two peers in TIME-WAIT would acknowledge each other for ever.
    assert Record(stamps=False).arrives(ACK, 0) == DROP


@pytest.mark.parametrize(("seq", "size"), [(-10, 10), (-10, 0), (5, 5), (1 << 20, 0)])
def test_everything_else_is_answered_at_a_limited_rate(seq: int, size: int) -> None:
    record = Record(stamps=False)
    assert record.arrives(ACK, seq, size) == ANSWER
    assert record.arrives(ACK, seq, size, after=LIMIT - 1) == DROP
    assert record.arrives(ACK, seq, size, after=LIMIT) == ANSWER


@pytest.mark.rfc("SHLD-4")
@pytest.mark.parametrize(
    ("ours", "stamp", "seq", "reopens"),
    [
        # The old connection had timestamps, so has the SYN: newer, equal, older.
        (True, 1, -50_000, True),
        (True, 0x7FFF_FFFF, -1, True),
        (True, 0, 0, True),
        (True, 0, -1, False),
        (True, -1, 50_000, False),
        # The SYN has none: its sequence number decides.
        (True, None, 0, True),
        (True, None, -1, False),
        # The old connection had none, the SYN has.
        (False, -1, -50_000, True),
        # Neither had.
        (False, None, 0, True),
        (False, None, -1, False),
    ],
)
def test_which_syn_opens_anew(ours: bool, stamp: int | None, seq: int, reopens: bool) -> None:
    # RFC 6191 §2
    record = Record(stamps=ours)
    assert record.arrives(SYN, seq, stamp=stamp) == (REOPEN if reopens else ANSWER)


def test_timestamps_that_we_would_not_use_do_not_count() -> None:
    record = Record(stamps=False)
    assert record.arrives(SYN, -50_000, stamp=1, timestamps=False) == ANSWER


def test_without_a_listener_no_syn_opens_anew() -> None:
    record = Record(stamps=True)
    assert record.arrives(SYN, 0, stamp=1, listening=False) == ANSWER
    assert record.arrives(SYN, 0, stamp=1, listening=False) == DROP


def test_a_syn_ack_opens_nothing() -> None:
    assert Record(stamps=True).arrives(SYN | ACK, 0, stamp=1) == ANSWER


@pytest.mark.parametrize("stamps", [False, True])
def test_the_acknowledgment(stamps: bool) -> None:
    record = Record(stamps=stamps)
    scene = record.scene
    view = SegmentView(record.record.ack(record.now))
    assert view.flags == ACK
    assert view.ack32 == (scene.s.peer_iss + scene.rcv) & 0xFFFF_FFFF
    assert scene.s.iss is not None
    assert view.seq32 == (scene.s.iss + scene.nxt) & 0xFFFF_FFFF
    assert view.payload == b""
    if stamps:
        assert view.timestamps is not None
        later = SegmentView(record.record.ack(record.now + 7 * MS)).timestamps
        assert later == (view.timestamps[0] + 7 & 0xFFFF_FFFF, view.timestamps[1])
    else:
        assert view.timestamps is None


def test_connecting_again_needs_a_newer_timestamp() -> None:
    record = Record(stamps=True)
    assert not record.record.may_connect(record.now)
    assert record.record.may_connect(record.now + MS)
    record.record.ack(record.now + 5 * MS)
    assert not record.record.may_connect(record.now + 5 * MS)
    assert record.record.may_connect(record.now + 6 * MS)
    assert not Record(stamps=False).record.may_connect(1 << 60)


@pytest.mark.parametrize("distance", [0, -1, -1000, -(1 << 31)])
def test_the_successor_begins_above(distance: int) -> None:
    # RFC 9293 §3.6.1 (MAY-2) (1)
    record = Record(stamps=False).record
    last = record.snd_nxt32
    iss = record.iss_for_successor((last + distance) & 0xFFFF_FFFF)
    assert iss == (last + 65_538) & 0xFFFF_FFFF
    above = (last + 1) & 0xFFFF_FFFF
    assert record.iss_for_successor(above) == above


def test_a_record_is_small() -> None:
    record = Record(stamps=True).record
    size = sys.getsizeof(record) + sum(
        sys.getsizeof(getattr(record, name)) for name in record.__slots__
    )
    assert size < 250
