"""Sequence numbers wrap at 2^32 in every path (RFC 9293 §3.4)."""

from __future__ import annotations

import pytest

from tests.script.peers import RTT_MS, plain
from utcp.config import Config
from utcp.core import State
from utcp.testing import Script

TOP = 1 << 32
BEFORE = [1, 2, 700, 1461, 2000, 5000]
"""How far before the wrap the initial sequence numbers lie."""


def wrapping(before: int, config: Config, options: str = "mss 1460") -> Script:
    """An established connection on which both initial sequence numbers are so close to the wrap."""
    s = Script(config=config, peer_iss=TOP - before)
    s.connect()
    iss = s.take()[0].seq32
    s.abort()
    # RFC 9293 §3.4.1: the clock in the number ticks every 4 microseconds, so wait for our turn.
    s.advance(ms=((TOP - before - iss) % TOP) * 0.004)
    s.connect()
    assert s.take()[0].seq32 == TOP - before
    s.advance(ms=RTT_MS)
    s.inject(f"S. 0:0(0) ack 1 win 65535 <{options}>")
    s.expect(". 1:1(0) ack 1")
    return s


@pytest.mark.parametrize("before", BEFORE)
def test_data_both_ways(before: int) -> None:
    with wrapping(before, plain()) as s:
        for i in range(5):
            s.write(1460)
            s.expect(f"P. {1460 * i + 1}:{1460 * i + 1461}(1460) ack {1460 * i + 1}")
            s.inject(f"P. {1460 * i + 1}:{1460 * i + 1461}(1460) ack {1460 * i + 1461}")
            assert s.read() == s.payload(1460 * i + 1, 1460 * i + 1461)
        s.expect(". 7301:7301(0) ack 7301", within_ms=40)
        s.close()
        s.expect("F. 7301:7301(0) ack 7301")
        s.inject("F. 7301:7301(0) ack 7302")
        s.expect(". 7302:7302(0) ack 7302")
        s.expect_state(State.TIME_WAIT)


@pytest.mark.parametrize("before", BEFORE)
def test_the_fast_path(before: int) -> None:
    config = plain(timestamps=True)
    stamp = "<nop,nop,TS val 2 ecr 0>"
    with wrapping(before, config, "mss 1460,TS val 1 ecr 0") as s:
        s.write(4000)
        s.take()
        seqs = range(1, 1 + 5 * 1448, 1448)
        s.inject(*(f". {seq}:{seq + 1448}(1448) ack 4001 {stamp}" for seq in seqs))
        s.expect(". 4001:4001(0) ack 7241")
        assert s.read() == s.payload(1, 7241)
        assert s.conn.buffered == 0


@pytest.mark.parametrize("before", BEFORE)
def test_retransmission_and_fast_retransmit(before: int) -> None:
    with wrapping(before, plain()) as s:
        s.write(1460 * 5)
        assert len(s.take()) == 5
        for _ in range(3):
            s.inject(". 1:1(0) ack 1")
        s.expect(". 1:1461(1460) ack 1")
        s.advance(ms=RTT_MS)
        s.inject(". 1:1(0) ack 1461")
        s.expect(". 1461:2921(1460) ack 1")
        s.advance(ms=2000)
        s.take()
        s.inject(". 1:1(0) ack 7301")
        assert s.conn.buffered == 0


@pytest.mark.parametrize("before", BEFORE)
def test_sack_both_ways(before: int) -> None:
    with wrapping(before, plain(sack=True), "mss 1460,sackOK") as s:
        s.inject(". 1461:2921(1460) ack 1")
        s.expect(". 1:1(0) ack 1 <nop,nop,sack 1461:2921>")
        s.inject(". 4381:5841(1460) ack 1")
        s.expect(". 1:1(0) ack 1 <nop,nop,sack 4381:5841 1461:2921>")
        s.inject("F. 5841:5841(0) ack 1")
        s.take()
        s.inject(". 2921:4381(1460) ack 1")
        s.expect(". 1:1(0) ack 1 <nop,nop,sack 1461:5841>")
        s.inject(". 1:1461(1460) ack 1")
        s.expect(". 1:1(0) ack 5842 <>")
        assert s.read() == s.payload(1, 5841)
        s.write(1460 * 6)
        assert len(s.take()) == 6
        s.inject(". 5842:5842(0) ack 1 <nop,nop,sack 1461:5841>")
        s.expect(". 1:1461(1460) ack 5842")
        s.advance(ms=RTT_MS)
        s.inject(". 5842:5842(0) ack 5841")
        s.advance(ms=2000)
        s.take()
        s.inject(". 5842:5842(0) ack 8761")
        assert s.conn.buffered == 0


@pytest.mark.parametrize("before", [1, 2, 50, 100, 101, 102])
def test_zero_window_probes(before: int) -> None:
    with wrapping(before, plain()) as s:
        s.write(100)
        s.take()
        s.inject(". 1:1(0) ack 101 win 0")
        s.write(50)
        s.expect(". 101:102(1) ack 1", within_ms=400)
        s.inject(". 1:1(0) ack 101 win 0")
        s.inject(". 1:1(0) ack 102 win 100")
        s.expect("P. 102:151(49) ack 1")
        s.inject(". 1:1(0) ack 151 win 100")


@pytest.mark.parametrize("before", [1, 2, 3, 4])
def test_closing_and_keepalive(before: int) -> None:
    with wrapping(before, plain(keepalive=True, keepalive_idle=1.0)) as s:
        s.expect(". 0:0(0) ack 1", within_ms=1000)
        s.inject("F. 1:2(1) ack 1")
        s.expect(". 1:1(0) ack 3")
        s.write(1)
        s.expect("P. 1:2(1) ack 3")
        s.close()
        s.take()
        s.inject("R 3:3(0)")
        s.expect_state(State.CLOSED)
