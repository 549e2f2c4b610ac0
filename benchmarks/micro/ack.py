"""A sender that gets forged acknowledgments, with so many segments in flight all the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.micro.pair import ENTROPY, SERVER, START
from utcp.config import Config
from utcp.core import Endpoint, segment
from utcp.core.segment import ACK, SYN, Segment

MSS: Final = 1448
_MS: Final = 1_000_000
_RTT: Final = 20 * _MS
_IRS: Final = 1_000
_WSCALE: Final = 14
_BLOCK: Final = bytes(64 * MSS)


class Sender:
    """One endpoint with one connection."""

    def __init__(self, flight: int) -> None:
        """Brings it to `flight` segments in flight."""
        # Not paced: what an ACK permits is sent when it comes.
        config = Config(pacing=False, send_buffer=1 << 30, mtu_probing=False)
        self.now = START
        self.endpoint = Endpoint(config, ENTROPY)
        self.conn = self.endpoint.connect(self.now, SERVER)
        self._seg = Segment()
        self._ts_val = 0
        self._sent()
        self.una = self._seg.seq32 + 1
        self._receive(SYN | ACK, segment.syn_options(MSS + 12, _WSCALE, True, (1, self._ts_val)))
        self.nxt = self.una
        while self.nxt - self.una < flight * MSS:
            self._fill(flight)
            if self.nxt - self.una < flight * MSS:
                self.now += _RTT
                self.una = self.nxt
                self.ack(self.una)
        self.now += _RTT

    def ack(self, upto: int) -> None:
        """An ACK of everything below `upto` arrives."""
        self.una = upto
        self._receive(ACK, segment.timestamps_option(self.now // _MS, self._ts_val))

    def step(self, segments: int) -> Callable[[int], None]:
        """Each step acknowledges so many, and sends as many new ones."""
        block = bytes(segments * MSS)

        def run(steps: int) -> None:
            for _ in range(steps):
                self.now += 10_000
                self.ack(self.una + len(block))
                self.conn.write(block)
                while self.endpoint.poll_transmit(self.now) is not None:
                    pass
                self.endpoint.poll_timeout()

        return run

    def _fill(self, flight: int) -> None:
        """Send what may be sent, but no more than is wanted."""
        while self.nxt - self.una < flight * MSS:
            room = flight * MSS - (self.nxt - self.una)
            self.conn.write(_BLOCK[:room])
            before = self.nxt
            self.nxt += self._sent()
            if self.nxt - before < min(room, len(_BLOCK)):
                return

    def _sent(self) -> int:
        """Send; returns how many bytes of payload."""
        total = 0
        while (out := self.endpoint.poll_transmit(self.now)) is not None:
            for at in range(0, len(out.data), out.segment_size):
                end = min(at + out.segment_size, len(out.data))
                self._seg.parse(out.data, at, end)
                self._ts_val = self._seg.ts_val
                total += end - self._seg.payload_at
        return total

    def _receive(self, flags: int, options: bytes) -> None:
        seq = _IRS + (not flags & SYN)
        data = segment.build(flags, 0xFFFF, seq, self.una, options)
        self.endpoint.receive(self.now, SERVER, data, len(data))
        while (conn := self.endpoint.poll_ready()) is not None:
            conn.take_events()
