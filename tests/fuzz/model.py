"""What a connection may deliver, told by what was sent to it: the first copy of every byte.

The model does not judge segments. It looks at which sequence numbers are covered after each
datagram, and notes where their bytes came from. So a byte that was never sent, that lies outside
the window, that was changed by a second copy or that got lost again is found.
"""

from __future__ import annotations

from utcp.core import Connection, State
from utcp.core.segment import OK, Segment
from utcp.core.seq import unwrap

Ranges = list[tuple[int, int]]
Texts = list[tuple[int, bytes]]


class Delivery:
    """The receive side of one connection, which must be synchronised."""

    __slots__ = ("_adv", "_at", "_conn", "_had", "_known", "_segment", "_unsure", "base")

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.base = conn.rcv.irs + 1
        self._at = self.base  # of the next byte that the application will read
        self._had: Ranges = []
        self._known = bytearray()
        self._unsure: set[int] = set()
        self._adv = 0
        self._segment = Segment()

    def note(self, datagrams: list[bytes]) -> None:
        """These datagrams have been received since the last call."""
        conn = self._conn
        rcv = conn.rcv
        nxt = rcv.rcv_nxt
        over = 0 <= rcv.fin_seq < nxt
        have = [(self.base, nxt - over)]
        have += zip(rcv.reassembly.starts, rcv.reassembly.ends, strict=True)
        fresh = _without(have, self._had)
        if not over and conn.state is not State.CLOSED:
            lost = _without(self._had, have)
            assert not lost, f"{lost} was there and is gone"
        if fresh:
            texts = self._texts(datagrams)
            for start, end in fresh:
                self._fill(start, end, texts)
        self._had = have

    def before(self) -> None:
        """Something is about to be received."""
        self._adv = self._conn.rcv.rcv_adv

    def _texts(self, datagrams: list[bytes]) -> Texts:
        seg = self._segment
        near = self._had[0][1] if self._had else self.base
        texts = []
        for data in datagrams:
            if seg.parse(data, 0, len(data)) == OK and seg.end > seg.payload_at:
                seq = unwrap(seg.seq32, near) + (seg.flags >> 1 & 1)  # SYN comes first
                texts.append((seq, data[seg.payload_at :]))
        return texts

    def _fill(self, start: int, end: int, texts: Texts) -> None:
        assert not self._adv or end <= self._adv, f"{end} is beyond the window, {self._adv}"
        base = self.base
        missing = end - base - len(self._known)
        if missing > 0:
            self._known += bytes(missing)
        known = self._known
        holes: Ranges = [(start, end)]
        for seq, text in texts:
            stop = seq + len(text)
            for left, right in holes:
                low, high = max(left, seq), min(right, stop)
                if low < high:
                    known[low - base : high - base] = text[low - seq : high - seq]
            holes = _without(holes, [(seq, stop)])
        assert not holes, f"{holes} were never sent"
        if len(texts) > 1:
            self._doubt(start, end, texts)

    def _doubt(self, start: int, end: int, texts: Texts) -> None:
        """Which of several different copies in one train was taken is not known here."""
        for seq, text in texts:
            low, high = max(start, seq), min(end, seq + len(text))
            if low < high:
                known = self._known[low - self.base : high - self.base]
                if known != text[low - seq : high - seq]:
                    self._unsure.update(range(low, high))

    def read(self, data: bytes) -> None:
        """The application has read `data`."""
        start = self._at
        self._at = end = start + len(data)
        assert end <= self._had[0][1], "more was delivered than has come in order"
        known = self._known[start - self.base : end - self.base]
        if self._unsure:
            for seq in self._unsure.intersection(range(start, end)):
                known[seq - start] = data[seq - start]
        assert known == data, f"wrong bytes in [{start}, {end})"

    def readable(self) -> int:
        """How many bytes there should be to read."""
        return self._had[0][1] - self._at if self._had else 0


def _without(ranges: Ranges, cut: Ranges) -> Ranges:
    """What of `ranges` is not in `cut`."""
    for low, high in cut:
        if not ranges:
            break
        rest = []
        for start, end in ranges:
            if end <= low or high <= start:
                if start < end:
                    rest.append((start, end))
                continue
            if start < low:
                rest.append((start, low))
            if high < end:
                rest.append((high, end))
        ranges = rest
    return [one for one in ranges if one[0] < one[1]]
