"""Flight against a model that keeps one record per byte."""

from __future__ import annotations

from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from utcp.core.flight import Flight
from utcp.core.sample import AckSample

MSS: Final = 10


class Byte:
    """What is known of one byte in flight."""

    __slots__ = ("lost", "repeated", "resent", "sacked", "sent_at")

    def __init__(self, now: int) -> None:
        self.sent_at = now
        self.sacked = False
        self.lost = False
        self.resent = False
        self.repeated = False


class FlightMachine(RuleBasedStateMachine):
    """Every operation that the core makes of a Flight, in any order."""

    @initialize(iss=st.integers(0, 1 << 32), max_records=st.sampled_from((4, 12, 16_384)))
    def setup(self, iss: int, max_records: int) -> None:
        self.flight = Flight(iss)
        self.flight.max_records = max_records
        self.bounded = max_records < 100
        self.sample = AckSample()
        self.model: dict[int, Byte] = {}
        self.una = self.nxt = iss
        self.now = 0
        self.reordered = False

    def tick(self) -> None:
        self.now += 1
        self.sample.reset(self.now)

    @rule(size=st.integers(1, 60))
    def sent(self, size: int) -> None:
        self.tick()
        self.flight.sent(self.nxt, self.nxt + size, self.now)
        for seq in range(self.nxt, self.nxt + size):
            self.model[seq] = Byte(self.now)
        self.nxt += size

    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        self.tick()
        una = data.draw(st.integers(self.una - 3, self.nxt))
        pipe = self.flight.pipe
        self.had_dups = self.flight.dup_bytes > 0
        self.flight.ack(una, self.sample)
        assert self.sample.prior_in_flight == pipe
        assert self.sample.acked == max(0, una - self.una)
        fack = max(self.fack(), self.una)
        gone = [self.model.pop(seq) for seq in range(self.una, una)]
        self.una = max(una, self.una)
        self.delivered(dict(enumerate(gone, self.una - len(gone))), fack)
        if not self.flight.dup_bytes and not self.had_dups:
            assert self.sample.delivered == sum(not byte.sacked for byte in gone)
        if gone and not any(byte.sacked or byte.repeated for byte in gone):
            assert self.sample.rtt_ns == self.now - gone[-1].sent_at
        else:
            assert self.sample.rtt_ns == -1

    @precondition(lambda self: not self.flight.dup_bytes)
    @rule(data=st.data())
    def sack(self, data: st.DataObject) -> None:
        self.tick()
        edge = st.integers(self.una - 5, self.nxt + 5)
        blocks = data.draw(st.lists(st.tuples(edge, edge), max_size=4))
        fack = max(self.fack(), self.una)
        self.flight.sack(blocks, self.sample)
        new = set()
        for start, end in blocks:
            if self.una <= start < end <= self.nxt:
                new |= {seq for seq in range(start, end) if not self.model[seq].sacked}
        if self.bounded:
            # Fewer may be marked when there are many records; those that are can be read off.
            board = self.flight.scoreboard
            new &= {s for a, b in zip(board.starts, board.ends, strict=True) for s in range(a, b)}
        assert self.sample.sacked == self.sample.delivered == len(new)
        once = [self.model[seq].sent_at for seq in new if not self.model[seq].repeated]
        # The newest of the first block that has any; so no exact value with several blocks.
        assert (self.sample.rtt_ns >= 0) == bool(once)
        self.delivered({seq: self.model[seq] for seq in sorted(new)}, fack)
        for seq in new:
            byte = self.model[seq]
            byte.sacked = True
            byte.lost = byte.resent = False

    @rule(data=st.data())
    def mark_lost(self, data: st.DataObject) -> None:
        start = data.draw(st.integers(self.una - 3, self.nxt))
        end = data.draw(st.integers(start, self.nxt))
        total = 0
        for seq in range(max(start, self.una), end):
            byte = self.model[seq]
            if not byte.sacked and (not byte.lost or byte.resent):
                byte.lost = True
                byte.resent = False
                total += 1
        assert self.flight.mark_lost(start, end) == total

    @precondition(lambda self: not self.flight.dup_bytes)
    @rule(ago=st.integers(0, 10), back=st.integers(0, 10), data=st.data())
    def mark_sent_before(self, ago: int, back: int, data: st.DataObject) -> None:
        """RACK: all that was sent before some segment, the youngest of it spared."""
        if not self.model:
            return
        xmit_ts = self.now - ago
        end_seq = data.draw(st.integers(self.una, self.nxt))
        if any(byte.sent_at == xmit_ts for byte in self.model.values()):
            # RACK.segment has arrived, so no record goes over its end.
            self.flight._cut(end_seq)
        limit = xmit_ts - back
        due: list[Byte] = []
        spared: list[Byte] = []
        for seq, byte in self.model.items():
            in_network = not byte.sacked and (not byte.lost or byte.resent)
            before = byte.sent_at < xmit_ts or (byte.sent_at == xmit_ts and seq < end_seq)
            if in_network and before:
                (due if byte.sent_at <= limit else spared).append(byte)
        assert self.flight.mark_sent_before(xmit_ts, end_seq, limit) == len(due)
        pending_at = self.flight.pending_at
        assert pending_at == min((byte.sent_at for byte in spared), default=-1)
        for byte in due:
            byte.lost = True
            byte.resent = False

    @precondition(lambda self: not self.flight.dup_bytes)
    @rule(ago=st.integers(0, 10))
    def mark_sent_by(self, ago: int) -> None:
        total = 0
        for byte in self.model.values():
            if byte.sent_at <= self.now - ago and not byte.sacked:
                total += not byte.lost or byte.resent
                byte.lost = True
                byte.resent = False
        assert self.flight.mark_sent_by(self.now - ago) == total

    @precondition(lambda self: not self.flight.dup_bytes)
    @rule()
    def unmark_lost(self) -> None:
        for byte in self.model.values():
            if byte.lost:
                byte.lost = False
                byte.resent = byte.repeated
        self.flight.unmark_lost()

    @rule(forget=st.booleans())
    def mark_all_lost(self, forget: bool) -> None:
        total = 0
        for byte in self.model.values():
            if byte.sacked and not forget:
                continue
            total += not (byte.lost and not byte.resent)
            byte.sacked = byte.resent = False
            byte.lost = True
        assert self.flight.mark_all_lost(forget) == total

    @rule(limit=st.integers(1, 100), part=st.integers(1, 100))
    def resend(self, limit: int, part: int) -> None:
        self.tick()
        start, end = self.flight.next_lost(limit)
        waiting = self.waiting()
        if not waiting:
            assert (start, end) == (-1, -1)
            return
        assert start == waiting[0]
        assert start < end <= start + limit
        assert all(seq in waiting for seq in range(start, end))
        assert end == start + limit or end not in waiting
        end = min(end, start + part)
        self.flight.resent(start, end, self.now)
        self.resent(start, end)

    @rule(data=st.data())
    def resend_anything(self, data: st.DataObject) -> None:
        self.tick()
        start = data.draw(st.integers(self.una, self.nxt))
        end = data.draw(st.integers(start, self.nxt))
        self.flight.resent(start, end, self.now)
        self.resent(start, end)

    @precondition(lambda self: not self.flight.sacked_bytes)
    @rule()
    def duplicate(self) -> None:
        self.flight.dup_acked(MSS, self.sample)

    @rule()
    def forget_dups(self) -> None:
        self.flight.forget_dups()

    def fack(self) -> int:
        """The end of what is SACKed."""
        return max((seq + 1 for seq, byte in self.model.items() if byte.sacked), default=0)

    def delivered(self, news: dict[int, Byte], fack: int) -> None:
        """Compare what the flight tells of bytes that have just arrived."""
        fresh = {seq: byte for seq, byte in news.items() if not byte.sacked}
        once = [seq for seq, byte in fresh.items() if not byte.repeated]
        assert self.sample.orig == min(once, default=-1)
        newest = max((byte.sent_at, seq + 1) for seq, byte in fresh.items()) if fresh else (-1, 0)
        assert self.sample.newest_at == newest[0]
        if fresh:
            assert self.sample.newest_end == newest[1]
        self.reordered |= any(seq + 1 < fack for seq in once)

    def waiting(self) -> list[int]:
        return [seq for seq, byte in self.model.items() if byte.lost and not byte.resent]

    def resent(self, start: int, end: int) -> None:
        for seq in range(start, end):
            byte = self.model[seq]
            if not byte.sacked:
                byte.sent_at = self.now
                byte.resent = byte.repeated = True

    @invariant()
    def counters(self) -> None:
        flight = self.flight
        model = self.model.values()
        assert (flight.una, flight.nxt) == (self.una, self.nxt)
        assert flight.sacked_bytes == sum(byte.sacked for byte in model)
        assert flight.lost_bytes == sum(byte.lost for byte in model)
        assert flight.resent_bytes == sum(byte.resent for byte in model)
        pipe = sum((not b.sacked and not b.lost) + b.resent for b in model)
        assert flight.pipe == pipe - flight.dup_bytes
        assert flight.pipe >= 0
        assert flight.dup_bytes >= 0
        assert flight.reordering_seen == self.reordered
        assert flight.head_sacked() == (bool(self.model) and self.model[self.una].sacked)
        head = flight.head()
        assert (head is not None) == bool(self.model)
        if head is not None and not self.model[self.una].sacked:
            byte = self.model[self.una]
            assert (head.start, head.sent_at) == (self.una, byte.sent_at)

    @invariant()
    def ranges(self) -> None:
        board = self.flight.scoreboard
        sacked = [seq for seq, byte in self.model.items() if byte.sacked]
        listed = [s for a, b in zip(board.starts, board.ends, strict=True) for s in range(a, b)]
        assert listed == sacked
        assert all(a < b for a, b in zip(board.ends, board.starts[1:], strict=False))

    @invariant()
    def records(self) -> None:
        flight = self.flight
        bursts = flight._bursts[flight._head :]
        assert flight._starts[flight._head :] == [burst.start for burst in bursts]
        assert len(flight) == len(bursts)
        edge = self.una
        for burst in bursts:
            assert burst.start == edge < burst.end
            edge = burst.end
        assert edge == self.nxt


FlightMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFlight = FlightMachine.TestCase
