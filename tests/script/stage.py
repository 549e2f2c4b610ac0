"""A stage for two TCPs between which the test itself carries the segments.

    a, b = stage()
    b.listen()
    a.connect()
    syn = a.sends("S")
    b.receives(syn)
    assert b.state == "SYN-RECEIVED"

So a test can deliver, keep, lose and repeat each segment, and read like the figures of RFC 9293.
"""

from __future__ import annotations

from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, Reason, events
from utcp.testing import SECOND, SegmentView, encode_segment


class Clock:
    """The time on the stage, nanoseconds."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 1_000 * SECOND


class Peer:
    """One TCP with its application, which does nothing by itself."""

    def __init__(self, name: str, other: str, clock: Clock, config: Config) -> None:
        self.name = name
        self.other = other
        self.clock = clock
        self.config = config
        self.told = 0
        """All that the application has been told, as event bits."""
        self._conn: Connection | None = None
        self.boots = 0
        self.reboot()

    def reboot(self) -> None:
        """Lose all memory."""
        self.boots += 1
        entropy = f"{self.name}{self.boots}".ljust(16).encode()
        self.endpoint = Endpoint(self.config, entropy)
        self._conn = None
        self.told = 0

    # -- the application -----------------------------------------------------------------------

    def listen(self) -> None:
        self.endpoint.listen()

    def connect(self) -> Connection:
        self._conn = self.endpoint.connect(self.clock.now, self.other)
        return self._conn

    @property
    def conn(self) -> Connection:
        """The connection that the application has."""
        assert self._conn is not None, "the application has no connection"
        return self._conn

    @property
    def has_connection(self) -> bool:
        return self._conn is not None

    @property
    def reason(self) -> Reason:
        return self.conn.reason

    def heard(self, event: int) -> bool:
        """Whether the application was told of `event` by now."""
        return bool(self.told & event)

    # -- the wire ------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        return str(self.endpoint.state(self.other))

    def receives(self, *datagrams: SegmentView) -> None:
        """The segments arrive, one by one."""
        for segment in datagrams:
            data = raw(segment)
            self.endpoint.receive(self.clock.now, self.other, data, len(data))
            self._turn()

    def _turn(self) -> None:
        while (conn := self.endpoint.poll_ready()) is not None:
            self._conn = conn
            self.told |= conn.take_events()
        self.endpoint.settle()

    def all_sent(self) -> list[SegmentView]:
        """Everything that goes out now."""
        self._turn()
        out: list[SegmentView] = []
        while (burst := self.endpoint.poll_transmit(self.clock.now)) is not None:
            data, size = burst.data, burst.segment_size
            out += [SegmentView(data[at : at + size]) for at in range(0, len(data), size)]
        self._turn()
        return out

    def sends(self, flags: str, length: int = 0) -> SegmentView:
        """Exactly one segment goes out, with these flags (PSH aside) and so many bytes."""
        out = self.all_sent()
        assert len(out) == 1, f"{self.name} sends {out}"
        letters = out[0].flag_letters().translate({ord(c): None for c in "PEW"})
        assert (letters, len(out[0].payload)) == (flags, length), f"{self.name} sends {out}"
        return out[0]

    def is_silent(self) -> bool:
        """Whether nothing goes out now."""
        return not self.all_sent()

    def wait(self, ns: int) -> None:
        """Time passes, for both."""
        end = self.clock.now + ns
        while (due := self.endpoint.poll_timeout()) <= end and due != NEVER:
            self.clock.now = max(self.clock.now, due)
            self.endpoint.handle_timeout(self.clock.now)
            self._turn()
            if self.endpoint.poll_timeout() <= self.clock.now:
                break  # something waits to be sent
        self.clock.now = end
        self.endpoint.handle_timeout(end)
        self._turn()

    @property
    def has_nothing(self) -> bool:
        """Whether no connection and no TIME-WAIT record is left."""
        return self.endpoint.idle and not self.endpoint.connections()


def raw(segment: SegmentView) -> bytes:
    """The datagram that the segment was decoded from."""
    return encode_segment(
        segment.flags,
        segment.seq32,
        segment.ack32,
        segment.window,
        segment.options,
        segment.payload,
    )


def stage(config: Config | None = None) -> tuple[Peer, Peer]:
    """Two peers who know nothing of each other."""
    clock = Clock()
    config = config or Config(quick_acks=0)
    return Peer("A", "B", clock, config), Peer("B", "A", clock, config)


def opened(config: Config | None = None) -> tuple[Peer, Peer]:
    """Two peers with a connection, A having opened it."""
    a, b = stage(config)
    b.listen()
    a.connect()
    b.receives(a.sends("S"))
    a.receives(b.sends("S."))
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")
    assert a.told == b.told == events.CONNECTED
    return a, b
