"""Reference models: the slow, obvious way to do what the core does cleverly.

Tests run both on the same input and compare. Positions are plain integers (unwrapped sequence
numbers or stream offsets); ranges are half open.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ReassemblyModel", "ScoreboardModel", "SendBufferModel"]


class ReassemblyModel:
    """A dictionary of bytes by position. What came first stands."""

    def __init__(self, rcv_nxt: int = 0) -> None:
        self.rcv_nxt = rcv_nxt
        """The first position that has not arrived."""
        self._bytes: dict[int, int] = {}
        self._read_to = rcv_nxt

    def insert(self, start: int, data: bytes) -> None:
        """`data` arrives for [start, start + len(data))."""
        for i, byte in enumerate(data):
            if start + i >= self.rcv_nxt:
                self._bytes.setdefault(start + i, byte)
        while self.rcv_nxt in self._bytes:
            self.rcv_nxt += 1

    @property
    def readable(self) -> int:
        """Bytes in order that have not been read."""
        return self.rcv_nxt - self._read_to

    def read(self, limit: int = -1) -> bytes:
        """Take bytes in order, `limit` at most (-1: all)."""
        count = self.readable if limit < 0 else min(limit, self.readable)
        data = bytes(self._bytes.pop(self._read_to + i) for i in range(count))
        self._read_to += count
        return data

    def ranges(self) -> list[tuple[int, int]]:
        """What has arrived beyond `rcv_nxt`, in ascending order."""
        return ranges_of(position for position in self._bytes if position > self.rcv_nxt)


class SendBufferModel:
    """One bytearray, and the position of its first byte."""

    def __init__(self, base: int = 0) -> None:
        self.base = base
        self._data = bytearray()

    @property
    def end(self) -> int:
        """The position behind the last byte."""
        return self.base + len(self._data)

    def append(self, data: bytes) -> None:
        """The application writes."""
        self._data += data

    def view(self, start: int, end: int) -> bytes:
        """The bytes at [start, end). ValueError outside of what is held."""
        if not self.base <= start <= end <= self.end:
            raise ValueError(f"[{start}, {end}) is not within [{self.base}, {self.end})")
        return bytes(self._data[start - self.base : end - self.base])

    def release(self, to: int) -> None:
        """Everything below `to` has been acknowledged."""
        if not self.base <= to <= self.end:
            raise ValueError(f"{to} is not within [{self.base}, {self.end}]")
        del self._data[: to - self.base]
        self.base = to


class ScoreboardModel:
    """What a sender knows about each byte in the network.

    A byte is in flight from the time it is sent until it is acknowledged, selectively
    acknowledged, or taken for lost; sending it again puts it in flight again. (RFC 6675's pipe,
    counted in bytes, with losses marked by somebody else, as RACK does.)
    """

    def __init__(self, una: int = 0) -> None:
        self.una = una
        self.nxt = una
        self._sent_at: dict[int, int] = {}
        self._sacked: set[int] = set()
        self._lost: set[int] = set()
        self._resent: set[int] = set()

    def send(self, start: int, end: int, now: int = 0) -> None:
        """[start, end) is sent; what is below `nxt` is a retransmission."""
        if start > self.nxt:
            raise ValueError(f"{start} leaves a gap behind {self.nxt}")
        for position in range(max(start, self.una), end):
            if position < self.nxt:
                self._resent.add(position)
            self._lost.discard(position)
            self._sent_at[position] = now
        self.nxt = max(self.nxt, end)

    def ack(self, una: int) -> int:
        """The cumulative acknowledgment moves to `una`; returns how many bytes are newly
        delivered by it, so without those that were selectively acknowledged before."""
        fresh = 0
        for position in range(self.una, min(una, self.nxt)):
            fresh += position not in self._sacked
            for known in (self._sacked, self._lost, self._resent):
                known.discard(position)
            del self._sent_at[position]
        self.una = max(self.una, min(una, self.nxt))
        return fresh

    def sack(self, start: int, end: int) -> int:
        """[start, end) is selectively acknowledged; returns how many bytes are newly so."""
        fresh = 0
        for position in range(max(start, self.una), min(end, self.nxt)):
            fresh += position not in self._sacked
            self._sacked.add(position)
            self._lost.discard(position)
        return fresh

    def lose(self, start: int, end: int) -> int:
        """[start, end) is taken for lost, as far as it is in flight; returns how many bytes."""
        fresh = 0
        for position in range(max(start, self.una), min(end, self.nxt)):
            if position not in self._sacked and position not in self._lost:
                self._lost.add(position)
                fresh += 1
        return fresh

    @property
    def in_flight(self) -> int:
        """Bytes sent that are neither acknowledged nor lost."""
        return self.nxt - self.una - len(self._sacked) - len(self._lost)

    @property
    def sacked(self) -> list[tuple[int, int]]:
        """Selectively acknowledged ranges."""
        return ranges_of(self._sacked)

    @property
    def lost(self) -> list[tuple[int, int]]:
        """Ranges taken for lost and not sent again."""
        return ranges_of(self._lost)

    @property
    def resent(self) -> list[tuple[int, int]]:
        """Ranges that have been sent more than once and are not yet acknowledged."""
        return ranges_of(self._resent)

    def sent_at(self, position: int) -> int:
        """When the byte was last sent."""
        return self._sent_at[position]


def ranges_of(positions: Iterable[int]) -> list[tuple[int, int]]:
    """The positions as half-open ranges, in ascending order."""
    ranges: list[tuple[int, int]] = []
    for position in sorted(positions):
        if ranges and ranges[-1][1] == position:
            ranges[-1] = (ranges[-1][0], position + 1)
        else:
            ranges.append((position, position + 1))
    return ranges
