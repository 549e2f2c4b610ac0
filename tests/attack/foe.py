"""A hostile peer: it sends whatever it likes, as often as it likes, and counts what comes back.

`Script` is the better tool for a handful of segments; this one keeps no transcript and costs
little, so that a test can send tens of thousands. Sequence numbers are relative to the foe's
initial one, acknowledgments to the endpoint's: 1 is the first byte of each.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Hashable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import utcp.core
from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, State
from utcp.testing import MS, SECOND, SegmentView, encode_segment
from utcp.testing.segment_view import (
    ACK,
    FIN,
    MSS_KIND,
    NOP_KIND,
    PSH,
    RST,
    SACK_KIND,
    SACK_OK_KIND,
    SYN,
    TS_KIND,
    WSCALE_KIND,
    Option,
)

__all__ = ["ACK", "FIN", "PSH", "RST", "SYN", "Foe", "lines", "sack", "stamps"]

ADDRESS: Final = ("192.0.2.1", 4321)
ISS: Final = 1_000_000
CORE: Final = str(Path(utcp.core.__file__).parent)
HEADERS: Final = 28
"""IPv4 and UDP: what a datagram costs beside its payload."""


def sack(*blocks: tuple[int, int], base: int = 0) -> Option:
    """A SACK option, edges relative to `base`."""
    words = [(edge + base) & 0xFFFF_FFFF for block in blocks for edge in block]
    return SACK_KIND, b"".join(word.to_bytes(4) for word in words)


def stamps(val: int, ecr: int = 0) -> Option:
    """A timestamps option."""
    return TS_KIND, (val & 0xFFFF_FFFF).to_bytes(4) + (ecr & 0xFFFF_FFFF).to_bytes(4)


class Foe:
    """One endpoint, and whoever talks to it."""

    def __init__(self, config: Config | None = None, *, path_mtu: int = 1500) -> None:
        self.endpoint = Endpoint(config or Config(), bytes(32), path_mtu=path_mtu)
        self.now = 1_000 * SECOND
        self.sent: list[SegmentView] = []
        """What the endpoint has sent since `take`."""
        self.addresses: list[Hashable] = []
        """To whom, in the same order."""
        self.came = 0
        """Bytes that have come in, headers and all; datagrams times `HEADERS` included."""
        self.went = 0
        """Bytes that have gone out, in the same way."""
        self.iss = 0
        """The endpoint's initial sequence number."""
        self.reads = False
        """Whether the application reads what comes."""
        self.data = bytearray()
        self.events = 0
        self._conn: Connection | None = None

    # -- how to begin --------------------------------------------------------------------------

    @classmethod
    def opens(
        cls,
        config: Config | None = None,
        *,
        mss: int = 1460,
        wscale: int = -1,
        sacks: bool = True,
        stamp: int = -1,
        window: int = 65_535,
        path_mtu: int = 1500,
    ) -> Foe:
        """A connection that the foe has opened, with these options."""
        foe = cls(config, path_mtu=path_mtu)
        foe.endpoint.listen()
        options: list[Option] = [(MSS_KIND, mss.to_bytes(2))]
        if wscale >= 0:
            options.append((WSCALE_KIND, bytes((wscale,))))
        if sacks:
            options.append((SACK_OK_KIND, b""))
        if stamp >= 0:
            options.append(stamps(stamp))
        foe.send(SYN, 0, options=options)
        foe.iss = foe.sent[-1].seq32
        foe.advance(100 * MS)
        last = [stamps(stamp, foe.stamp())] if stamp >= 0 else []
        foe.send(ACK, 1, 1, window=window, options=last)
        assert str(foe.state) == "ESTABLISHED"
        foe.take()
        return foe

    @property
    def conn(self) -> Connection:
        """The connection."""
        assert self._conn is not None
        return self._conn

    @property
    def state(self) -> State:
        """What has become of it."""
        return self.endpoint.state(ADDRESS)

    # -- the foe -------------------------------------------------------------------------------

    def send(
        self,
        flags: int,
        seq: int,
        ack: int = 0,
        data: bytes = b"",
        *,
        window: int = 65_535,
        options: list[Option] | None = None,
        addr: Hashable = ADDRESS,
    ) -> None:
        """One segment comes in, from `addr` if the network is to be believed."""
        datagram = self.segment(flags, seq, ack, data, window=window, options=options)
        self.deliver(datagram, addr=addr)

    def segment(
        self,
        flags: int,
        seq: int,
        ack: int = 0,
        data: bytes = b"",
        *,
        window: int = 65_535,
        options: list[Option] | None = None,
    ) -> bytes:
        """The datagram that `send` sends."""
        if options and options[0][0] == TS_KIND:
            # Where RFC 7323 Appendix A puts them, and so where header prediction looks.
            options = [(NOP_KIND, b""), (NOP_KIND, b""), *options]
        ack32 = ack + self.iss if flags & ACK else 0
        return encode_segment(flags, seq + ISS, ack32, window, options, data)

    def deliver(self, data: bytes, stride: int = 0, *, addr: Hashable = ADDRESS) -> None:
        """Datagrams come in, cut every `stride` bytes."""
        count = -(-len(data) // stride) if stride else 1
        self.came += len(data) + count * HEADERS
        self.endpoint.receive(self.now, addr, data, len(data), stride)
        self.turn()

    def ack(self, ack: int, *blocks: tuple[int, int], seq: int = 1, window: int = 65_535) -> None:
        """A bare ACK with SACK blocks."""
        options = [sack(*blocks, base=self.iss)] if blocks else None
        self.send(ACK, seq, ack, window=window, options=options)

    def stamp(self) -> int:
        """The TSval of the last segment that the endpoint sent."""
        found = self.sent[-1].timestamps
        assert found is not None
        return found[0]

    # -- the endpoint --------------------------------------------------------------------------

    def turn(self) -> None:
        """The endpoint does what a driver has it do at each wake-up."""
        endpoint = self.endpoint
        while (conn := endpoint.poll_ready()) is not None:
            self._conn = conn
            self.events |= conn.take_events()
            if self.reads:
                self.data += conn.read()
        endpoint.settle()
        while (burst := endpoint.poll_transmit(self.now)) is not None:
            data, size = burst.data, burst.segment_size or len(burst.data)
            for at in range(0, len(data), size):
                self.sent.append(SegmentView(data[at : at + size]))
                self.addresses.append(burst.addr)
                self.went += HEADERS + len(data[at : at + size])

    def advance(self, ns: int) -> None:
        """Time passes, timers fire."""
        until = self.now + ns
        while (due := self.endpoint.poll_timeout()) <= until and due != NEVER:
            self.now = max(self.now, due)
            self.endpoint.handle_timeout(self.now)
            self.turn()
        self.now = until

    def write(self, size: int) -> None:
        """The application writes."""
        self.conn.write(bytes(size))
        self.turn()

    def take(self) -> list[SegmentView]:
        """What was sent since the last call."""
        sent = self.sent
        self.sent = []
        self.addresses = []
        return sent


def lines(call: Callable[[], object]) -> int:
    """How many lines of the core the call runs: what it costs, on any machine."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(CORE):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def memory(call: Callable[[], object]) -> int:
    """How many bytes of memory are held after the call and were not before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
