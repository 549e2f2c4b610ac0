"""RecvBuffer against a byte string, in a receive buffer that is overwritten after each settle."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from utcp.core.recv_buffer import MERGE, RecvBuffer

ROOM = 1 << 16


class RecvBufferMachine(RuleBasedStateMachine):
    """Receive, read and settle in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = RecvBuffer()
        self.held = b""
        self.memory = bytearray(ROOM)
        self.used = 0
        self.written = 0

    def view(self, size: int) -> memoryview:
        """The next `size` bytes of the stream, in the receive buffer."""
        if self.used + size > ROOM:
            self.settle()
        data = bytes((self.written + i) % 253 for i in range(size))
        self.written += size
        self.held += data
        self.memory[self.used : self.used + size] = data
        self.used += size
        return memoryview(self.memory)[self.used - size : self.used]

    @rule(size=st.integers(0, 3000))
    def append_view(self, size: int) -> None:
        self.buffer.append(self.view(size), True)

    @rule(size=st.integers(0, 3000))
    def append_own(self, size: int) -> None:
        self.buffer.append(bytes(self.view(size)), False)

    @rule(size=st.integers(1, 3000), count=st.integers(1, 20), borrowed=st.booleans())
    def extend(self, size: int, count: int, borrowed: bool) -> None:
        whole = self.view(size * count)
        views = [whole[i : i + size] for i in range(0, size * count, size)]
        pieces: list[bytes | memoryview] = [view if borrowed else bytes(view) for view in views]
        self.buffer.extend(pieces, size * count, borrowed)

    @rule(limit=st.one_of(st.just(-1), st.integers(0, 5000), st.integers(0, 70_000)))
    def read(self, limit: int) -> None:
        count = len(self.held) if limit < 0 else limit
        data = self.buffer.read(limit)
        assert type(data) is bytes
        assert data == self.held[:count]
        self.held = self.held[count:]

    @rule(room=st.one_of(st.integers(0, 5000), st.integers(0, 70_000)))
    def read_into(self, room: int) -> None:
        target = bytearray(room)
        count = self.buffer.read_into(target)
        assert count == min(room, len(self.held))
        assert target[:count] == self.held[:count]
        assert not any(target[count:])
        self.held = self.held[count:]

    @rule()
    def settle(self) -> None:
        self.buffer.settle()
        self.memory[:] = b"\xff" * ROOM
        self.used = 0

    @rule()
    def clear(self) -> None:
        self.buffer.clear()
        self.held = b""

    @rule(size=st.integers(1, 3), count=st.integers(1, 500))
    def trickle(self, size: int, count: int) -> None:
        before = len(self.buffer._pieces)
        for _ in range(count):
            self.append_view(size)
            self.settle()
        assert len(self.buffer._pieces) <= before + size * count // MERGE + 2

    @invariant()
    def same_size(self) -> None:
        assert self.buffer.size == len(self.held)
        assert self.buffer.size == sum(len(piece) for piece in self.buffer._pieces)


TestRecvBuffer = RecvBufferMachine.TestCase
TestRecvBuffer.settings = settings(stateful_step_count=40)
