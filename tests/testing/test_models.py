from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.testing import ReassemblyModel, ScoreboardModel, SendBufferModel
from utcp.testing.models import ranges_of


def test_reassembly_first_copy_wins() -> None:
    model = ReassemblyModel(1000)
    model.insert(1005, b"56789")
    model.insert(1003, b"xxxx")
    assert model.ranges() == [(1003, 1010)]
    assert (model.readable, model.read()) == (0, b"")
    model.insert(998, b"..012yyyy")
    assert model.ranges() == []
    assert model.rcv_nxt == 1010
    assert model.read(4) == b"012x"
    assert model.read() == b"x56789"
    model.insert(1000, b"old")
    assert model.readable == 0


def test_reassembly_ranges() -> None:
    model = ReassemblyModel()
    model.insert(2, b"ab")
    model.insert(9, b"c")
    assert model.ranges() == [(2, 4), (9, 10)]


@given(st.binary(min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_reassembly_in_any_order(stream: bytes, rng: object) -> None:
    pieces = [(i, stream[i : i + 7]) for i in range(0, len(stream), 5)]
    getattr(rng, "shuffle")(pieces)  # noqa: B009
    model = ReassemblyModel()
    for start, data in pieces:
        model.insert(start, data)
    assert model.read() == stream


def test_send_buffer() -> None:
    model = SendBufferModel(100)
    model.append(b"hello")
    model.append(b"world")
    assert (model.base, model.end) == (100, 110)
    assert model.view(103, 107) == b"lowo"
    model.release(105)
    assert model.view(105, 110) == b"world"
    with pytest.raises(ValueError, match="not within"):
        model.view(104, 110)
    with pytest.raises(ValueError, match="not within"):
        model.release(111)


def test_scoreboard() -> None:
    model = ScoreboardModel(1000)
    model.send(1000, 1100, now=1)
    model.send(1100, 1200, now=2)
    assert model.in_flight == 200
    assert model.sack(1100, 1150) == 50
    assert model.sack(1140, 1160) == 10
    assert model.lose(1050, 1120) == 50
    assert model.lose(1050, 1120) == 0
    assert (model.in_flight, model.lost, model.sacked) == (90, [(1050, 1100)], [(1100, 1160)])
    model.send(1050, 1080, now=5)
    assert (model.in_flight, model.lost, model.resent) == (120, [(1080, 1100)], [(1050, 1080)])
    assert (model.sent_at(1049), model.sent_at(1050), model.sent_at(1150)) == (1, 5, 2)
    assert model.ack(1110) == 100
    assert (model.una, model.in_flight, model.lost, model.resent) == (1110, 40, [], [])
    assert model.ack(5000) == 40
    assert (model.una, model.in_flight) == (1200, 0)
    with pytest.raises(ValueError, match="gap"):
        model.send(1300, 1301)


def test_ranges_of() -> None:
    assert ranges_of([]) == []
    assert ranges_of([5, 1, 2, 3, 9, 8]) == [(1, 4), (5, 6), (8, 10)]
