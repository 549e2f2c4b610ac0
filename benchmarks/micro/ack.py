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
_RTT: Final = _MS // 2  # so short that nothing is paced: what an ACK permits is sent at once
_IRS: Final = 1_000
_WSCALE: Final = 14


class Sender:
    """One endpoint with one connection."""

    def __init__(self, flight: int) -> None:
        """Brings it to `flight` segments in flight."""
        config = Config(send_buffer=1 << 30, mtu_probing=False, initial_window=min(flight, 1000))
        self.now = START
        self.endpoint = Endpoint(config, ENTROPY)
        self.conn = self.endpoint.connect(self.now, SERVER)
        self._seg = Segment()
        self._ts_val = 0
        self._send()
        self.una = self._seg.seq32 + 1
        self._receive(SYN | ACK, segment.syn_options(MSS + 12, _WSCALE, True, (1, self._ts_val)))
        self._fill(flight * MSS)
        while self.conn.unsent:
            # Slow start: with an ACK for each burst, twice as many the next time.
            self.now += _RTT
            nxt = self.una + self.conn.buffered - self.conn.unsent
            while self.una < nxt:
                self.ack(min(nxt, self.una + 44 * MSS))
            self._fill(flight * MSS)
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

    def _fill(self, wanted: int) -> None:
        """Have so many bytes on the way, or to be sent; and send what may be sent."""
        self.conn.write(bytes(wanted - self.conn.buffered))
        self._send()

    def _send(self) -> None:
        while (out := self.endpoint.poll_transmit(self.now)) is not None:
            self._seg.parse(out.data, 0, min(out.segment_size, len(out.data)))
            self._ts_val = self._seg.ts_val

    def _receive(self, flags: int, options: bytes) -> None:
        seq = _IRS + (not flags & SYN)
        data = segment.build(flags, 0xFFFF, seq, self.una, options)
        self.endpoint.receive(self.now, SERVER, data, len(data))
        while (conn := self.endpoint.poll_ready()) is not None:
            conn.take_events()
