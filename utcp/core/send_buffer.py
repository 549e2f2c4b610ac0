"""What the application has written and the peer has not acknowledged yet, by sequence number.

The buffer keeps the application's own `bytes` objects and hands out views into them, so that a
byte on its way out is copied once only, into the burst that carries it. Small writes are the
exception: they gather in a tail that is joined when the sender first needs it, for a burst is
cheaper to cut from one chunk than from a hundred.

Invariants: `start <= end`; the chunks and the tail cover [start, end) without a gap, and the
first chunk may reach below `start`; two neighbouring chunks hold more than `MERGE` bytes together.

Memory: `end - start` bytes of payload, up to one chunk below `start`, and about 100 bytes per
chunk: at most `2 * (end - start) / MERGE + 2` chunks, so never above a fifth of the payload. The
tail adds about 50 bytes for each of at most `TAIL_PIECES` pieces. A view kept by `append` also
keeps the whole object it is a view of.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

LARGE: Final = 16 << 10
"""Bytes from which a write is a chunk of its own. Below, joining is cheaper than what a segment
that straddles two chunks costs the sender."""
TAIL_BYTES: Final = 64 << 10
"""Bytes from which the tail becomes a chunk: about one burst."""
TAIL_PIECES: Final = 1024
"""Pieces from which the tail becomes a chunk: bounds what tiny writes cost beside their bytes."""
MERGE: Final = 1024
"""Two neighbouring chunks that hold no more than this together become one."""

_COMPACT: Final = 64  # dead entries at the front of the lists before they are cut off
_NO_VIEW: Final = memoryview(b"")
_BYTE_FORMATS: Final = ("B", "b", "c")


class SendBuffer:
    """Written bytes in sequence space, from the first not acknowledged to the last written."""

    __slots__ = (
        "_chunks",
        "_ends",
        "_head",
        "_tail",
        "_tail_start",
        "_view",
        "_view_end",
        "_view_index",
        "_view_start",
        "end",
        "start",
    )

    def __init__(self, start: int) -> None:
        self.start = start
        """Sequence number of the first byte kept."""
        self.end = start
        """Sequence number after the last byte written."""
        self._chunks: list[bytes | memoryview] = []  # empty below _head
        self._ends: list[int] = []  # sequence number after the last byte of each chunk
        self._head = 0  # index of the chunk that holds `start`
        self._tail: list[bytes] = []
        self._tail_start = start
        # The cursor: a view of the chunk that `run` was last asked for.
        self._view = _NO_VIEW
        self._view_index = -1
        self._view_start = -1
        self._view_end = -1

    @property
    def nbytes(self) -> int:
        """Bytes held. Hot callers subtract `start` from `end` themselves."""
        return self.end - self.start

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Take `data` as the next bytes to send.

        Bytes are kept as they are, and so is a large contiguous view of a `bytes` object; all
        else is copied, for its owner may change it. Raises TypeError for what is not bytes-like.
        """
        chunk: bytes | memoryview = data if type(data) is bytes else _immutable(data)
        size = len(chunk)
        if size < LARGE:
            if size:
                # _immutable copies what is small, so that this is always bytes.
                tail = self._tail
                tail.append(chunk)  # type: ignore[arg-type]
                self.end = end = self.end + size
                if end - self._tail_start >= TAIL_BYTES or len(tail) >= TAIL_PIECES:
                    self._seal()
            return
        if self._tail:
            self._seal()
        self.end += size
        self._chunks.append(chunk)
        self._ends.append(self.end)
        self._tail_start = self.end

    def restart(self, seq: int) -> None:
        """Nothing is held, and what is written next begins at `seq`."""
        self.start = self.end = self._tail_start = seq

    def run(self, seq: int) -> memoryview:
        """The bytes from `seq`, which must lie in [start, end), to the end of their chunk.

        A segment that needs more than this asks again, for the sequence number after the view.
        Raises ValueError for a `seq` outside of what is held.
        """
        if not self._view_start <= seq < self._view_end:
            self._seek(seq)
        return self._view[seq - self._view_start :]

    def peek(self, start: int, end: int) -> bytes:
        """The bytes [start, end), joined. Raises ValueError if they are not all held."""
        if not self.start <= start <= end <= self.end:
            raise ValueError(f"[{start}, {end}) is not within [{self.start}, {self.end})")
        if end > self._tail_start:
            self._seal()
        pieces: list[bytes | memoryview] = []
        index = bisect_right(self._ends, start, self._head)
        while start < end:
            view = memoryview(self._chunks[index])
            chunk_end = self._ends[index]
            stop = min(end, chunk_end)
            base = chunk_end - len(view)
            pieces.append(view[start - base : stop - base])
            start = stop
            index += 1
        return b"".join(pieces)

    def release(self, seq: int) -> None:
        """Forget what is acknowledged: everything below `seq`.

        A `seq` below `start` changes nothing; one above `end`, as when a FIN is acknowledged,
        releases all.
        """
        if seq >= self.end:
            if self._chunks:
                self.clear()
            else:
                self._tail.clear()
                self.start = self._tail_start = self.end
            return
        if seq <= self.start:
            return
        self.start = seq
        if seq >= self._view_end:
            self._drop_view()
        chunks = self._chunks
        ends = self._ends
        head = self._head
        count = len(ends)
        while head < count and ends[head] <= seq:
            chunks[head] = b""
            head += 1
        if head > _COMPACT and 2 * head > count:
            del chunks[:head], ends[:head]
            if self._view_index >= 0:
                self._view_index -= head
            head = 0
        self._head = head

    def clear(self) -> None:
        """Forget everything; what is written next still follows `end`."""
        self._chunks.clear()
        self._ends.clear()
        self._tail.clear()
        self._head = 0
        self.start = self._tail_start = self.end
        self._drop_view()

    def _seek(self, seq: int) -> None:
        """Move the cursor to the chunk that holds `seq`."""
        if not self.start <= seq < self.end:
            raise ValueError(f"{seq} is not within [{self.start}, {self.end})")
        if seq >= self._tail_start:
            self._seal()
        # Sending is sequential but for retransmission: the next chunk is tried first.
        index = self._view_index + 1
        if seq != self._view_end:
            index = bisect_right(self._ends, seq, self._head)
        self._view = memoryview(self._chunks[index])
        self._view_index = index
        self._view_end = self._ends[index]
        self._view_start = self._view_end - len(self._view)

    def _seal(self) -> None:
        """Make the tail, which is not empty, a chunk."""
        tail = self._tail
        chunk = tail[0] if len(tail) == 1 else b"".join(tail)
        tail.clear()
        self._tail_start = self.end
        chunks = self._chunks
        # Each small write may be needed at once. So that a peer that does not acknowledge them
        # cannot make one object of every byte, what is tiny joins the chunk before it.
        if len(chunks) > self._head and len(chunks[-1]) + len(chunk) <= MERGE:
            chunks[-1] = b"".join((chunks[-1], chunk))
            self._ends[-1] = self.end
            if self._view_index == len(chunks) - 1:
                self._drop_view()
            return
        chunks.append(chunk)
        self._ends.append(self.end)

    def _drop_view(self) -> None:
        """Let the cursor's chunk go."""
        self._view = _NO_VIEW
        self._view_index = self._view_start = self._view_end = -1


def _immutable(data: bytes | bytearray | memoryview) -> bytes | memoryview:
    """`data` itself, if it is large and cannot change, else a copy."""
    # A view of our own: the caller may release its one.
    view = memoryview(data)
    if (
        view.nbytes >= LARGE
        and type(view.obj) is bytes
        and view.c_contiguous
        and view.format in _BYTE_FORMATS
    ):
        return view.cast("B")
    return view.tobytes()
