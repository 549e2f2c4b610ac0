"""Keep-alive (RFC 9293 §3.8.4)."""

from __future__ import annotations

import pytest

from tests.script.peers import RTT_MS, client, plain
from tests.script.stage import opened
from utcp.config import Config
from utcp.core import Reason, State, events
from utcp.testing import MS

HOUR_MS = 3_600_000
KEPT = plain(keepalive=True, keepalive_idle=60.0, keepalive_interval=10.0, keepalive_count=3)


@pytest.mark.rfc("MUST-25")
def test_it_is_off_by_default() -> None:
    with client() as s:
        assert not s.conn.keepalive
        s.expect_nothing(for_ms=1000 * HOUR_MS)
        s.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("MUST-24", "MUST-28")
def test_by_default_it_waits_two_hours() -> None:
    assert Config().keepalive_idle >= 7200
    with client() as s:
        s.conn.keepalive = True
        s.write(b"")
        s.expect_nothing(for_ms=2 * HOUR_MS - 1)
        s.expect(". 0:0(0) ack 1", at_ms=RTT_MS + 2 * HOUR_MS)
        # Off again: no more of them.
        s.conn.keepalive = False
        s.expect_nothing(for_ms=1000 * HOUR_MS)
        s.expect_state(State.ESTABLISHED)


@pytest.mark.rfc("MUST-26", "MUST-27", "MUST-29", "SHLD-12", "MUST-12")
def test_probes_carry_no_data_and_only_all_of_them_together_end_the_connection() -> None:
    with client(KEPT) as s:
        for i in range(3):
            s.expect(". 0:0(0) ack 1", at_ms=RTT_MS + 60_000 + i * 10_000)
            s.expect_state(State.ESTABLISHED)
        s.at(ms=RTT_MS + 90_000)
        s.expect("R. 1:1(0) ack 1")
        s.expect_state(State.CLOSED)
        assert s.conn.reason is Reason.TIMED_OUT
        assert s.take_events() == events.CLOSED


@pytest.mark.rfc("MUST-26", "MUST-29")
@pytest.mark.parametrize("answer", [". 1:1(0) ack 1", "P. 1:11(10) ack 1"])
def test_any_answer_starts_it_all_over(answer: str) -> None:
    with client(KEPT) as s:
        s.at(ms=RTT_MS + 75_000)
        s.expect(". 0:0(0) ack 1")
        s.expect(". 0:0(0) ack 1")
        s.inject(answer)
        heard = s.now_ms
        s.advance(ms=1000)
        s.take()
        ack = s.conn.rcv.rcv_nxt - s.conn.rcv.irs
        for i in range(3):
            s.expect(f". 0:0(0) ack {ack}", at_ms=heard + 60_000 + i * 10_000)
        s.inject(". 11:11(0) ack 1" if ack == 11 else ". 1:1(0) ack 1")


def test_data_that_the_fast_path_takes_starts_it_all_over_too() -> None:
    config = plain(
        timestamps=True,
        keepalive=True,
        keepalive_idle=60.0,
        keepalive_interval=10.0,
        keepalive_count=2,
    )
    with client(config, options="mss 1460,TS val 1 ecr 0") as s:
        s.at(ms=RTT_MS + 75_000)
        assert len(s.take()) == 2
        s.inject("P. 1:11(10) ack 1 <nop,nop,TS val 2 ecr 0>")
        heard = s.now_ms
        s.advance(ms=1000)
        s.take()
        for i in range(2):
            s.expect(". 0:0(0) ack 11", at_ms=heard + 60_000 + i * 10_000)
        s.inject(". 11:11(0) ack 1 <nop,nop,TS val 3 ecr 0>")


@pytest.mark.rfc("MUST-26")
def test_not_while_anything_is_outstanding() -> None:
    with client(KEPT) as s:
        s.at(ms=59_000)
        s.write(10)
        s.at(ms=120_000)
        assert {len(seg.payload) for seg in s.take()} == {10}
        s.inject(". 1:1(0) ack 11")
        s.expect(". 10:10(0) ack 1", at_ms=180_000)
        s.inject(". 1:1(0) ack 11")


@pytest.mark.rfc("MUST-26")
def test_not_while_there_is_traffic() -> None:
    with client(KEPT) as s:
        seq = 1
        for _ in range(20):
            s.advance(ms=30_000)
            s.inject(f"P. {seq}:{seq + 1}(1) ack 1")
            seq += 1
            s.advance(ms=40)
            s.expect(f". 1:1(0) ack {seq}")
        s.expect_nothing()


@pytest.mark.rfc("MUST-26")
@pytest.mark.parametrize("idle_ms", [0, 60_000])
@pytest.mark.parametrize("segments", [0, 1, 3])
def test_data_written_meanwhile_takes_its_place(segments: int, idle_ms: int) -> None:
    a, b = opened(Config(keepalive=True, keepalive_idle=3600))
    assert a.is_silent()
    a.clock.now += idle_ms * MS
    a.conn.keepalive_due = True
    size = segments * a.conn.snd.mss or 100
    a.conn.write(bytes(size))
    data = a.all_sent()
    assert sum(len(segment.payload) for segment in data) == size
    b.receives(*data)
    b.conn.rcv.ack_now = True
    b.conn.touch()
    a.receives(b.sends("."))
    assert a.is_silent()


def test_a_probe_of_the_peer_is_answered() -> None:
    with client() as s:
        s.inject("P. 1:11(10) ack 1")
        s.expect(". 1:1(0) ack 11", within_ms=40)
        s.advance(ms=HOUR_MS)
        s.inject(". 10:10(0) ack 1")
        s.expect(". 1:1(0) ack 11")
        # RFC 9293 §3.8.4 (MAY-6): some carry an old octet.
        s.advance(ms=HOUR_MS)
        s.inject(". 10:11(1) ack 1")
        s.expect(". 1:1(0) ack 11")


def test_a_probe_does_not_take_the_place_of_an_ack_that_is_due() -> None:
    with client(KEPT) as s:
        s.conn.keepalive_due = True
        # Our ACK of the SYN-ACK was lost, so it comes again. Only SND.NXT answers it.
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 1")
        s.expect(". 0:0(0) ack 1")
