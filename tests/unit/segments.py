"""A flight and a loss detector, played segment by segment."""

from __future__ import annotations

from utcp.core.flight import Flight
from utcp.core.loss import ENTERED_RECOVERY, EXAMINED, MARKED_LOST, REDUCE, LossDetector
from utcp.core.rtt import RttEstimator
from utcp.core.sample import AckSample
from utcp.core.timers import NEVER

MSS = 100
MS = 1_000_000
ENTRY = ENTERED_RECOVERY | MARKED_LOST | REDUCE


class Sender:
    """A flight and a detector. Segment n of one MSS begins at byte n * MSS; the SYN is byte -1.

    Each segment, each ACK and each retransmission is a millisecond later than what was before.
    """

    def __init__(self, segments: int, *, sack: bool) -> None:
        self.flight = Flight(-1)
        self.loss = LossDetector(-1)
        self.sack = sack
        self.sample = AckSample()
        self.now = 1000 * MS
        self.rtt = RttEstimator(1000 * MS, 200 * MS, 120_000 * MS)
        self.echo_ms = -1
        self.flight.sent(-1, 0, self.now)
        # The handshake takes a round trip of 100 ms.
        self.now += 99 * MS
        assert self.ack(0) == 0
        self.send(segments)
        self.now += 100 * MS

    def send(self, segments: int) -> None:
        for _ in range(segments):
            self.now += MS
            self.flight.sent(self.flight.nxt, self.flight.nxt + MSS, self.now)

    def ack(self, segment: int, *blocks: tuple[int, int], mss: int = MSS) -> int:
        """An ACK of everything before `segment`, with SACK blocks of segments. Returns flags."""
        self.now += MS
        sample = self.sample
        sample.reset(self.now)
        sample.echo_ms = self.echo_ms
        una = segment * MSS
        sample.duplicate = una == self.flight.una
        self.flight.ack(una, sample)
        self.flight.sack([(a * MSS, b * MSS) for a, b in blocks], sample)
        if sample.rtt_ns >= 0:
            self.rtt.update(sample.rtt_ns, self.now)
        flags = self.loss.on_ack(self.flight, sample, self.rtt, mss, self.sack)
        assert sample.in_flight == self.flight.pipe >= 0
        return flags & ~EXAMINED

    def rto(self) -> int:
        self.now += 1000 * MS
        return self.loss.on_rto(self.flight, self.rtt, self.now, MSS, self.sack)

    def wait(self) -> int:
        """Until the reordering timer expires. Returns flags."""
        assert self.now < self.loss.reorder_at < NEVER
        self.now = self.loss.reorder_at
        flags = self.loss.on_reorder_timeout(self.flight, self.rtt, self.now, MSS)
        return flags & ~EXAMINED

    def resend(self, limit: int = MSS) -> int:
        """Retransmit what is next. Returns the segment, -1 if there is none."""
        start, end = self.flight.next_lost(limit)
        if start < 0:
            return -1
        self.now += MS
        self.flight.resent(start, end, self.now)
        return start // MSS

    def may_probe(self) -> bool:
        return self.loss.may_probe

    def settled(self) -> bool:
        return self.loss.settled

    @property
    def pipe(self) -> int:
        """In segments."""
        return self.flight.pipe // MSS
