"""Delayed ACKs that adapt: quick where somebody may wait for them, and never the 40 ms trap."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from tests.script.peers import PLAIN, RTT_MS, client
from utcp.config import Config
from utcp.core import Connection
from utcp.testing import MS, SECOND, US, App, LinkConfig, Pair, Script, pair

ADAPTIVE = dataclasses.replace(PLAIN, quick_acks=16)


def deliver(s: Script, number: int, ack: int, size: int = 10) -> None:
    start = 1 + number * size
    s.inject(f"P. {start}:{start + size}({size}) ack {ack}")


def stream(s: Script, count: int) -> None:
    """Small segments that come faster than our ACKs could have caused them."""
    for i in range(count):
        deliver(s, i, 1)
        s.advance(ms=1)


def test_the_first_sixteen_are_acknowledged_at_once() -> None:
    with client(ADAPTIVE) as s:
        for i in range(16):
            deliver(s, i, 1)
            s.expect(f". 1:1(0) ack {11 + 10 * i}", at_ms=RTT_MS + i)
            s.advance(ms=1)
        # They come every millisecond, so that an ACK waits for the next ones.
        deliver(s, 16, 1)
        s.expect(". 1:1(0) ack 171", at_ms=RTT_MS + 16 + 4)
        # That was for nothing, so the next ones are quick again ...
        for number, quick in ((17, 16), (34, 32), (67, 64)):
            for i in range(number, number + quick):
                deliver(s, i, 1)
                s.expect(f". 1:1(0) ack {11 + 10 * i}")
                s.advance(ms=1)
            # ... and at each time twice as many.
            deliver(s, number + quick, 1)
            s.expect_nothing()
            s.expect(f". 1:1(0) ack {11 + 10 * (number + quick)}", within_ms=5)


def test_what_our_ack_may_have_caused_is_acknowledged_at_once() -> None:
    with client(ADAPTIVE) as s:
        for i in range(100):
            deliver(s, i, 1)
            s.expect(f". 1:1(0) ack {11 + 10 * i}", at_ms=RTT_MS + i * RTT_MS)
            s.advance(ms=RTT_MS)


def test_after_a_loss_they_are_quick() -> None:
    with client(ADAPTIVE) as s:
        stream(s, 16)
        s.take()
        s.inject("P. 171:181(10) ack 1")
        s.expect(". 1:1(0) ack 161")
        s.inject("P. 161:171(10) ack 1")
        s.expect(". 1:1(0) ack 181")
        for i in range(18, 34):
            deliver(s, i, 1)
            s.expect(f". 1:1(0) ack {11 + 10 * i}")
            s.advance(ms=1)
        deliver(s, 34, 1)
        s.expect_nothing()
        s.expect(". 1:1(0) ack 351", within_ms=5)


def test_a_server_s_answers_carry_the_acks() -> None:
    with client(ADAPTIVE) as s:
        for i in range(30):
            deliver(s, i, 1 + 5 * i)
            quick = s.take()
            s.advance(ms=3)
            s.write(5)
            s.expect(f"P. {1 + 5 * i}:{6 + 5 * i}(5) ack {11 + 10 * i}")
            # When it has shown three times that it answers, the ACK waits for that.
            assert len(quick) == (1 if i < 3 else 0)
            s.advance(ms=20)
        s.inject(". 301:301(0) ack 151")


def test_an_answer_that_does_not_come_is_waited_for_twice_as_long_as_one_takes() -> None:
    with client(ADAPTIVE) as s:
        for i in range(10):
            deliver(s, i, 1 + 5 * i)
            s.advance(ms=3)
            s.write(5)
        s.take()
        at = s.now_ms
        deliver(s, 10, 51)
        s.expect(". 51:51(0) ack 111", at_ms=at + 6)
        deliver(s, 11, 51)
        s.expect(". 51:51(0) ack 121", at_ms=at + 6)


def test_a_stream_of_small_segments_is_acknowledged_when_it_pauses() -> None:
    with client(ADAPTIVE) as s:
        stream(s, 16)
        s.take()
        # A segment each millisecond; 536 bytes are a full segment as long as none is larger.
        acks = 0
        for i in range(16, 416):
            s.advance(ms=1)
            deliver(s, i, 1)
            acks += len(s.take())
        assert acks <= 400 // 35
        s.advance(ms=5)
        acks += len(s.take())
        # What is left over did not wait 40 ms.
        assert s.conn.rcv.last_ack_sent == s.conn.rcv.rcv_nxt


# -- questions and answers between two of us ----------------------------------------------------


class Asker(App):
    """Writes a question in parts, waits for the answer, and so on; notes how long each took."""

    def __init__(
        self, conn: Connection, parts: tuple[int, ...], rounds: int, mixed: int = 0
    ) -> None:
        self.conn = conn
        self.parts = parts
        self.left = rounds
        self.mixed = mixed
        self.took: list[int] = []
        self._asked_at = -1
        self._got = 0

    def act(self, now: int, events: int) -> None:
        self._got += len(self.conn.read())
        if self._asked_at >= 0:
            if self._got < 100:
                return
            self._got = 0
            self.took.append(now - self._asked_at)
        if not self.left:
            self.done = True
            return
        self.left -= 1
        self._asked_at = now
        self.progress += 1
        if self.left < self.mixed:
            self.parts = (50, 50)
        for size in self.parts:
            self.conn.write(bytes(size))


class Answerer(App):
    """Answers each question, some time after the last byte of it."""

    def __init__(self, conn: Connection, size: int, think_ns: int) -> None:
        self.conn = conn
        self.size = size
        self.think_ns = think_ns
        self._got = 0
        self.done = True

    def act(self, now: int, events: int) -> None:
        self._got += len(self.conn.read())
        if self.wake_at <= now:
            self.wake_at = 1 << 62
            self.conn.write(bytes(100))
        while self._got >= self.size:
            self._got -= self.size
            if self.think_ns:
                self.wake_at = now + self.think_ns
            else:
                self.conn.write(bytes(100))


class Through:
    """A connection whose writes leave at once, each before the next one is made."""

    def __init__(self, world: Pair, conn: Connection) -> None:
        self.world = world
        self.conn = conn
        self.read = conn.read

    def write(self, data: bytes) -> None:
        self.conn.write(data)
        self.world.a.turn()


class Later(App):
    """Lets an application that has a `Through` be woken by the events of the real connection."""

    def __init__(self, conn: Connection, app: App) -> None:
        self.conn = conn
        self.app = app
        self.wake_at = 0

    def act(self, now: int, events: int) -> None:
        if self.wake_at <= now:
            self.wake_at = 1 << 62
            return
        self.app.act(now, events)
        self.done = self.app.done


def ask(
    parts: tuple[int, ...], *, nodelay: bool, think_ns: int, rounds: int = 200, mixed: int = 0
) -> list[int]:
    """How long each round took, nanoseconds, on a path of 1 ms.

    The last `mixed` questions come in two halves.
    """
    config = Config(nodelay=nodelay)
    world = pair(9, config=config, link=LinkConfig(delay_ns=500 * US, mtu=1500), trace=False)
    client_, server = world.connect()
    asker = Asker(cast(Connection, Through(world, client_)), parts, rounds, mixed)
    world.b.run(Answerer(server, sum(parts), think_ns))
    world.a.run(Later(client_, asker))
    asker.act(world.now, 0)
    world.run_until(lambda: asker.done, 600 * SECOND)
    return asker.took


@pytest.mark.parametrize("nodelay", [True, False])
@pytest.mark.parametrize("think_ns", [0, 200 * US, 5 * MS])
def test_a_small_write_and_its_answer(nodelay: bool, think_ns: int) -> None:
    took = ask((100,), nodelay=nodelay, think_ns=think_ns)
    assert max(took) == MS + think_ns


@pytest.mark.parametrize("think_ns", [0, 200 * US, 5 * MS])
def test_write_write_read_without_nagle(think_ns: int) -> None:
    took = ask((50, 100), nodelay=True, think_ns=think_ns)
    assert max(took) == MS + think_ns


@pytest.mark.parametrize("think_ns", [0, 200 * US, 5 * MS])
def test_write_write_read_with_nagle_is_never_the_40_ms_trap(think_ns: int) -> None:
    # The second write waits for the ACK of the first: one more round trip, and no delayed ACK.
    took = ask((50, 100), nodelay=False, think_ns=think_ns)
    assert max(took) == 2 * MS + think_ns


def test_write_write_read_after_many_plain_questions_is_late_once_by_4_ms() -> None:
    took = ask((100,), nodelay=False, think_ns=200 * US, rounds=100, mixed=20)
    plain, mixed = took[:80], took[80:]
    assert set(plain) == {MS + 200 * US}
    assert mixed[0] == 2 * MS + 200 * US + 4 * MS
    # From the second one on it is known that no answer comes to half of a question.
    assert set(mixed[1:]) == {2 * MS + 200 * US}


def test_small_messages_one_way_with_nagle_are_seldom_held_up() -> None:
    config = Config(nodelay=False)
    world = pair(9, config=config, link=LinkConfig(delay_ns=500 * US, mtu=1500), trace=False)
    client_, server = world.connect()
    start = world.now
    for _ in range(1000):
        client_.write(bytes(100))
        world.run_for(MS)
        server.read()
    world.run_until(lambda: not client_.buffered, 10 * SECOND)
    assert world.now - start < 1000 * MS + 10 * 40 * MS
