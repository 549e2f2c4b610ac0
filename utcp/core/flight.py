"""Flight: what is in the network. The retransmission queue and the SACK scoreboard in one.

There is one record (`Burst`) per transmitted burst, however many segments it had, because they
share a send time. Sequence numbers are unwrapped; SYN and FIN are one byte each like any other.

Invariants, for the bytes from `una` up to `nxt`:

- the records cover each byte exactly once, in order;
- a byte may be SACKed; one that is not may be lost (its first transmission left the network
  without arriving) and may be resent (a retransmission of it is in the network);
- `pipe` = outstanding - `sacked_bytes` - `lost_bytes` + `resent_bytes` - `dup_bytes`, which is
  RFC 6675's SetPipe kept up to date instead of computed, and is never negative;
- `scoreboard` holds exactly the SACKed bytes.

An ACK costs the same however much is in flight: each record is walked over once per thing that
happens to it, and found by bisection. Inserting a split record moves pointers in a list, nothing
more. What a hostile peer can make grow is bounded by `least_piece` and `max_records`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from utcp.core.records import (
    COMPACT_AT,
    LOST,
    NONE_AGAIN,
    NOTHING,
    REPEATED,
    RESENT,
    SACKED,
    Burst,
    Records,
)
from utcp.core.sample import AckSample
from utcp.core.scoreboard import NONE_SACKED, Scoreboard

__all__ = ["LOST", "NOTHING", "REPEATED", "RESENT", "SACKED", "Burst", "Flight"]

_SPARE_RECORDS: Final = 64
_MS: Final = 1_000_000


class Flight(Records):
    """Everything between SND.UNA and SND.NXT. `len()` is the number of records."""

    __slots__ = (
        "_fresh",
        "least_piece",
        "max_records",
        "pending_at",
        "reordering_seen",
        "scoreboard",
    )

    def __init__(self, iss: int) -> None:
        super().__init__(iss)
        self.scoreboard = NONE_SACKED
        # RFC 8985 §5.3: data that was sent once has been delivered out of order.
        self.reordering_seen = False
        # When the oldest of what mark_sent_before() spared for its age was sent; -1: none was.
        self.pending_at = -1
        # Below this every record bears a mark, so nothing is left to be found lost that was sent
        # only once.
        self._fresh = iss
        # SACKs split no record while there are this many, or so many that they have, but for a
        # few, less than `least_piece` bytes each. Peers that acknowledge whole segments come
        # nowhere near it; others could have us send byte by byte what lies between their SACKs.
        self.max_records = 16_384
        self.least_piece = 1

    # -- acknowledgment -----------------------------------------------------------------------

    def ack(self, una: int, sample: AckSample) -> None:
        """Take a cumulative acknowledgment; `una` may be the old one, never above `nxt`.

        Call it for every ACK, before `sack`: it notes `sample.prior_in_flight`.
        """
        sample.prior_in_flight = self.pipe
        old = self.una
        if una <= old:
            return
        self.una = una
        sample.acked = una - old
        bursts = self._bursts
        n = len(bursts)
        i = self._head
        # The usual case: what was sent once and in order, and bears no mark.
        while i < n:
            burst = bursts[i]
            if burst.marks or burst.end > una:
                break
            i += 1
        burst = bursts[i] if i < n and bursts[i].start < una else bursts[i - 1]
        if burst.marks:
            i = self._ack_marked(una, sample)
        else:
            if burst.end > una:
                burst.start = self._starts[i] = una
            self.pipe -= una - old
            sample.delivered = una - old
            sample.newest_at = sent_at = burst.sent_at
            sample.newest_end = una
            sample.rtt_ns = sample.now - sent_at
            sample.orig = old
            if self.sacked_bytes:
                # RFC 8985 §6.2 step 3: there is a SACK above what arrives only now.
                self.reordering_seen = True
        self._head = i
        if i == n or (i >= COMPACT_AT and i << 1 >= n):
            # An idle connection holds next to nothing here, a busy one at most twice its need.
            del bursts[:i], self._starts[:i]
            self._head = 0
            if i == n:
                self._again = NONE_AGAIN
                self._waiting.clear()
        if self.dup_bytes:
            # RFC 9937 §6: what duplicate ACKs have told of already is not told again.
            sample.delivered -= self._deflate(sample.acked)

    def sack(
        self, blocks: list[tuple[int, int]], sample: AckSample, own_ack: int | None = None
    ) -> None:
        """Take the SACK blocks of an ACK, in its order, after `ack`. `own_ack`: the number that it
        acknowledges itself, if others may have come before it that acknowledge more.

        A first block that reports data received twice is noted in `sample.dsack`. Blocks that
        make no sense are ignored.
        """
        if not blocks:
            return
        start, end = blocks[0]
        low, high = blocks[1] if len(blocks) > 1 else (end, end)
        una = self.una if own_ack is None else own_ack
        # RFC 2883 §4.1, §4.2: below the cumulative acknowledgment that came with it, or inside of
        # the second block.
        if start < end and (end <= una or low <= start < end <= high):
            sample.dsack = end - start
            sample.dsack_end = end
        # RFC 8985 §6.2 step 3: RACK.fack
        fack = self.high_sacked()
        for start, end in blocks:
            if self.una <= start < end <= self.nxt:
                self._mark_sacked(start, end, fack, sample)

    # -- loss ---------------------------------------------------------------------------------

    def mark_sent_before(self, xmit_ts: int, end_seq: int, limit: int) -> int:
        """Take for lost what was sent before the segment that was sent at `xmit_ts` and ends at
        `end_seq`, and not later than at `limit`. Returns the bytes newly lost.

        RFC 8985 §6.2 step 5. Looks at what it marks, and at one record more in each of the two
        orders by send time. `pending_at` says what `limit` has spared.
        """
        self.pending_at = -1
        lost = self._fresh_before(xmit_ts, end_seq, limit)
        again = self._again
        bursts = self._bursts
        n = len(bursts)
        while again:
            sent_at, start, end = again[0]
            if sent_at > xmit_ts:
                break
            seq = max(start, self.una)
            i = self._index(seq) if seq < end else n
            while i < n and bursts[i].start < end:
                burst = bursts[i]
                if burst.marks & RESENT and burst.sent_at == sent_at:
                    if sent_at == xmit_ts and burst.end > end_seq:
                        again[0] = (sent_at, burst.start, end)
                        return lost
                    if sent_at > limit:
                        if self.pending_at < 0 or sent_at < self.pending_at:
                            self.pending_at = sent_at
                        again[0] = (sent_at, burst.start, end)
                        return lost
                    lost += self._lose(burst)
                i += 1
            again.popleft()
        return lost

    def _fresh_before(self, xmit_ts: int, end_seq: int, limit: int) -> int:
        """What mark_sent_before() does, for what was sent once."""
        bursts = self._bursts
        n = len(bursts)
        seq = max(self._fresh, self.una)
        i = self._index(seq) if seq < self.nxt else n
        lost = 0
        while i < n:
            burst = bursts[i]
            if not burst.marks:
                sent_at = burst.sent_at
                # RFC 8985 §6.2 step 2: RACK_sent_after()
                if sent_at > xmit_ts or (sent_at == xmit_ts and burst.end > end_seq):
                    break
                if sent_at > limit:
                    self.pending_at = sent_at
                    break
                lost += self._lose(burst)
            i += 1
        self._fresh = bursts[i].start if i < n else self.nxt
        return lost

    def mark_lost(self, start: int, end: int) -> int:
        """Take [start, end), as last transmitted, for lost. Returns the bytes newly lost.

        A retransmission of it that was in the network counts as lost, too, and anew.
        """
        start = max(start, self.una)
        if start >= end or start >= self.nxt:
            return 0
        i = self._cut(start)
        bursts = self._bursts
        n = len(bursts)
        total = 0
        while i < n and bursts[i].start < end:
            burst = bursts[i]
            if burst.end > end:
                self._split(i, end)
            if not burst.marks & SACKED and burst.marks & (LOST | RESENT) != LOST:
                total += self._lose(burst)
            i += 1
        if total:
            self._limit_dups()
        return total

    def mark_sent_by(self, limit: int) -> int:
        """Take for lost whatever was last sent at `limit` or before and is not SACKed, after a
        time-out. Returns the bytes newly lost. Looks at every record."""
        lost = 0
        bursts = self._bursts
        for i in range(self._head, len(bursts)):
            burst = bursts[i]
            marks = burst.marks
            if burst.sent_at <= limit and not marks & SACKED and marks & (LOST | RESENT) != LOST:
                lost += self._lose(burst)
        return lost

    def mark_all_lost(self, forget_sacked: bool) -> int:
        """Take everything for lost, retransmissions included.

        With `forget_sacked` also what was SACKed (RFC 2018 §8). Returns the bytes newly lost.
        """
        if forget_sacked:
            self.scoreboard.clear()
            self.sacked_bytes = 0
        total = 0
        bursts = self._bursts
        for i in range(self._head, len(bursts)):
            burst = bursts[i]
            marks = burst.marks
            if marks & (LOST | RESENT) == LOST or (marks & SACKED and not forget_sacked):
                continue
            total += burst.end - burst.start
            burst.marks = (marks & REPEATED) | LOST
        self.lost_bytes = self.nxt - self.una - self.sacked_bytes
        self.resent_bytes = self.dup_bytes = self.pipe = 0
        self._fresh = self.nxt
        self._again = NONE_AGAIN
        self._waiting = [(self.una, self.nxt)] if self.lost_bytes else []
        return total

    def unmark_lost(self) -> None:
        """Believe again that what was taken for lost is in the network, retransmissions included,
        because it proved to be there. Looks at every record."""
        resent = []
        bursts = self._bursts
        for i in range(self._head, len(bursts)):
            burst = bursts[i]
            marks = burst.marks
            if marks & LOST:
                size = burst.end - burst.start
                self._leave(marks, size)
                burst.marks = marks & REPEATED
                self.pipe += size
                if marks & REPEATED:
                    burst.marks |= RESENT
                    self.resent_bytes += size
                    self.pipe += size
            if burst.marks & RESENT:
                resent.append((burst.sent_at, burst.start, burst.end))
        self._fresh = self.una
        self._waiting.clear()
        self._again = deque(sorted(resent)) if resent else NONE_AGAIN

    # -- questions ----------------------------------------------------------------------------

    def head_sacked(self) -> bool:
        """Whether the peer has SACKed SND.UNA: it holds the data and does not acknowledge it."""
        starts = self.scoreboard.starts
        return bool(starts) and starts[0] == self.una

    def high_sacked(self) -> int:
        """The end of the highest SACKed range; SND.UNA if there is none."""
        ends = self.scoreboard.ends
        return ends[-1] if ends else self.una

    # -- cumulative acknowledgment ------------------------------------------------------------

    def _ack_marked(self, una: int, sample: AckSample) -> int:
        """Take the acknowledgment of everything below `una`, where some of it bears marks.

        Returns the index of the first record that stays.
        """
        bursts = self._bursts
        n = len(bursts)
        start = bursts[self._head].start
        fack = self.scoreboard.ends[-1] if self.scoreboard.ends else start
        met = 0  # all marks met
        delivered = newest = 0
        j = self._head
        while j < n:
            burst = bursts[j]
            end = min(burst.end, una)
            if burst.start >= una:
                break
            marks = burst.marks
            met |= marks
            newest = burst.sent_at
            size = end - burst.start
            self._leave(marks, size)
            if not marks & SACKED:
                delivered += size
                self._note_delivery(burst, end, fack, sample)
            if burst.end > una:
                burst.start = self._starts[j] = una
                break
            j += 1
        sample.acked = una - start
        sample.delivered = delivered
        # RFC 6298 §3 (Karn's algorithm): no sample from retransmitted data, nor from data that is
        # acknowledged together with it and so may have waited for the hole to be filled.
        if not met & (REPEATED | SACKED):
            sample.rtt_ns = sample.now - newest
        if met & SACKED:
            self.scoreboard.remove_below(una)
        return j

    def _note_delivery(self, burst: Burst, end: int, fack: int, sample: AckSample) -> None:
        """Note what it says of order and time that a record has arrived as far as `end`."""
        sent_at = burst.sent_at
        if burst.marks & REPEATED:
            # RFC 8985 §6.2 step 2: not if it may have been an earlier transmission.
            if sample.now - sent_at < sample.min_rtt_ns or 0 <= sample.echo_ms < sent_at // _MS:
                return
        else:
            if sample.orig < 0 or burst.start < sample.orig:
                sample.orig = burst.start
            if end < fack:
                self.reordering_seen = True
        if sent_at > sample.newest_at or (sent_at == sample.newest_at and end > sample.newest_end):
            sample.newest_at = sent_at
            sample.newest_end = end

    # -- SACK ---------------------------------------------------------------------------------

    def _mark_sacked(self, start: int, end: int, fack: int, sample: AckSample) -> None:
        """Mark what is new in the valid block [start, end)."""
        if self.scoreboard.covers(start, end):
            return
        most = min((self.nxt - self.una) // self.least_piece + _SPARE_RECORDS, self.max_records)
        if len(self._bursts) - self._head >= most:
            # RFC 2018 §5: SACKed is what is wholly contained within a block. SACK is advisory:
            # what is not marked is merely retransmitted.
            burst = self._bursts[self._index(start)]
            if burst.start < start and not burst.marks & SACKED:
                start = burst.end
            burst = self._bursts[self._index(end - 1)]
            if burst.end > end and not burst.marks & SACKED:
                end = burst.start
            if start >= end:
                return
        newest = -1
        if self.scoreboard is NONE_SACKED:
            self.scoreboard = Scoreboard()
        for low, high in self.scoreboard.add(start, end):
            newest = max(newest, self._mark_gap(low, high, fack, sample))
            self.sacked_bytes += high - low
            sample.sacked += high - low
            sample.delivered += high - low
        if newest >= 0 and sample.rtt_ns < 0:
            sample.rtt_ns = sample.now - newest

    def _mark_gap(self, start: int, end: int, fack: int, sample: AckSample) -> int:
        """Mark [start, end), of which nothing is SACKed yet.

        Returns when the newest of it was sent, or -1 if all of it was sent more than once.
        """
        bursts = self._bursts
        i = self._cut(start)
        n = len(bursts)
        newest = -1
        while i < n and bursts[i].start < end:
            burst = bursts[i]
            marks = burst.marks
            self._leave(marks, min(end, burst.end) - burst.start)
            self._note_delivery(burst, min(end, burst.end), fack, sample)
            if not marks & REPEATED:
                newest = max(newest, burst.sent_at)
            if burst.end > end:
                before = bursts[i - 1] if i > self._head else burst
                if before.marks & SACKED and before.sent_at == burst.sent_at:
                    # The usual case, a range that grows by some segments of a burst: move the
                    # border between two records instead of splitting one.
                    before.end = burst.start = self._starts[i] = end
                    before.marks |= marks & REPEATED
                    break
                self._split(i, end)
            burst.marks = SACKED | (marks & REPEATED)
            i += 1
        return newest
