"""Data received above RCV.NXT, and what SACK says of it (RFC 9293 §3.10.7.4, RFC 2018, RFC 2883).

Held data is a sorted list of ranges that neither overlap nor touch. It is copied when it comes
in, for it outlives the buffer it was received in. Of data that overlaps, what came first stands.

Invariants: `starts[i] < ends[i] < starts[i + 1]`; two neighbouring chunks of a range hold more
than `MERGE` bytes together; `nbytes <= max_bytes` and `len(starts) <= max_ranges` between calls.

Memory, whatever a peer sends: the payload, less than 50 bytes for each of at most
`2 * nbytes / MERGE + len(starts)` chunks, and less than 400 bytes per range. What does not fit is
dropped from the far end, so that what RCV.NXT needs next always has room. A window that is never
above `max_bytes` never comes to that; nothing that has been reported is then taken back.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

MERGE: Final = 1024
"""Two neighbouring chunks that hold no more than this together become one."""


class Reassembly:
    """The out-of-order queue of one connection. `starts` is true while it holds anything."""

    __slots__ = (
        "_chunks",
        "_dup_end",
        "_dup_start",
        "_recent",
        "duplicated",
        "ends",
        "max_bytes",
        "max_ranges",
        "nbytes",
        "starts",
    )

    def __init__(self, max_ranges: int, max_bytes: int) -> None:
        self.max_ranges = max_ranges
        self.max_bytes = max_bytes
        self.starts: list[int] = []
        """First sequence number of each range, ascending. Read only."""
        self.ends: list[int] = []
        """Sequence number after the last of each range. Read only."""
        self.nbytes = 0
        """Payload held, in bytes."""
        self.duplicated = False
        """A duplicate is waiting to be reported by `sack_blocks`."""
        self._chunks: list[list[bytes]] = []
        self._recent: dict[int, None] = {}  # starts, the range that received last at the end
        self._dup_start = 0
        self._dup_end = 0

    def insert(
        self, start: int, end: int, data: list[bytes | memoryview] | bytes | memoryview
    ) -> int:
        """Hold [start, end), whose bytes are `data`; return how many of them were not held yet.

        The caller has cut off what lies below RCV.NXT. Data that is in order but reaches
        `starts[0]` belongs here too, followed by `take`: what came first stands. A part that is
        held already is noted as a duplicate. What does not fit is not held and not counted.
        """
        # RFC 9293 §3.10.7.4 step 1 (SHLD-31): segments with higher beginning sequence numbers
        # are held for later processing.
        if start >= end:
            return 0
        starts = self.starts
        ends = self.ends
        i = bisect_left(ends, start)  # the first range that reaches `start`
        if i < len(ends) and starts[i] <= end:
            if ends[i] == start and (i + 1 == len(ends) or end < starts[i + 1]):
                return self._prolong(i, end, data)
            return self._merge(i, start, end, data)
        if i >= self.max_ranges:
            return 0
        starts.insert(i, start)
        ends.insert(i, end)
        self._chunks.insert(i, [_copy(data)])
        self._recent[start] = None
        self.nbytes += end - start
        if self.nbytes > self.max_bytes or len(starts) > self.max_ranges:
            return self._shed([(start, end)])
        return end - start

    def take(self, rcv_nxt: int) -> tuple[list[bytes], int]:
        """Take out what follows `rcv_nxt` without a gap; return it and the new RCV.NXT.

        What lies below `rcv_nxt` is dropped.
        """
        starts = self.starts
        ends = self.ends
        if not starts or starts[0] > rcv_nxt:
            return [], rcv_nxt
        done = bisect_right(ends, rcv_nxt)  # ranges that lie below as a whole
        chunks: list[bytes] = []
        new_nxt = rcv_nxt
        drop = done
        if done < len(starts) and starts[done] <= rcv_nxt:
            chunks = self._chunks[done]
            new_nxt = ends[done]
            _cut_front(chunks, rcv_nxt - starts[done])
            drop += 1
        for i in range(drop):
            self.nbytes -= ends[i] - starts[i]
            del self._recent[starts[i]]
        del starts[:drop], ends[:drop], self._chunks[:drop]
        return chunks, new_nxt

    def duplicate(self, start: int, end: int) -> None:
        """Note that [start, end) was received again: `sack_blocks` reports it once.

        `insert` does so by itself for what it holds; the caller does it for what lies below
        RCV.NXT. Before the next report only a duplicate that continues or overlaps the first one
        adds to it, as in Linux.
        """
        if start >= end:
            return
        # RFC 2018 §4: the range that holds the segment is the one to be reported first.
        i = bisect_right(self.starts, start) - 1
        if i >= 0 and end <= self.ends[i]:
            self._touch(self.starts[i])
        if not self.duplicated:
            # RFC 2883 §4 (1): the duplicate is a contiguous sequence; §4.2: if a segment has
            # several, the first one is reported.
            self.duplicated = True
            self._dup_start = start
            self._dup_end = end
        elif start <= self._dup_end and end >= self._dup_start:
            self._dup_start = min(start, self._dup_start)
            self._dup_end = max(end, self._dup_end)

    def sack_blocks(self, limit: int) -> list[tuple[int, int]]:
        """Up to `limit` blocks for the SACK option, in the order in which they are to stand."""
        starts = self.starts
        blocks: list[tuple[int, int]] = []
        enclosing = -1
        if self.duplicated and limit > 0:
            # RFC 2883 §4 (2): each duplicate is reported in at most one block.
            self.duplicated = False
            blocks.append((self._dup_start, self._dup_end))
            # RFC 2883 §4 (4): the second block is the one that the duplicate is a part of.
            i = bisect_right(starts, self._dup_start) - 1
            if i >= 0 and self._dup_end <= self.ends[i] and limit > 1:
                enclosing = starts[i]
                blocks.append((enclosing, self.ends[i]))
        # RFC 2018 §4: the block with the segment that triggered this ACK is the first; the most
        # recently reported others follow, as many as there is room for.
        for start in reversed(self._recent):
            if len(blocks) >= limit:
                break
            if start != enclosing:
                blocks.append((start, self.ends[bisect_left(starts, start)]))
        return blocks

    def clear(self) -> None:
        """Forget all data, and a duplicate not reported yet."""
        if self.starts:
            self.starts.clear()
            self.ends.clear()
            self._chunks.clear()
            self._recent.clear()
            self.nbytes = 0
        self.duplicated = False

    def _prolong(
        self, i: int, end: int, data: list[bytes | memoryview] | bytes | memoryview
    ) -> int:
        """Add data that continues range `i` and reaches no other: the usual case after a loss."""
        start = self.ends[i]
        _add(self._chunks[i], _copy(data))
        self.ends[i] = end
        self._touch(self.starts[i])
        self.nbytes += end - start
        if self.nbytes > self.max_bytes:
            return self._shed([(start, end)])
        return end - start

    def _merge(
        self, i: int, start: int, end: int, data: list[bytes | memoryview] | bytes | memoryview
    ) -> int:
        """Add data that overlaps or joins range `i` and perhaps others above it."""
        starts = self.starts
        ends = self.ends
        # RFC 2883 §4.2: the first duplicate part is the one to report.
        first = i if ends[i] > start else i + 1
        if first < len(starts) and starts[first] < end:
            self.duplicate(max(start, starts[first]), min(end, ends[first]))
        if starts[i] <= start and end <= ends[i]:
            return 0
        j = bisect_right(starts, end, i)
        fresh = _copy(data)
        merged: list[bytes] = []
        gaps: list[tuple[int, int]] = []
        at = start  # the first byte that is in no chunk yet
        for k in range(i, j):
            if at < starts[k]:
                gaps.append((at, starts[k]))
                _add(merged, fresh[at - start : starts[k] - start])
            _join(merged, self._chunks[k])
            at = ends[k]
        if at < end:
            gaps.append((at, end))
            _add(merged, fresh[at - start :])
        for k in range(i, j):
            del self._recent[starts[k]]
        low = min(start, starts[i])
        high = max(end, ends[j - 1])
        starts[i:j] = [low]
        ends[i:j] = [high]
        self._chunks[i:j] = [merged]
        self._recent[low] = None
        added = sum(b - a for a, b in gaps)
        self.nbytes += added
        return self._shed(gaps) if self.nbytes > self.max_bytes else added

    def _touch(self, start: int) -> None:
        """Make the range that begins at `start` the one that received last."""
        recent = self._recent
        del recent[start]
        recent[start] = None

    def _shed(self, gaps: list[tuple[int, int]]) -> int:
        """Drop from the far end what is too much; return what is left of the new `gaps`."""
        starts = self.starts
        ends = self.ends
        while self.nbytes > self.max_bytes or len(starts) > self.max_ranges:
            size = ends[-1] - starts[-1]
            excess = self.nbytes - self.max_bytes
            if size > excess and len(starts) <= self.max_ranges:
                _cut_back(self._chunks[-1], excess)
                ends[-1] -= excess
                self.nbytes -= excess
                break
            del self._recent[starts.pop()]
            ends.pop()
            self._chunks.pop()
            self.nbytes -= size
        top = ends[-1] if ends else 0
        return sum(max(0, min(b, top) - a) for a, b in gaps)


NOTHING_HELD: Final = Reassembly(0, 0)
"""What all connections share to which nothing has come out of order yet. Nothing is put in."""


def _copy(data: list[bytes | memoryview] | bytes | memoryview) -> bytes:
    """The data in one object that nothing else writes to."""
    if type(data) is bytes:
        return data
    return b"".join(data) if isinstance(data, list) else bytes(data)


def _add(chunks: list[bytes], chunk: bytes) -> None:
    """Put `chunk` behind the others."""
    if chunks and len(chunks[-1]) + len(chunk) <= MERGE:
        chunks[-1] += chunk
    else:
        chunks.append(chunk)


def _join(chunks: list[bytes], more: list[bytes]) -> None:
    """Put `more` behind the others. Two that are tiny at the seam become one."""
    if chunks and len(chunks[-1]) + len(more[0]) <= MERGE:
        chunks[-1] += more[0]
        chunks.extend(more[1:])
    else:
        chunks.extend(more)


def _cut_front(chunks: list[bytes], nbytes: int) -> None:
    """Remove the first `nbytes`, which are fewer than there are."""
    i = 0
    while nbytes and len(chunks[i]) <= nbytes:
        nbytes -= len(chunks[i])
        i += 1
    if nbytes:
        chunks[i] = chunks[i][nbytes:]
    del chunks[:i]


def _cut_back(chunks: list[bytes], nbytes: int) -> None:
    """Remove the last `nbytes`, which are fewer than there are."""
    while nbytes and len(chunks[-1]) <= nbytes:
        nbytes -= len(chunks.pop())
    if nbytes:
        _add(chunks, chunks.pop()[:-nbytes])
