"""Segments of a byte, holes of a byte, thousands of them: what they cost in memory and in time.

SegmentSmack (CVE-2018-5390) and its like. Time is counted in lines of the core that are run.
"""

from __future__ import annotations

import random
from functools import partial

import pytest

from tests.attack.foe import ACK, FIN, PSH, Foe, lines, memory, stamps
from utcp.config import Config
from utcp.testing import SECOND

LARGE = Config(recv_buffer=1 << 20)
SMALL = Config(recv_buffer=65_536)


def open_(config: Config = SMALL, *, stamp: int = -1) -> Foe:
    foe = Foe.opens(config, wscale=0, stamp=stamp)
    foe.conn.rcv.capacity = config.recv_buffer  # as for a reader that was fast
    foe.conn.rcv.ack_now = True
    foe.conn.touch()
    foe.turn()
    foe.take()
    return foe


def byte(foe: Foe, at: int) -> None:
    """One byte, the one that has its number for a value."""
    foe.send(PSH | ACK, 1 + at, 1, bytes((at & 0xFF,)))
    foe.sent.clear()
    foe.addresses.clear()


def read(foe: Foe) -> bytes:
    return foe.conn.read()


# -- time --------------------------------------------------------------------------------------


def with_holes(count: int) -> Foe:
    """So many single bytes are held, a hole in front of each."""
    foe = open_(LARGE)
    for n in range(count):
        byte(foe, 2 * n + 1)
    return foe


def per_segment(foe: Foe, kind: str, count: int) -> int:
    """The most that one more segment costs."""
    middle = count // 2 * 2
    ats = {
        "new hole": [200_000 + 2 * n for n in range(8)],
        "in the middle": [middle - 2 * n for n in range(1, 5)],
        "again": [middle + 1] * 5,
        "fills the first": [0],
    }[kind]
    return max(lines(partial(byte, foe, at)) for at in ats)


@pytest.mark.parametrize("kind", ["new hole", "in the middle", "again", "fills the first"])
def test_a_segment_costs_the_same_however_many_holes_there_are(kind: str) -> None:
    few = per_segment(with_holes(10), kind, 10)
    for count in (1000, 2000, 10_000):
        assert per_segment(with_holes(count), kind, count) <= few + 10


def test_a_segment_over_all_holes_costs_what_it_brings() -> None:
    # It closes a thousand holes at once. That is paid once: then there are none.
    foe = with_holes(1000)
    assert lines(lambda: foe.send(PSH | ACK, 1, 1, bytes(1400))) < 30 * 700
    assert len(foe.conn.rcv.reassembly.starts) == 300
    # The first copy of each byte has won, also here.
    assert read(foe)[:6] == bytes((0, 1, 0, 3, 0, 5))


def test_random_single_bytes_cost_the_same_to_the_end() -> None:
    rng = random.Random(1)
    foe = open_()
    ats = list(range(1, 20_000))
    rng.shuffle(ats)
    early = max(lines(partial(byte, foe, at)) for at in ats[:200])
    for at in ats[200:10_000]:
        byte(foe, at)
    assert max(lines(partial(byte, foe, at)) for at in ats[10_000:10_200]) <= early + 60


# -- memory ------------------------------------------------------------------------------------


def test_holes_are_bounded_in_number_and_in_bytes() -> None:
    foe = open_(LARGE)

    def attack() -> None:
        for n in range(6_000):
            byte(foe, 2 * n + 1)

    used = memory(attack)
    held = foe.conn.rcv.reassembly
    assert len(held.starts) <= 2048
    assert held.nbytes <= LARGE.recv_buffer
    assert used < 2048 * 500
    # What RCV.NXT needs next always finds room.
    foe.send(PSH | ACK, 1, 1, b"\x00")
    assert read(foe) == b"\x00\x01"


def test_the_nearest_are_kept() -> None:
    foe = open_(LARGE)
    for n in range(10_000, 0, -1):
        byte(foe, 2 * n)
    assert foe.conn.rcv.reassembly.starts[0] == foe.conn.rcv.rcv_nxt + 2


