"""Two endpoints and a wire between them, in virtual time.

What one side receives and does is recorded, and then played back to a fresh endpoint with the
same entropy, which does exactly the same again: so each side is measured by itself, with traffic
that really occurs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, Transmit, events

CLIENT: Final = ("10.0.0.1", 40_000)
SERVER: Final = ("10.0.0.2", 7)
ENTROPY: Final = bytes(range(32))
START: Final = 1_000_000_000
ONE_WAY: Final = 25_000  # ns, as over loopback
WARM: Final = 40
"""Turns before those that are measured: windows have opened, delays have adapted."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """What happens to one side at one time."""

    now: int
    arrivals: list[Transmit]
    timed: bool
    data: bytes
    close: bool


class Side:
    """An endpoint and the application on it, woken up as a driver wakes them up."""

    def __init__(self, config: Config, peer: tuple[str, int], path_mtu: int, echo: bool) -> None:
        self.endpoint = Endpoint(config, ENTROPY, path_mtu=path_mtu)
        self.peer = peer
        self.echo = echo
        self.conn: Connection | None = None
        self.log: list[WakeUp] = []
        self.bytes_out = 0
        self.bytes_read = 0

    def wake(self, event: WakeUp) -> list[Transmit]:
        """One wake-up in the order that `utcp.core.endpoint` asks for; returns what is sent."""
        endpoint = self.endpoint
        now = event.now
        for burst in event.arrivals:
            data = burst.data
            endpoint.receive(now, self.peer, data, len(data), burst.segment_size, burst.tos & 3)
        if event.timed:
            endpoint.handle_timeout(now)
        while (conn := endpoint.poll_ready()) is not None:
            self._news(conn, conn.take_events())
        if event.data or event.close:
            self._act(event)
        endpoint.settle()
        sent = []
        while (out := endpoint.poll_transmit(now)) is not None:
            self.bytes_out += len(out.data)
            sent.append(out)
        endpoint.poll_timeout()
        return sent

    def _news(self, conn: Connection, news: int) -> None:
        if news & events.CONNECTED:
            self.conn = conn
        if news & events.READABLE:
            data = conn.read()
            self.bytes_read += len(data)
            if self.echo:
                conn.write(data)
        if news & events.EOF:
            conn.close()

    def _act(self, event: WakeUp) -> None:
        conn = self.conn
        if conn is None:
            return
        if event.data:
            conn.write(event.data)
        if event.close:
            conn.close()


class Pair:
    """A client and a server that records what each of them goes through, turn by turn."""

    def __init__(self, path_mtu: int, *, echo: bool) -> None:
        config = Config()
        self.now = START
        self.client = Side(config, SERVER, path_mtu, echo=False)
        self.server = Side(config, CLIENT, path_mtu, echo=echo)
        self.marks: list[tuple[int, int]] = []
        """Length of both logs after each turn."""
        self.server.endpoint.listen()

    def connect(self) -> None:
        """The handshake."""
        self.client.conn = self.client.endpoint.connect(self.now, SERVER)
        self.turn(b"")

    def turn(self, data: bytes, *, close: bool = False) -> None:
        """The client writes, and everything happens that comes of it, delayed ACKs excepted."""
        sent = self._wake(self.client, [], data=data, close=close)
        side = self.server
        while True:
            while sent:
                self.now += ONE_WAY
                sent = self._wake(side, sent)
                side = self.server if side is self.client else self.client
            conn = self.client.conn
            if conn is None or not conn.unsent:
                break
            side = self._wait()
            sent = self._wake(side, [], timed=True)
            side = self.server if side is self.client else self.client
        self.now += ONE_WAY
        self.marks.append((len(self.client.log), len(self.server.log)))

    def _wait(self) -> Side:
        """Go to the next deadline; returns the side that has it."""
        side = min(self.client, self.server, key=lambda side: side.endpoint.poll_timeout())
        deadline = side.endpoint.poll_timeout()
        assert deadline != NEVER
        self.now = max(self.now, deadline)
        return side

    def _wake(
        self,
        side: Side,
        arrivals: list[Transmit],
        *,
        timed: bool = False,
        data: bytes = b"",
        close: bool = False,
    ) -> list[Transmit]:
        event = WakeUp(self.now, arrivals, timed, data, close)
        side.log.append(event)
        return side.wake(event)


class Replay:
    """One side of a recorded transfer, to be gone through again."""

    def __init__(self, pair: Pair, *, server: bool, path_mtu: int) -> None:
        """The first `WARM` turns happen at once, the others by `run`."""
        original = pair.server if server else pair.client
        self._side = Side(Config(), original.peer, path_mtu, original.echo)
        self._log = original.log
        self._marks = [mark[server] for mark in pair.marks]
        self._at = 0
        if server:
            self._side.endpoint.listen()
        else:
            self._side.conn = self._side.endpoint.connect(START, SERVER)
        self._until = original
        self.run(WARM)

    def run(self, turns: int) -> None:
        """Go through so many more turns."""
        wake = self._side.wake
        start = self._marks[self._at - 1] if self._at else 0
        self._at += turns
        end = self._marks[self._at - 1]
        for event in self._log[start:end]:
            wake(event)
        if end == len(self._log):
            assert self._side.bytes_out == self._until.bytes_out, "the replay went another way"
            assert self._side.bytes_read == self._until.bytes_read
