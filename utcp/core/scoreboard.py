"""Scoreboard: which ranges above SND.UNA the peer has SACKed (RFC 2018, RFC 6675 §3).

Ranges in order, disjoint and not touching each other. There are as many as the peer's reassembly
queue has islands, few as a rule, so that what looks at the highest ones (RFC 6675 IsLost) costs
the same however much is in flight.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final


class Scoreboard:
    """A set of sequence numbers, kept as ranges. Read `starts` and `ends`, do not write them."""

    __slots__ = ("ends", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []

    def covers(self, start: int, end: int) -> bool:
        """Whether all of [start, end) is in the set."""
        i = bisect_left(self.ends, end)
        return i < len(self.ends) and self.starts[i] <= start

    def add(self, start: int, end: int) -> list[tuple[int, int]]:
        """Put [start, end) into the set. Returns the parts of it that are new, in order."""
        starts = self.starts
        ends = self.ends
        i = j = bisect_left(ends, start)
        new = []
        seq = start
        while j < len(starts) and starts[j] <= end:
            if seq < starts[j]:
                new.append((seq, starts[j]))
            seq = ends[j]
            j += 1
        if seq < end:
            new.append((seq, end))
        if i < j:
            start = min(start, starts[i])
            end = max(end, ends[j - 1])
        starts[i:j] = (start,)
        ends[i:j] = (end,)
        return new

    def remove_below(self, seq: int) -> None:
        """Take everything below `seq` out of the set."""
        i = bisect_right(self.ends, seq)
        del self.starts[:i], self.ends[:i]
        if self.starts:
            self.starts[0] = max(self.starts[0], seq)

    def clear(self) -> None:
        """Empty the set."""
        self.starts.clear()
        self.ends.clear()

    def gap(self, seq: int, top: int) -> tuple[int, int]:
        """The first range within [seq, top) that is not in the set, or (-1, -1)."""
        i = bisect_right(self.ends, seq)
        if i < len(self.starts) and self.starts[i] <= seq:
            seq = self.ends[i]
            i += 1
        if i < len(self.starts):
            top = min(top, self.starts[i])
        return (seq, top) if seq < top else (-1, -1)


NONE_SACKED: Final = Scoreboard()
"""What all flights share of which nothing was SACKed yet. Nothing is put in."""
