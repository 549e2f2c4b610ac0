"""SACK as a weapon: blocks that make no sense, and sense that is meant to be expensive.

CVE-2019-11477, 11478, 11479 (SACK panic) and 2018-5390 (SegmentSmack) were of this kind: records
split byte by byte, and lists walked for each segment.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.attack.foe import Foe, lines, memory
from utcp.config import Config
from utcp.core.records import Burst
from utcp.testing import MS, SECOND

MSS = 1460
CONFIG = Config(pacing=False, mtu_probing=False)


def loaded(size: int = 14_600, wscale: int = -1) -> Foe:
    """So many bytes in flight, of many more."""
    foe = Foe.opens(CONFIG, wscale=wscale)
    foe.conn.snd.cc.cwnd = size
    foe.write(4_000_000)
    assert foe.conn.info().unacked >= size - MSS
    foe.take()
    foe.advance(100 * MS)
    return foe


def una(foe: Foe) -> int:
    return foe.conn.snd.snd_una - foe.conn.snd.iss


def nxt(foe: Foe) -> int:
    return foe.conn.snd.snd_nxt - foe.conn.snd.iss


@pytest.mark.parametrize(
    "block",
    [
        (5000, 3000),  # inverted
        (3000, 3000),  # empty
        (14_602, 16_000),  # beyond SND.NXT
        (10_000, 14_602),  # partly
        (100_000, 200_000),
        (0, 2000),  # from below SND.UNA
        ((1 << 31) - 10, (1 << 31) + 10),
        (3000, 3000 + (1 << 31)),
        (-5000, 20_000),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_blocks_that_make_no_sense_mark_nothing(block: tuple[int, int], place: int) -> None:
    # RFC 2018 §4, RFC 2883 §5.
    foe = loaded()
    good = [(2921, 4381), (5841, 7301)]
    blocks = [*good[:place], block, *good[place:]]
    foe.ack(1, *blocks)
    assert foe.conn.info().sacked == 2 * MSS
    foe.advance(10 * MS)
    foe.ack(14_601)
    assert una(foe) == 14_601


def test_blocks_that_overlap_count_once() -> None:
    foe = loaded()
    foe.ack(1, (2921, 7301), (4381, 8761), (2921, 8761))
    assert foe.conn.info().sacked == 4 * MSS
    foe.ack(1, (3000, 8000), (2921, 8761), (2922, 2923))
    assert foe.conn.info().sacked == 4 * MSS


def test_a_sack_is_no_acknowledgment() -> None:
    # RFC 2018 §8: it may be taken back, so what it covers is kept.
    foe = loaded()
    foe.ack(1, (1461, 14_601))
    assert foe.conn.buffered == 4_000_000
    assert foe.conn.info().unacked >= 14_600


def test_a_peer_that_takes_everything_back_is_sent_everything_again() -> None:
    foe = loaded()
    foe.ack(1, (1, 14_601))  # all of it, and yet no acknowledgment
    foe.take()
    foe.advance(2 * SECOND)
    assert any(segment.seq32 == foe.iss + 1 for segment in foe.take())
    position = 1
    for _ in range(40):
        foe.advance(SECOND)
        position = min(nxt(foe), position + 10 * MSS)
        foe.ack(position)
    assert una(foe) == position > 14_601


# -- byte by byte ------------------------------------------------------------------------------


def shred(foe: Foe, first: int, last: int, step: int = 2) -> int:
    """SACK one byte in `step`, four at a time. Returns the ACKs that took."""
    count = 0
    for at in range(first, last - 4 * step, 4 * step):
        foe.ack(una(foe), *((at + n * step, at + n * step + 1) for n in range(4)))
        count += 1
    return count


def test_single_bytes_do_not_become_single_segments() -> None:
    foe = loaded()
    acks = shred(foe, 3, 14_601)
    foe.advance(10 * SECOND)
    went = foe.take()
    assert len(went) < acks / 10
    # And what goes again is worth a segment.
    again = [segment for segment in went if segment.seq32 - foe.iss < 14_600]
    assert len(again) <= 200


def test_single_bytes_cost_no_record_each() -> None:
    foe = loaded()
    shred(foe, 3, 14_601)
    flight = foe.conn.snd.flight
    assert len(flight) <= 64 + 2 * 14_600 // MSS + 20
    assert len(flight.scoreboard.starts) <= len(flight)
    assert len(flight._waiting) + len(flight._again) <= 3 * len(flight)


def test_in_a_large_window_records_are_bounded_too() -> None:
    foe = loaded(1_000_000, wscale=7)
    # Every other segment, and then bytes wherever that leaves room.
    begin, end = una(foe), nxt(foe)
    used = memory(lambda: shred(foe, begin + 3, end, 370))
    flight = foe.conn.snd.flight
    assert len(flight) <= 64 + (nxt(foe) - begin) // (MSS // 2) + 100
    assert used < 4_000_000
    assert isinstance(flight.head(), Burst)


def test_a_sack_costs_the_same_in_a_shredded_flight() -> None:
    few, many = loaded(500_000, wscale=7), loaded(500_000, wscale=7)
    shred(few, una(few) + 3000, una(few) + 3000 + 80 * MSS, 8 * MSS)
    shred(many, una(many) + 3000, nxt(many) - 50 * MSS, 2 * MSS)
    assert len(many.conn.snd.flight) > 5 * len(few.conn.snd.flight)

    def cost(foe: Foe) -> int:
        base = nxt(foe) - 40 * MSS
        return max(
            lines(partial(foe.ack, una(foe), (base + n * MSS, base + n * MSS + 700)))
            for n in range(1, 30, 2)
        )

    assert cost(many) <= 1.5 * cost(few)


def test_the_same_blocks_again_cost_next_to_nothing() -> None:
    foe = loaded(500_000, wscale=7)
    shred(foe, una(foe) + 3000, nxt(foe) - 50 * MSS, 2 * MSS)
    first = una(foe) + 3000
    blocks = [(first + n * 2 * MSS, first + n * 2 * MSS + 1) for n in range(4)]
    foe.ack(una(foe), *blocks)
    assert lines(lambda: foe.ack(una(foe), *blocks)) < 600


def test_retransmissions_of_a_long_connection_without_sack_are_forgotten() -> None:
    """Each is remembered until it is answered, not until nothing is in flight, which may be
    never."""
    foe = Foe.opens(CONFIG, sacks=False)
    foe.conn.write(bytes(8_000_000))
    foe.turn()
    for _ in range(150):
        foe.conn.snd.cc.cwnd = 20 * MSS
        foe.conn.touch()
        foe.turn()
        first = una(foe)
        for _ in range(12):
            foe.advance(MS)
            foe.ack(first)
        # All but the last segments, which were sent after recovery began.
        foe.advance(10 * MS)
        foe.ack(nxt(foe) - MSS)
    assert foe.conn.info().total_retrans > 100
    assert len(foe.conn.snd.flight._again) < 20
