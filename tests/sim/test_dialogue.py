"""Requests and answers over bad networks: most are messages, and go the short way."""

from __future__ import annotations

import random

import pytest

from utcp.core import Connection
from utcp.core.events import CLOSED, EOF
from utcp.core.timers import NEVER
from utcp.testing import MS, SECOND, App, Pair, Pattern, SimulationError, chaos_pair

BLOCK = 25
BLOCKS = 12
MESSAGES = 40


class Asking(App):
    """Asks, waits for the answer, thinks, asks again; now and then twice at a time."""

    def __init__(self, conn: Connection, rng: random.Random) -> None:
        self.conn = conn
        self._rng = rng
        self._pattern = Pattern(1)
        self._asked = self._answered = self._count = 0
        self._largest = rng.choice((1, 100, 500, 1400, 5000))
        self._most_thought = rng.choice((0, 0, MS, 300 * MS, 3 * SECOND))
        self._looks = rng.random() < 0.3
        self._ended = False
        self._seen = 0

    def act(self, now: int, events: int) -> None:
        """Read the answer; ask again when it is there and thought over."""
        self._seen |= events
        conn, rng = self.conn, self._rng
        if self._looks:
            conn.info()
        data = conn.read()
        assert data == self._pattern.data(self._answered, len(data))
        self._answered = self.progress = self._answered + len(data)
        if data and self._most_thought and self._answered == self._asked:
            self.wake_at = now + rng.randrange(self._most_thought)
        if self._answered == self._asked and (now >= self.wake_at or self.wake_at == NEVER):
            self._go_on()
        if self._seen & EOF and not self.done:
            assert self._ended
            self.done = True
        if self._seen & CLOSED and not self.done:
            self.broken = True

    def _go_on(self) -> None:
        rng = self._rng
        self.wake_at = NEVER
        if self._count == MESSAGES:
            if not self._ended:
                self._ended = True
                self.conn.write_eof()
            return
        self._count += 1
        for _ in range(rng.choice((1, 1, 1, 1, 2))):
            size = rng.randint(1, self._largest)
            self.conn.write(self._pattern.data(self._asked, size))
            self._asked += size


class Answering(App):
    """Sends back what comes, at once or a little later."""

    def __init__(self, conn: Connection, rng: random.Random) -> None:
        self.conn = conn
        self._rng = rng
        self._most_delay = rng.choice((0, 0, MS, 100 * MS))
        self._seen = 0
        self._waits = b""

    def act(self, now: int, events: int) -> None:
        """Answer what there is, at its time; end when the other has."""
        self._seen |= events
        conn = self.conn
        data = conn.read()
        self.progress += len(data)
        if data and self._most_delay:
            self.wake_at = now + self._rng.randrange(self._most_delay)
        self._waits += data
        if self._waits and (now >= self.wake_at or self.wake_at == NEVER):
            conn.write(self._waits)
            self._waits = b""
            self.wake_at = NEVER
        if self._seen & EOF and not self._waits and not self.done:
            conn.close()
            self.done = True
        if self._seen & CLOSED and not self.done:
            self.broken = True


def converse(seed: int) -> Pair:
    """Asks and answers until all is said, and both ends have forgotten it."""
    world = chaos_pair(seed)
    rng = random.Random(seed)
    client, server = world.connect()
    world.a.run(Asking(client, rng))
    world.b.run(Answering(server, rng))
    try:
        world.run_until(lambda: world.finished, 4 * 3600 * SECOND)
        world.run_until_idle()
        assert world.a.endpoint.idle
        assert world.b.endpoint.idle
    except SimulationError:
        raise
    except Exception as error:
        raise world.failure(f"{type(error).__name__}: {error}") from error
    return world


@pytest.mark.parametrize("block", range(BLOCKS))
def test_whatever_the_network_does(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        converse(seed)
