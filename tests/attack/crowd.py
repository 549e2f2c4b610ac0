"""Endpoints between which the test carries datagrams, and a crowd that forges its addresses."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterator

from utcp.config import Config
from utcp.core import Connection, Endpoint, events
from utcp.testing import MS, SECOND, SegmentView, encode_segment
from utcp.testing.segment_view import SYN

MSS = (2, b"\x05\xb4")
SACK_OK = (4, b"")
WSCALE = (3, b"\x07")
STAMPS = (8, bytes(4) + b"\x00" * 4)
LINUX = [MSS, SACK_OK, STAMPS, (1, b""), WSCALE]
"""The options of a SYN as Linux and utcp send it."""

FORGED = encode_segment(SYN, 12_345, window=65_535, options=LINUX)

Lose = Callable[[Hashable, SegmentView], bool]
"""Of the sender's address and a segment: whether it is lost."""


class Net:
    """Endpoints by address. What is sent arrives at once, or nowhere."""

    def __init__(self, **endpoints: Endpoint) -> None:
        self.now = 1_000 * SECOND
        self.ends: dict[Hashable, Endpoint] = {}
        self.ends.update(endpoints)
        self.lose: Lose = lambda _sender, _segment: False
        self.told: dict[Connection, int] = {}
        """All that applications were told, by connection."""
        self.sent: list[tuple[Hashable, Hashable, bytes]] = []
        """From, to and datagram of all that was carried."""

    def carry(self) -> None:
        """Carry datagrams until nobody sends any more."""
        busy = True
        while busy:
            busy = False
            for sender, endpoint in self.ends.items():
                self._listen_to(endpoint)
                while (burst := endpoint.poll_transmit(self.now)) is not None:
                    busy = True
                    for at in range(0, len(burst.data), burst.segment_size):
                        piece = bytes(burst.data[at : at + burst.segment_size])
                        self._deliver(sender, burst.addr, piece)

    def _deliver(self, sender: Hashable, to: Hashable, data: bytes) -> None:
        self.sent.append((sender, to, data))
        if to in self.ends and not self.lose(sender, SegmentView(data)):
            self.ends[to].receive(self.now, sender, data, len(data))
            self._listen_to(self.ends[to])

    def _listen_to(self, endpoint: Endpoint) -> None:
        while (conn := endpoint.poll_ready()) is not None:
            self.told[conn] = self.told.get(conn, 0) | conn.take_events()
        endpoint.settle()

    def forged(self, to: Endpoint, addr: Hashable, data: bytes = FORGED) -> list[SegmentView]:
        """A datagram comes from `addr`, where nobody is; returns what goes back there now."""
        to.receive(self.now, addr, data, len(data))
        self._listen_to(to)
        back = []
        while (burst := to.poll_transmit(self.now)) is not None:
            assert burst.addr == addr
            back.append(SegmentView(bytes(burst.data)))
        return back

    def wait(self, ns: int, step: int = 10 * MS) -> None:
        """Time passes."""
        end = self.now + ns
        while self.now < end:
            self.now = min(self.now + step, end)
            for endpoint in self.ends.values():
                endpoint.handle_timeout(self.now)
            self.carry()

    def accepted(self, endpoint: Endpoint) -> list[Connection]:
        """The connections of a listener that its application knows of."""
        return [
            conn
            for conn in endpoint.connections()
            if conn.passive and self.told.get(conn, 0) & events.CONNECTED
        ]


def server(config: Config | None = None, *, backlog: int = 16, **how: object) -> Endpoint:
    """An endpoint that listens."""
    endpoint = Endpoint(config or Config(), b"the server's key", **how)  # type: ignore[arg-type]
    endpoint.listen(backlog)
    return endpoint


def client(config: Config | None = None, key: bytes = b"the client's key") -> Endpoint:
    """An endpoint that connects."""
    return Endpoint(config or Config(), key)


def addresses(count: int, start: int = 0) -> Iterator[tuple[str, int]]:
    """Socket addresses of so many different hosts."""
    for number in range(start, start + count):
        yield f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1024 + number % 60_000


def objects() -> int:
    """How many objects there are that can refer to others."""
    gc.collect()
    return len(gc.get_objects())
