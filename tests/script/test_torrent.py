"""What pours in is acknowledged less often (RFC 9293 §3.8.6.3, RFC 5681 §4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.script.peers import client
from utcp.config import Config

SIZE = 1448
TRAIN = 40 * SIZE


class Torrent:
    """A peer that sends trains of 40 segments, of which the application reads all at once."""

    def __init__(self, *, stamped: bool) -> None:
        self._stamp, self._ack_stamp, options = "", "", "mss 1460,nop,wscale 7"
        if stamped:
            self._stamp = "<nop,nop,TS val 1000 ecr 100>"
            self._ack_stamp = "<nop,nop,TS val * ecr 1000>"
            options = "mss 1460,nop,nop,TS val 1000 ecr 0,nop,wscale 7"
        config = Config(ecn=False, sack=False, timestamps=stamped)
        self.s = client(config, options=options, ack_stamp=self._ack_stamp)
        assert self.s.conn.predict == stamped
        self.s.conn.rcv.capacity = 2 << 20  # what it may have grown to
        self.nxt = 1

    def sends(self, *segments: str) -> None:
        self.s.inject(*(f"{segment} ack 1 {self._stamp}" for segment in segments))

    def train(self, *, after_ms: float = 0.05) -> None:
        self.s.advance(ms=after_ms)
        ends = range(self.nxt + SIZE, self.nxt + TRAIN + 1, SIZE)
        self.sends(*(f". {end - SIZE}:{end}({SIZE})" for end in ends))
        self.nxt += TRAIN
        self.s.read()

    def expect_ack(self, **when: Any) -> None:
        self.s.expect(f". 1:1(0) ack {self.nxt} {self._ack_stamp}", **when)

    def starts(self) -> Torrent:
        """It has been one for so long that no ACK is quick any more, and none is missing."""
        for _ in range(17):
            self.train()
            self.expect_ack()
        return self


@pytest.fixture(params=[True, False], ids=["predicted", "step by step"])
def torrent(request: pytest.FixtureRequest) -> Torrent:
    return Torrent(stamped=request.param).starts()


def test_four_trains_share_an_ack(torrent: Torrent) -> None:
    for _ in range(10):
        for _ in range(3):
            torrent.train()
            torrent.s.expect_nothing()
        torrent.train()  # 231,680 bytes
        torrent.expect_ack()


def test_single_segments_are_none_however_fast_they_come(torrent: Torrent) -> None:
    for number in range(200):
        torrent.s.advance(ms=0.01)
        torrent.sends(f". {torrent.nxt}:{torrent.nxt + SIZE}({SIZE})")
        torrent.nxt += SIZE
        torrent.s.read()
        if number % 2:
            torrent.expect_ack()  # SHLD-19
        else:
            torrent.s.expect_nothing()


@pytest.mark.parametrize("size", [0, 1, 100])
def test_what_trickles_after_it_does_not_put_off_the_ack(torrent: Torrent, size: int) -> None:
    torrent.train()
    due_ms = torrent.s.now_ms + 1
    while torrent.s.now_ms < due_ms - 0.25:
        torrent.s.expect_nothing(for_ms=0.2)
        flags = "P." if size else "."
        torrent.sends(f"{flags} {torrent.nxt}:{torrent.nxt + size}({size})")
        torrent.nxt += size
        torrent.s.read()
    torrent.expect_ack(at_ms=due_ms)


def test_fin_and_what_is_out_of_order_end_the_wait(torrent: Torrent) -> None:
    torrent.train()
    torrent.s.expect_nothing()
    torrent.sends(f". {torrent.nxt + SIZE}:{torrent.nxt + 2 * SIZE}({SIZE})")
    torrent.expect_ack()
    torrent.sends(f". {torrent.nxt}:{torrent.nxt + SIZE}({SIZE})")
    torrent.nxt += 2 * SIZE
    torrent.s.read()
    torrent.expect_ack()
    for _ in range(16):  # each of them matters again, while a loss is repaired
        torrent.train()
        torrent.expect_ack()
    torrent.train()
    torrent.s.expect_nothing()
    torrent.sends(f"F. {torrent.nxt}:{torrent.nxt}(0)")
    torrent.nxt += 1
    torrent.expect_ack()


def test_a_peer_that_stops_gets_its_ack_after_1_ms_then_at_once(torrent: Torrent) -> None:
    for quick in (16, 32):
        torrent.train()
        torrent.train()
        at_ms = torrent.s.now_ms - 0.05 + 1
        torrent.expect_ack(at_ms=at_ms)
        for _ in range(quick + 1):  # the first comes after a pause
            torrent.train()
            torrent.expect_ack()


def test_what_is_written_carries_the_ack(torrent: Torrent) -> None:
    torrent.train()
    torrent.s.write(10)
    [data] = torrent.s.take()
    assert len(data.payload) == 10
    assert torrent.s.conn.rcv.last_ack_sent == torrent.s.conn.rcv.rcv_nxt
    torrent.s.expect_nothing(for_ms=2)


def test_without_room_in_the_buffer_or_with_pauses_there_is_none(torrent: Torrent) -> None:
    torrent.s.conn.rcv.capacity = 256 << 10
    torrent.train()
    torrent.expect_ack()
    torrent.s.conn.rcv.capacity = 2 << 20
    for _ in range(5):
        torrent.train(after_ms=0.3)
        torrent.expect_ack()
