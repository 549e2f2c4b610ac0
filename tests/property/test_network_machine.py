"""Two endpoints and a network that is out to harm them: hypothesis chooses what arrives when.

Every datagram may be lost, held back for as long as the network likes, or delivered again and
again, also long after; the applications write, read, half-close and close whenever they like; the
clock stands still or jumps. What a side reads is always the beginning of what the other wrote, and
once the network behaves, both come to their end with all of it.
"""

from __future__ import annotations

from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from utcp.config import Config
from utcp.core import Connection, Endpoint, Reason
from utcp.core.state import CLOSED, TIME_WAIT
from utcp.testing import MS, SECOND, Pattern

_MOST: Final = 20_000
_OVER: Final = (CLOSED, TIME_WAIT)


class Side:
    """One endpoint with its application."""

    def __init__(self, name: str, config: Config) -> None:
        self.endpoint = Endpoint(config, name.encode().ljust(16), path_mtu=700)
        self.config = config
        self.pattern = Pattern(ord(name[0]))
        self.conn: Connection | None = None
        self.written = 0
        self.ended = False
        self.read = 0


class NetworkMachine(RuleBasedStateMachine):
    """`a` connects to `b`, which listens."""

    @initialize(
        stamps=st.booleans(), sack=st.booleans(), room=st.sampled_from((2048, 10_000)),
        nodelay=st.booleans(), control=st.sampled_from(("cubic", "reno")),
    )  # fmt: skip
    def setup(self, stamps: bool, sack: bool, room: int, nodelay: bool, control: str) -> None:
        # So patient that nothing but an application ends a connection.
        config = Config(
            timestamps=stamps, sack=sack, recv_buffer=room, nodelay=nodelay, retries2=1000,
            syn_retries=32, synack_retries=32, orphan_retries=100, rto_max=5.0, rto_initial=1.0,
            congestion_control=control, msl=600.0,
        )  # fmt: skip
        self.now = 1000 * SECOND
        self.sides = [Side("a", config), Side("b", config)]
        self.under_way: list[list[bytes]] = [[], []]  # to each side
        self.old: list[list[bytes]] = [[], []]
        self.sides[1].endpoint.listen()
        self.sides[0].conn = self.sides[0].endpoint.connect(self.now, 1)
        self.turn()

    def turn(self) -> None:
        for number, side in enumerate(self.sides):
            endpoint = side.endpoint
            while (conn := endpoint.poll_ready()) is not None:
                conn.take_events()
                assert side.conn in (None, conn), "one connection came to be two"
                side.conn = conn
            endpoint.settle()
            while (burst := endpoint.poll_transmit(self.now)) is not None:
                data, size = burst.data, burst.segment_size
                datagrams = [data[at : at + size] for at in range(0, len(data), size)]
                self.under_way[1 - number] += datagrams

    def deliver(self, to: int, data: bytes) -> None:
        self.sides[to].endpoint.receive(self.now, 1 - to, bytearray(data), len(data))
        self.turn()

    # -- the network --------------------------------------------------------------------------

    @rule(to=st.integers(0, 1), which=st.integers(0, 1 << 16), count=st.integers(1, 8))
    def arrives(self, to: int, which: int, count: int) -> None:
        for _ in range(count):
            waiting = self.under_way[to]
            if waiting:
                data = waiting.pop(which % len(waiting))
                self.old[to].append(data)
                self.deliver(to, data)

    @rule(to=st.integers(0, 1), which=st.integers(0, 1 << 16))
    def is_lost(self, to: int, which: int) -> None:
        waiting = self.under_way[to]
        if waiting:
            self.old[to].append(waiting.pop(which % len(waiting)))

    @rule(to=st.integers(0, 1), which=st.integers(0, 1 << 16))
    def arrives_again(self, to: int, which: int) -> None:
        if self.old[to]:
            self.deliver(to, self.old[to][which % len(self.old[to])])

    @rule(ms=st.sampled_from((1, 10, 100, 300, 2000, 10_000)))
    def passes(self, ms: int) -> None:
        self.now += ms * MS
        for side in self.sides:
            side.endpoint.handle_timeout(self.now)
        self.turn()

    # -- the applications ---------------------------------------------------------------------

    @rule(by=st.integers(0, 1), size=st.integers(1, 5_000))
    def writes(self, by: int, size: int) -> None:
        side = self.sides[by]
        size = min(size, _MOST - side.written)
        if side.conn is not None and not side.ended and side.conn.state not in _OVER and size > 0:
            side.conn.write(side.pattern.data(side.written, size))
            side.written += size
            self.turn()

    @rule(by=st.integers(0, 1), limit=st.sampled_from((-1, 1, 700)))
    def reads(self, by: int, limit: int) -> None:
        side, other = self.sides[by], self.sides[1 - by]
        if side.conn is not None:
            data = side.conn.read(limit)
            assert data == other.pattern.data(side.read, len(data))
            side.read += len(data)
            assert side.read <= other.written
            self.turn()

    @rule(by=st.integers(0, 1))
    def ends(self, by: int) -> None:
        side = self.sides[by]
        if side.conn is not None:
            side.conn.write_eof()
            side.ended = True
            self.turn()

    # -- what must hold -----------------------------------------------------------------------

    @invariant()
    def is_bounded(self) -> None:
        for side in getattr(self, "sides", ()):
            for conn in side.endpoint.connections():
                rcv = conn.rcv
                assert rcv.buffer.size + rcv.reassembly.nbytes <= side.config.recv_buffer
                assert conn.snd.snd_una <= conn.snd.snd_nxt
                assert conn.snd.flight.pipe >= 0

    def teardown(self) -> None:
        """The network behaves from now on: all arrives, and both come to their end."""
        if not hasattr(self, "sides"):
            return
        for _ in range(4000):
            for to in (0, 1):
                while self.under_way[to]:
                    self.deliver(to, self.under_way[to].pop(0))
                self.reads(to, -1)
                self.ends(to)
            if all(side.conn is not None and side.conn.state in _OVER for side in self.sides):
                break
            self.passes(100)
        for side, other in (self.sides, self.sides[::-1]):
            assert side.conn is not None
            assert side.conn.reason is Reason.CLOSED
            assert side.read == other.written


NetworkMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None
)  # fmt: skip
TestNetwork = NetworkMachine.TestCase
