"""RSTs for segments that belong to no connection."""

from __future__ import annotations

import pytest

from utcp.config import Config
from utcp.core import Endpoint, segment
from utcp.core.resets import Resets, host
from utcp.core.secrets import Secrets
from utcp.core.segment import ACK, FIN, RST, SYN, Segment
from utcp.stats import Counters
from utcp.testing import SECOND, SegmentView

SECRETS = Secrets(bytes(16))


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
    view = SegmentView(Resets(10, SECRETS, Counters()).answer(0, "a", seg))
    assert (view.flags, view.seq32, view.ack32) == answer
    assert (view.payload, view.options) == (b"", [])


@pytest.mark.parametrize("flags", [RST, RST | ACK])
def test_a_reset_is_never_answered(flags: int) -> None:
    counters = Counters()
    resets = Resets(1, SECRETS, counters)
    assert resets.answer(0, "a", stray(flags)) == b""
    assert counters.resets_out == counters.resets_suppressed == 0
    assert resets.answer(0, "a", stray(ACK))


def test_rate() -> None:
    counters = Counters()
    resets = Resets(3, SECRETS, counters)
    answered = [bool(resets.answer(at, "a", stray(ACK))) for at in range(5)]
    assert answered == [True, True, True, False, False]
    assert (counters.resets_out, counters.resets_suppressed) == (3, 2)
    assert not resets.answer(SECOND - 1, "a", stray(ACK))
    assert resets.answer(SECOND, "a", stray(ACK))


def test_each_host_has_its_own() -> None:
    # What `host_of` has made of an address may be anything, a tuple too.
    config = Config(reset_rate=1)
    endpoint = Endpoint(config, bytes(16), host_of=lambda addr: ("rack", addr))
    for addr in range(5):
        endpoint.receive(0, addr, segment.build(ACK, 1, 1, 0, b""), 20)
    assert (endpoint.counters.resets_out, endpoint.counters.resets_suppressed) == (5, 0)


def test_never() -> None:
    assert Resets(0, SECRETS, Counters()).answer(0, "a", stray(ACK)) == b""


def test_a_host_is_the_first_thing_in_an_address() -> None:
    assert host(("192.0.2.1", 80)) == host((("192.0.2.1", 81), "192.0.2.2", 0)) == "192.0.2.1"
    assert host(7) == 7
    assert host(()) == ()


def test_hosts_do_not_take_each_others_budget() -> None:
    resets = Resets(2, SECRETS, Counters())
    for _ in range(9):
        resets.answer(0, "192.0.2.1", stray(ACK))
    others = [resets.answer(0, f"198.51.100.{n}", stray(ACK)) for n in range(100)]
    assert all(others)
    assert not resets.answer(0, "192.0.2.1", stray(ACK))


def test_which_hosts_share_a_budget_changes_every_second() -> None:
    def shared(at: int) -> set[int]:
        resets = Resets(1, SECRETS, Counters())
        return {n for n in range(2000) if not resets.answer(at, n, stray(ACK))}

    first, second = shared(0), shared(SECOND)
    assert 0 < len(first & second) < len(first)
