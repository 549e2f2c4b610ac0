"""Parts of the core by themselves, and what happens around a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.micro.pair import ENTROPY, START
from utcp.config import Config
from utcp.core import Endpoint, events, segment
from utcp.core.reassembly import Reassembly
from utcp.core.segment import ACK, PSH, SYN, Segment

Run = Callable[[int], None]

SEGMENTS: Final = 44
PAYLOAD: Final = 1448
_SECOND: Final = 1_000_000_000
_STAMPS: Final = segment.timestamps_option(123_456, 654_321)
_BLOCKS: Final = [(n, n + PAYLOAD) for n in (50_000, 30_000, 10_000)]
_DATAGRAMS: Final = {
    "data": segment.build(ACK | PSH, 500, 7, 8, _STAMPS) + bytes(PAYLOAD),
    "sack": segment.build(ACK, 500, 7, 8, _STAMPS + segment.sack_option(_BLOCKS)),
    "syn": segment.build(SYN, 65_535, 7, 0, segment.syn_options(1460, 8, True, (1, 0))),
}


def parse(kind: str) -> Run:
    """One segment is taken apart."""
    data, seg = _DATAGRAMS[kind], Segment()
    assert seg.parse(data, 0, len(data)) == segment.OK

    def run(steps: int) -> None:
        parse, end = seg.parse, len(data)
        for _ in range(steps):
            parse(data, 0, end)

    return run


def build(*, sack: bool) -> Run:
    """The header of an ACK, with timestamps, is put together."""

    def run(steps: int) -> None:
        for seq in range(steps):
            options = segment.timestamps_option(seq, seq)
            if sack:
                options += segment.sack_option(_BLOCKS)
            segment.build(ACK, 500, seq, seq, options)

    return run


def reassembly(order: list[int]) -> Run:
    """44 segments arrive in this order above a gap, which then closes."""
    held = Reassembly(256, 1 << 30)
    payload = memoryview(bytes(PAYLOAD))

    def run(steps: int) -> None:
        for _ in range(steps):
            for n in order:
                held.insert(n * PAYLOAD, (n + 1) * PAYLOAD, payload)
                held.sack_blocks(3)
            chunks, end = held.take(PAYLOAD)
            assert end == (SEGMENTS + 1) * PAYLOAD
            del chunks

    return run


ORDERS: Final = {
    "in-order": list(range(1, SEGMENTS + 1)),
    "reverse": list(range(SEGMENTS, 0, -1)),
    "holes": [*range(2, SEGMENTS + 1, 2), *range(1, SEGMENTS + 1, 2)],
}


class Visits:
    """Connections that come and go between two endpoints, each to another address."""

    def __init__(self) -> None:
        self.now = START
        self.client = Endpoint(Config(), ENTROPY)
        self.server = Endpoint(Config(), ENTROPY)
        self.server.listen()
        self._count = 0
        self.last_from_server = b""

    def run(self, visits: int) -> None:
        """Open, 64 bytes there and back, close; the record of a minute before ends."""
        for _ in range(visits):
            self._count += 1
            addr = ("10.0.0.9", self._count)
            conn = self.client.connect(self.now, addr)
            conn.write(bytes(64))
            while self._carry(self.client, self.server, addr, echo=True):
                self.now += 25_000
                if not self._carry(self.server, self.client, addr, echo=False):
                    break
                self.now += 25_000
            assert self.client.state(addr).name == "TIME_WAIT"
            self.now += _SECOND
            self.client.handle_timeout(self.now)
            self.server.handle_timeout(self.now)

    def late_fins(self, steps: int) -> None:
        """The peer of a connection in TIME-WAIT sends its FIN again: it gets its ACK again."""
        addr, data = ("10.0.0.9", self._count), self.last_from_server
        for _ in range(steps):
            self.now += _SECOND
            self.client.receive(self.now, addr, data, len(data))
            out = self.client.poll_transmit(self.now)
            assert out is not None

    def strays(self, steps: int) -> None:
        """A segment for nobody is answered with a reset."""
        addr, data = ("10.0.0.8", 1), _DATAGRAMS["data"]
        for _ in range(steps):
            self.now += _SECOND
            self.client.receive(self.now, addr, data, len(data))
            out = self.client.poll_transmit(self.now)
            assert out is not None

    def _carry(
        self, sender: Endpoint, receiver: Endpoint, addr: tuple[str, int], *, echo: bool
    ) -> bool:
        """Bring over what one has sent, and let the other's application answer."""
        sent = False
        while (out := sender.poll_transmit(self.now)) is not None:
            sent = True
            if sender is self.server:
                self.last_from_server = out.data
            receiver.receive(self.now, addr, out.data, len(out.data))
        while (conn := receiver.poll_ready()) is not None:
            news = conn.take_events()
            if news & events.READABLE:
                data = conn.read()
                if echo:
                    conn.write(data)
                else:
                    conn.close()
            if news & events.EOF and echo:
                conn.close()
        receiver.settle()
        return sent
