"""A short connection in which any one segment, and any two, are lost, doubled or late.

Both ends must always get to CLOSED in order, with every byte delivered, and forget everything
after 2 MSL. The conversation: open, a question, half an answer, half-close, the rest of the
answer, close. So every kind of segment of a connection's life is among them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

import pytest

from utcp.config import Config
from utcp.core import Connection, Reason, events
from utcp.core.timers import NEVER
from utcp.testing import (
    MS,
    SECOND,
    App,
    Delay,
    Drop,
    Duplicate,
    LinkConfig,
    Pair,
    Rule,
    any_packet,
    ladder,
    pair,
)

QUESTION: Final = b"what is the answer?" * 10
ANSWER: Final = b"42"
REST: Final = bytes(range(250)) * 12  # three segments
LINK: Final = LinkConfig(delay_ns=10 * MS, mtu=1500)

LOST: Final = Drop()
DOUBLED: Final = Duplicate(1)
LATE: Final = Delay(35 * MS)  # overtaken
VERY_LATE: Final = Delay(1300 * MS)  # after it has been sent again
FAULTS: Final[dict[str, Drop | Duplicate | Delay]] = {
    "lost": LOST,
    "doubled": DOUBLED,
    "late": LATE,
    "very-late": VERY_LATE,
}


class Side(App):
    """One end; what it has received decides what it does next."""

    pause = 0
    """Nanoseconds that it thinks before it does something."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.received = b""
        self.eof = False
        self.reason = Reason.NONE
        self._steps: list[Callable[[], object]] = []

    def act(self, now: int, seen: int) -> None:
        self.received += self.conn.read()
        self.eof = self.eof or bool(seen & events.EOF)
        self._steps += self.reactions(seen)
        if seen & events.CLOSED:
            self.reason = self.conn.reason
            self.done = True
        while self._steps and self.wake_at in (NEVER, now) and (self.pause == 0 or not seen):
            self._steps.pop(0)()
            self.wake_at = NEVER
            if self.pause:
                break
        if self._steps and self.wake_at == NEVER:
            self.wake_at = now + self.pause

    def reactions(self, seen: int) -> list[Callable[[], object]]:
        """What to do next, one after the other."""
        raise NotImplementedError

    def once(self, name: str) -> bool:
        """True the first time."""
        done = self.__dict__.setdefault("_done", set())
        first = name not in done
        done.add(name)
        return first


class Client(Side):
    """Asks, says that it has said everything, and closes when it has heard everything."""

    def reactions(self, seen: int) -> list[Callable[[], object]]:
        conn = self.conn
        if seen & events.CONNECTED:
            return [lambda: conn.write(QUESTION)]
        if self.received == ANSWER and self.once("half-close"):
            return [conn.write_eof]
        return [conn.close] if self.eof and self.once("close") else []


class Server(Side):
    """Answers a whole question, and once the client has said everything, all the rest."""

    def reactions(self, seen: int) -> list[Callable[[], object]]:
        conn = self.conn
        if self.received == QUESTION and self.once("answer"):
            return [lambda: conn.write(ANSWER)]
        if self.eof and self.once("close"):
            return [lambda: conn.write(REST), conn.close]
        return []


class Closer(Side):
    """Writes and closes at once: the other end does the same, so both FINs cross."""

    def __init__(self, conn: Connection) -> None:
        super().__init__(conn)
        conn.write(QUESTION)
        conn.write_eof()

    def reactions(self, seen: int) -> list[Callable[[], object]]:
        return [self.conn.close] if self.eof and self.once("close") else []


def swift(*rules: Rule, config: Config | None = None) -> Pair:
    """Client and server, who do everything at once: control bits travel with data, and the
    close has three segments."""
    return converse(0, *rules, config=config)


def slow(*rules: Rule) -> Pair:
    """Client and server, who think a while: each control bit travels alone."""
    return converse(7 * MS, *rules)


def converse(pause: int, *rules: Rule, config: Config | None = None) -> Pair:
    world = pair(1, config=config, link=LINK)
    world.rules.extend(rules)
    sides: list[Side] = []

    def accepted(conn: Connection) -> None:
        side = Server(conn)
        side.pause = pause
        sides.append(side)
        world.b.run(side)

    world.b.on_accept = accepted
    client = Client(world.open())
    client.pause = pause
    world.a.run(client)
    world.run_until_idle()
    assert len(sides) == 1, "an application was told of a connection that was none"
    assert client.received == ANSWER + REST
    assert sides[0].received == QUESTION
    check_end(world, client, sides[0])
    return world


def cross(*rules: Rule) -> Pair:
    """Both open, write and close at the same time."""
    world = pair(1, link=LINK)
    world.rules.extend(rules)
    sides = []
    for host, peer in ((world.a, "b"), (world.b, "a")):
        side = Closer(host.node.connect(world.now, peer))  # type: ignore[attr-defined]
        host.run(side)
        sides.append(side)
    world.run_until_idle()
    assert [side.received for side in sides] == [QUESTION, QUESTION]
    check_end(world, *sides)
    return world


def check_end(world: Pair, *sides: Side) -> None:
    assert [side.reason for side in sides] == [Reason.CLOSED, Reason.CLOSED]
    assert world.next_at() == NEVER
    for host in (world.a, world.b):
        assert host.node.idle  # type: ignore[attr-defined]
        assert not host.node.connections()  # type: ignore[attr-defined]


CONVERSATIONS: Final = [swift, slow, cross]


def fault(name: str, number: int) -> Rule:
    return Rule(any_packet, FAULTS[name], nth=(number,))


def segments(conversation: Callable[..., Pair]) -> int:
    """How many segments it takes when nothing goes wrong."""
    return len(conversation().trace)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", FAULTS)
def test_each_segment(name: str, conversation: Callable[..., Pair]) -> None:
    for number in range(1, segments(conversation) + 1):
        rule = fault(name, number)
        conversation(rule)
        assert rule.hits == 1


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("names", list(itertools.product(FAULTS, FAULTS)), ids="-".join)
def test_every_pair(names: tuple[str, str], conversation: Callable[..., Pair]) -> None:
    # Two more than the conversation has: what is sent again may be hit as well.
    numbers = range(1, segments(conversation) + 3)
    for first, second in itertools.combinations(numbers, 2):
        try:
            conversation(fault(names[0], first), fault(names[1], second))
        except AssertionError as error:
            error.add_note(f"segment {first} {names[0]}, segment {second} {names[1]}")
            raise


def test_the_conversation_has_every_kind_of_segment() -> None:
    text = ladder(slow().trace)
    for state in [
        "SYN-SENT",
        "SYN-RECEIVED",
        "ESTABLISHED",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "CLOSE-WAIT",
        "LAST-ACK",
    ]:
        assert state in text
    assert "CLOSING" in ladder(cross().trace)


def test_minutes_of_silence_in_the_middle_are_no_end() -> None:
    silence = Rule(any_packet, Drop(), nth=tuple(range(4, 30)))
    world = swift(silence, config=Config(retries2=30, synack_retries=30))
    assert silence.hits == 26
    assert world.elapsed > 300 * SECOND
