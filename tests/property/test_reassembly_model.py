"""Reassembly against a dictionary of single bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from utcp.core import reassembly
from utcp.core.reassembly import Reassembly

SPAN = 400
MERGE = 16  # in place of the real one, so that short ranges have several chunks
Range = tuple[int, int]


class Model:
    """Held bytes one by one, and one number per byte that says when its range was last hit."""

    def __init__(self, max_ranges: int, max_bytes: int) -> None:
        self.max_ranges = max_ranges
        self.max_bytes = max_bytes
        self.held: dict[int, int] = {}
        self.hit: dict[int, int] = {}
        self.clock = 0
        self.dup: Range | None = None

    def ranges(self) -> list[Range]:
        found: list[Range] = []
        for seq in sorted(self.held):
            if found and found[-1][1] == seq:
                found[-1] = (found[-1][0], seq + 1)
            else:
                found.append((seq, seq + 1))
        return found

    def by_recency(self) -> list[Range]:
        def last_hit(block: Range) -> int:
            return max(self.hit[seq] for seq in range(*block))

        return sorted(self.ranges(), key=last_hit, reverse=True)

    def insert(self, start: int, end: int, data: bytes) -> int:
        if start >= end:
            return 0
        known = [seq for seq in range(start, end) if seq in self.held]
        if known:
            stop = known[0]
            while stop in self.held and stop < end:
                stop += 1
            self.note(known[0], stop)
        new = [seq for seq in range(start, end) if seq not in self.held]
        self.clock += 1
        for seq in range(start, end):
            self.held.setdefault(seq, data[seq - start])
        # What is held beside it counts as hit even if the bound then takes the new bytes away.
        self.hit.update(dict.fromkeys(range(start - 1, end + 1), self.clock))
        while len(self.held) > self.max_bytes:
            del self.held[max(self.held)]
        while len(self.ranges()) > self.max_ranges:
            for seq in range(*self.ranges()[-1]):
                del self.held[seq]
        return sum(seq in self.held for seq in new)

    def note(self, start: int, end: int) -> None:
        if self.dup is None:
            self.dup = (start, end)
        elif start <= self.dup[1] and end >= self.dup[0]:
            self.dup = (min(start, self.dup[0]), max(end, self.dup[1]))

    def duplicate(self, start: int, end: int) -> None:
        self.note(start, end)
        if all(seq in self.held for seq in range(start, end)):
            self.clock += 1
            self.hit.update(dict.fromkeys(range(start, end), self.clock))

    def sack_blocks(self, limit: int) -> list[Range]:
        blocks: list[Range] = []
        others = self.by_recency()
        if self.dup is not None and limit > 0:
            start, end = self.dup
            self.dup = None
            blocks.append((start, end))
            for block in others:
                if block[0] <= start and end <= block[1]:
                    blocks.append(block)
                    others.remove(block)
                    break
        return (blocks + others)[:limit]

    def take(self, rcv_nxt: int) -> tuple[bytes, int]:
        for seq in [seq for seq in self.held if seq < rcv_nxt]:
            del self.held[seq]
        data = bytearray()
        while rcv_nxt in self.held:
            data.append(self.held.pop(rcv_nxt))
            rcv_nxt += 1
        return bytes(data), rcv_nxt


class ReassemblyMachine(RuleBasedStateMachine):
    """Segments in any order, with other bytes each time; a window that may be too small."""

    @initialize(
        base=st.sampled_from([1, 0xFFFF_FF80, 1 << 40]),
        max_ranges=st.sampled_from([1, 2, 5, 1000]),
        max_bytes=st.sampled_from([1, 50, 150, 100_000]),
    )
    def begin(self, base: int, max_ranges: int, max_bytes: int) -> None:
        self.rcv_nxt = base
        self.queue = Reassembly(max_ranges, max_bytes)
        self.model = Model(max_ranges, max_bytes)
        self.count = 0
        self.real_merge = reassembly.MERGE
        vars(reassembly)["MERGE"] = MERGE

    def teardown(self) -> None:
        vars(reassembly)["MERGE"] = self.real_merge

    def fresh(self, size: int) -> bytes:
        """Other bytes at each call, so that it shows which copy was kept."""
        self.count += 1
        return bytes((self.count * 31 + i) % 256 for i in range(size))

    @rule(
        offset=st.integers(0, SPAN),
        size=st.one_of(st.integers(0, 3), st.integers(0, 120)),
        cut=st.integers(0, 200),
    )
    def insert(self, offset: int, size: int, cut: int) -> None:
        start = self.rcv_nxt + offset
        data = self.fresh(size)
        memory = bytearray(data)
        pieces: list[bytes | memoryview] = [memoryview(memory)[:cut], memoryview(memory)[cut:]]
        if cut == 0:
            stored = self.queue.insert(start, start + size, data)
        elif cut == 1:
            stored = self.queue.insert(start, start + size, memoryview(memory))
        else:
            stored = self.queue.insert(start, start + size, pieces)
        memory[:] = bytes(size)
        assert stored == self.model.insert(start, start + size, data)

    @rule(parts=st.permutations(range(8)), offset=st.integers(1, 50), size=st.integers(1, 20))
    def shuffle(self, parts: list[int], offset: int, size: int) -> None:
        """A reordered train, the usual thing."""
        for part in parts:
            self.insert(offset + part * size, size, 0)

    @rule(offset=st.integers(-100, SPAN), size=st.integers(1, 50))
    def duplicate(self, offset: int, size: int) -> None:
        start = self.rcv_nxt + offset
        self.queue.duplicate(start, start + size)
        self.model.duplicate(start, start + size)

    @rule(limit=st.integers(0, 4))
    def sack_blocks(self, limit: int) -> None:
        assert self.queue.sack_blocks(limit) == self.model.sack_blocks(limit)

    @rule(advance=st.one_of(st.just(0), st.integers(1, 60)))
    def take(self, advance: int) -> None:
        chunks, rcv_nxt = self.queue.take(self.rcv_nxt + advance)
        assert all(chunks)
        assert (b"".join(chunks), rcv_nxt) == self.model.take(self.rcv_nxt + advance)
        self.rcv_nxt = rcv_nxt

    @rule()
    def take_at_the_first_range(self) -> None:
        if self.queue.starts:
            self.take(self.queue.starts[0] - self.rcv_nxt)

    @invariant()
    def same_ranges(self) -> None:
        ranges = list(zip(self.queue.starts, self.queue.ends, strict=True))
        assert ranges == self.model.ranges()
        assert self.queue.nbytes == len(self.model.held)
        assert self.queue.duplicated == (self.model.dup is not None)

    @invariant()
    def sound_inside(self) -> None:
        queue = self.queue
        assert sorted(queue._recent) == queue.starts
        for chunks, start, end in zip(queue._chunks, queue.starts, queue.ends, strict=True):
            assert sum(map(len, chunks)) == end - start
            assert all(len(a) + len(b) > MERGE for a, b in pairwise(chunks))


TestReassembly = ReassemblyMachine.TestCase
TestReassembly.settings = settings(stateful_step_count=50)
