"""Bulk: whole segments, several bursts of which are cut and accounted for at once."""

from __future__ import annotations

from typing import Final

from tests.unit.test_output import Rig, cut
from utcp.config import Config
from utcp.core.segment import PSH, RST
from utcp.testing import SECOND

MSS: Final = 1448  # with timestamps
BURST: Final = 10
CONFIG: Final = Config(initial_window=1000, pacing=False, ecn=False, mtu_probing=False)


def rig() -> Rig:
    it = Rig(CONFIG)
    it.endpoint.max_burst_segments = BURST
    return it


def test_they_leave_one_by_one_and_in_order() -> None:
    it = rig()
    it.conn.write(bytes(35 * MSS))
    bursts = it.poll()
    segments = [segment for burst in bursts for segment in cut(burst)]
    assert [len(cut(burst)) for burst in bursts] == [10, 10, 10, 5]
    first = it.iss + 1
    assert [segment.seq32 - first for segment in segments] == [i * MSS for i in range(35)]
    assert [bool(segment.flags & PSH) for segment in segments] == [False] * 34 + [True]
    assert len(it.conn.snd.flight) == 1
    assert it.conn.segs_out == 2 + 35
    it.ack(1 + 35 * MSS)
    assert it.conn.buffered == 0


def test_there_is_more_to_send_until_the_last_has_left() -> None:
    it = rig()
    it.conn.write(b"x")
    it.poll()  # and the timers are set
    it.ack(2)
    it.poll()
    it.now += SECOND
    it.conn.write(bytes(25 * MSS))
    more = []
    while it.endpoint.poll_transmit(it.now) is not None:
        more.append(it.endpoint.more_to_send)
        assert it.endpoint.quiet != it.endpoint.more_to_send
    assert more == [True, True, False]


def test_what_is_cut_leaves_before_the_reset() -> None:
    it = rig()
    it.conn.write(bytes(25 * MSS))
    assert it.endpoint.poll_transmit(it.now) is not None
    it.conn.abort()
    left = it.poll()
    assert [len(cut(burst)) for burst in left] == [10, 5, 1]
    assert cut(left[-1])[0].flags & RST
    assert it.endpoint.idle


def test_an_ack_for_part_of_it() -> None:
    it = rig()
    it.conn.write(bytes(25 * MSS))
    it.poll()
    it.ack(1 + 7 * MSS)
    assert it.conn.snd.flight.pipe == it.conn.buffered == 18 * MSS
    it.conn.write(bytes(3 * MSS))
    assert [len(cut(burst)) for burst in it.poll()] == [3]
    it.ack(1 + 28 * MSS)
    assert len(it.conn.snd.flight) == 0


def test_what_is_too_large_for_the_path_is_not_sent_any_more() -> None:
    it = rig()
    it.conn.write(bytes(25 * MSS))
    first = it.endpoint.poll_transmit(it.now)
    assert first is not None
    it.endpoint.packet_too_big(it.now, it.conn.addr, 1300)
    later = it.poll()
    assert {len(segment.payload) for burst in later for segment in cut(burst)} <= {
        1248,
        25 * MSS % 1248,
    }
    assert sum(len(segment.payload) for burst in later for segment in cut(burst)) == 25 * MSS
