"""SendBuffer against a byte string and an offset."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from utcp.core.send_buffer import LARGE, MERGE, SendBuffer

SIZES = st.one_of(
    st.integers(0, 40),
    st.integers(MERGE - 3, MERGE + 3),
    st.integers(LARGE - 1, LARGE + 40),
)


class SendBufferMachine(RuleBasedStateMachine):
    """Write, cut, acknowledge in any order."""

    @initialize(start=st.sampled_from([0, 1, 0xFFFF_FFF0, 1 << 40]))
    def begin(self, start: int) -> None:
        self.buffer = SendBuffer(start)
        self.start = start
        self.held = b""
        self.written = 0

    def fresh(self, size: int) -> bytes:
        first = self.written
        self.written += size
        return bytes((first + i) % 253 for i in range(size))

    @rule(size=SIZES, kind=st.sampled_from([bytes, bytearray, memoryview]))
    def append(self, size: int, kind: type) -> None:
        data = self.fresh(size)
        self.held += data
        given = kind(data)
        self.buffer.append(given)
        if isinstance(given, bytearray):
            given[:] = bytes(size)

    @rule(size=st.integers(1, 5), count=st.integers(1, 1500))
    def append_many(self, size: int, count: int) -> None:
        for _ in range(count):
            data = self.fresh(size)
            self.held += data
            self.buffer.append(data)

    @precondition(lambda self: self.held)
    @rule(where=st.floats(0, 1, exclude_max=True))
    def run(self, where: float) -> None:
        offset = int(where * len(self.held))
        run = self.buffer.run(self.start + offset)
        assert len(run) > 0
        assert run == self.held[offset : offset + len(run)]

    @precondition(lambda self: self.held)
    @rule(count=st.integers(1, 8))
    def run_on(self, count: int) -> None:
        offset = 0
        while count and offset < len(self.held):
            run = self.buffer.run(self.start + offset)
            assert run == self.held[offset : offset + len(run)]
            offset += len(run)
            count -= 1

    @rule(a=st.floats(0, 1), b=st.floats(0, 1))
    def peek(self, a: float, b: float) -> None:
        low, high = sorted((int(a * len(self.held)), int(b * len(self.held))))
        assert self.buffer.peek(self.start + low, self.start + high) == self.held[low:high]

    @rule(where=st.floats(0, 1))
    def release(self, where: float) -> None:
        offset = int(where * len(self.held))
        self.start += offset
        self.held = self.held[offset:]
        self.buffer.release(self.start)

    @rule()
    def release_old(self) -> None:
        self.buffer.release(self.start - 1)

    @invariant()
    def same_range(self) -> None:
        assert self.buffer.start == self.start
        assert self.buffer.end == self.start + len(self.held)
        assert self.buffer.nbytes == len(self.held)

    @invariant()
    def few_chunks(self) -> None:
        alive = self.buffer._chunks[self.buffer._head :]
        assert all(len(a) + len(b) > MERGE for a, b in pairwise(alive))
        assert not any(self.buffer._chunks[: self.buffer._head])


TestSendBuffer = SendBufferMachine.TestCase
TestSendBuffer.settings = settings(stateful_step_count=40)
