"""A short round of each fuzz target; the long ones are `python -m tests.fuzz`.

What the long ones have found is named here, each with the input that showed it.
"""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import Target, load, rounds
from tests.fuzz.corpus import Transcript, transcripts
from tests.fuzz.endpoint import endpoint_input

ENDPOINT_INPUTS = 1_500
SEGMENT_INPUTS = 40_000
FOUND = {
    "writable after the end": "00cbf1000072a6",
    "another SYN is the peer's": "00243900000000150000b100e84d0000fb",
    "and somebody else speaks before": "004a0000000080000000000000000000004c0000b2"
    "000000000000000000000058bd000073",
}


@pytest.fixture(scope="module")
def conversations() -> list[Transcript]:
    return transcripts(20)


def test_segment(conversations: list[Transcript]) -> None:
    corpus = [datagram for one in conversations for datagram in one.datagrams]
    assert len(corpus) > 100
    for datagram in corpus:
        load("segment")(datagram)
    assert rounds(load("segment"), 1, corpus, runs=SEGMENT_INPUTS) == SEGMENT_INPUTS


def test_endpoint(conversations: list[Transcript]) -> None:
    corpus = [bytes(one.data) for one in conversations]
    assert rounds(endpoint_input, 2, corpus, runs=ENDPOINT_INPUTS) == ENDPOINT_INPUTS


def test_a_transcript_is_an_input(conversations: list[Transcript]) -> None:
    """It does what was recorded: the endpoint says the same, byte for byte."""
    again = Transcript(3)
    again.record()
    assert again.data == conversations[3].data
    assert again.datagrams == conversations[3].datagrams
    endpoint_input(bytes(again.data))


@pytest.mark.parametrize("data", FOUND.values(), ids=FOUND)
def test_found(data: str) -> None:
    endpoint_input(bytes.fromhex(data))


def test_a_failure_names_its_input() -> None:
    def refuse(data: bytes) -> None:
        assert data[0] < 250

    target: Target = refuse
    with pytest.raises(Exception, match=r"^f[a-f]") as info:
        rounds(target, 0, runs=10_000)
    assert isinstance(info.value.__cause__, AssertionError)