@pytest.mark.parametrize("order", ["in order", "pairs swapped", "backwards", "random"])
@pytest.mark.parametrize("stamped", [False, True])
def test_single_bytes_that_nobody_reads_cost_little_more_than_themselves(
    order: str, stamped: bool
) -> None:
    size = 6_000
    foe = open_(stamp=1000 if stamped else -1)
    ats = list(range(size))
    if order == "pairs swapped":
        ats = [at ^ 1 for at in ats]
    elif order == "backwards":
        ats.reverse()
    elif order == "random":
        # Every other one first, in any order; then what lies between.
        rng = random.Random(3)
        blocks = [ats[at : at + 2000] for at in range(0, size, 2000)]
        for block in blocks:
            rng.shuffle(block)
        ats = [at for block in blocks for at in block]
    options = [stamps(1000)] if stamped else None

    def attack() -> None:
        for at in ats:
            foe.send(PSH | ACK, 1 + at, 1, bytes((at & 0xFF,)), options=options)
            foe.sent.clear()
            foe.addresses.clear()

    used = memory(attack)
    assert used < 2 * size + 40_000
    assert read(foe) == bytes(at & 0xFF for at in range(size))


def test_tiny_segments_above_a_hole_cost_little_more_than_themselves() -> None:
    foe = open_()

    def attack() -> None:
        for at in range(2, 6000, 2):
            foe.send(PSH | ACK, 1 + at, 1, at.to_bytes(2))
            foe.sent.clear()
            foe.addresses.clear()

    assert memory(attack) < 2 * 6000 + 40_000
    foe.send(PSH | ACK, 1, 1, b"\0\0")
    assert read(foe) == b"".join(at.to_bytes(2) for at in range(0, 6000, 2))


def test_no_more_is_held_than_the_window_says() -> None:
    foe = open_()
    for at in range(0, 400_000, 1000):
        foe.send(PSH | ACK, 1 + at, 1, bytes(1000))
    assert foe.conn.readable <= 65_536
    assert foe.take()[-1].window == 0
    for at in range(foe.conn.readable, 400_000, 999):
        foe.send(PSH | ACK, 1 + at, 1, bytes(1000))
    assert foe.conn.readable + foe.conn.rcv.reassembly.nbytes <= 65_536


def test_segments_beyond_the_window_hold_nothing() -> None:
    foe = open_()
    edge = foe.conn.rcv.rcv_adv - foe.conn.rcv.irs

    def attack() -> None:
        for n in range(3000):
            foe.send(PSH | ACK, edge + n * 7, 1, bytes(100))
            foe.send(FIN | PSH | ACK, edge - 50, 1, bytes(100))
            foe.sent.clear()
            foe.addresses.clear()

    assert memory(attack) < 50_000
    assert foe.conn.rcv.reassembly.nbytes == 50
    assert foe.conn.rcv.fin_seq < 0


def test_answers_to_a_storm_of_holes_are_one_for_each_segment_at_most() -> None:
    foe = open_()
    foe.came = foe.went = 0
    for n in range(2000):
        foe.send(PSH | ACK, 2 * n + 2, 1, b"x")
    assert len(foe.take()) <= 2000
    # Four SACK blocks on an ACK for each byte: headers counted, less than twice what came.
    assert foe.went < 2 * foe.came
    # In trains, as they come over a real network, there is one for each.
    segments = [foe.segment(PSH | ACK, 2 * n + 5000, 1, b"x") for n in range(60)]
    foe.deliver(b"".join(segments), len(segments[0]))
    assert len(foe.take()) == 1


def test_a_storm_leaves_nothing_behind() -> None:
    foe = open_()
    for n in range(3000):
        byte(foe, 2 * n + 1)
    foe.send(4, 1)
    assert foe.endpoint.idle
    assert foe.conn.rcv.reassembly.nbytes == 0
    assert foe.conn.rcv.reassembly.starts == []
    foe.advance(SECOND)
    assert foe.take() == []
