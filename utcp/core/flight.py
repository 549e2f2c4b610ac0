"""Flight: what is in the network. The retransmission queue and the SACK scoreboard in one.

There is one record (`Burst`) per transmitted burst, however many segments it had, because they
share a send time. A record is split only where an ACK, a SACK, a loss or a retransmission covers
a part of it. Sequence numbers are unwrapped; SYN and FIN are one byte each like any other.

Invariants, for the bytes from `una` up to `nxt`:

- the records cover each byte exactly once, in order;
- a byte may be SACKed; one that is not may be lost (its first transmission left the network
  without arriving) and may be resent (a retransmission of it is in the network);
- `pipe` = outstanding - `sacked_bytes` - `lost_bytes` + `resent_bytes` - `dup_bytes`, which is
  RFC 6675's SetPipe kept up to date instead of computed, and is never negative;
- `scoreboard` holds exactly the SACKed bytes.

An ACK costs the same however much is in flight: each record is walked over once per thing that
happens to it, and found by bisection. Inserting a split record moves pointers in a list, nothing
more. What a hostile peer can make grow is bounded by `max_records`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from utcp.core.sample import AckSample
from utcp.core.scoreboard import Scoreboard

# Burst.marks. LOST and RESENT exclude SACKED.
SACKED: Final = 1
LOST: Final = 2
RESENT: Final = 4  # a retransmission is believed to be in the network
REPEATED: Final = 8  # was transmitted more than once: gives no RTT sample (RFC 6298 §3)

NOTHING: Final = (-1, -1)

_COMPACT_AT: Final = 256
_RESEND_LIMIT: Final = 65_535


class Burst:
    """One range of sequence numbers that has one history. Changed by `Flight` only."""

    __slots__ = ("end", "first_sent_at", "marks", "sent_at", "start", "transmissions")

    def __init__(self, start: int, end: int, now: int) -> None:
        self.start = start
        self.end = end
        self.sent_at = now
        self.first_sent_at = now
        self.marks = 0
        self.transmissions = 1

    def split(self, seq: int) -> Burst:
        """Give up what lies from `seq` on, and return it as a record with the same history."""
        back = Burst(seq, self.end, self.sent_at)
        back.first_sent_at = self.first_sent_at
        back.marks = self.marks
        back.transmissions = self.transmissions
        self.end = seq
        return back


class Flight:
    """Everything between SND.UNA and SND.NXT. `len()` is the number of records."""

    __slots__ = (
        "_bursts",
        "_dup_mss",
        "_head",
        "_resend_hint",
        "_starts",
        "dup_bytes",
        "lost_below",
        "lost_bytes",
        "max_records",
        "nxt",
        "pipe",
        "resent_bytes",
        "sacked_bytes",
        "scoreboard",
        "una",
    )

    def __init__(self, iss: int) -> None:
        self.una = iss
        self.nxt = iss
        self.pipe = 0
        self.sacked_bytes = 0
        self.lost_bytes = 0
        self.resent_bytes = 0
        # What duplicate ACKs without SACK say has left the network; see dup_acked().
        self.dup_bytes = 0
        self._dup_mss = 0
        self.scoreboard = Scoreboard()
        # Below this, whatever is not SACKed has been marked lost.
        self.lost_below = iss
        # SACKs split no record while there are this many. Peers that acknowledge whole segments
        # come nowhere near it with the default buffers (4 MiB are 2,900 segments of 1,448 bytes).
        self.max_records = 16_384
        # Records in _bursts[_head:]; _starts[i] == _bursts[i].start, a plain list for bisect.
        self._bursts: list[Burst] = []
        self._starts: list[int] = []
        self._head = 0
        # Below this nothing waits for retransmission.
        self._resend_hint = iss

    def __len__(self) -> int:
        return len(self._bursts) - self._head

    # -- transmission -------------------------------------------------------------------------

    def sent(self, start: int, end: int, now: int) -> None:
        """Remember that [start, end) was sent for the first time; `start` is `nxt`."""
        self._bursts.append(Burst(start, end, now))
        self._starts.append(start)
        self.nxt = end
        self.pipe += end - start

    def next_lost(self, limit: int = _RESEND_LIMIT) -> tuple[int, int]:
        """The first range that is lost and not yet retransmitted, or (-1, -1).

        It has at most `limit` bytes, and ends earlier where data begins that is not lost.
        """
        if not self.lost_bytes:
            return NOTHING
        bursts = self._bursts
        n = len(bursts)
        i = self._index(max(self.una, self._resend_hint))
        while i < n and bursts[i].marks & (LOST | RESENT) != LOST:
            i += 1
        if i == n:
            self._resend_hint = self.nxt
            return NOTHING
        start = self._resend_hint = bursts[i].start
        stop = start + limit
        end = bursts[i].end
        i += 1
        while end < stop and i < n and bursts[i].marks & (LOST | RESENT) == LOST:
            end = bursts[i].end
            i += 1
        return start, min(end, stop)

    def resent(self, start: int, end: int, now: int) -> None:
        """Remember that [start, end) was retransmitted. What is SACKed in it does not count."""
        start = max(start, self.una)
        i = self._cut(start)
        bursts = self._bursts
        n = len(bursts)
        while i < n and bursts[i].start < end:
            burst = bursts[i]
            if burst.end > end:
                self._split(i, end)
            if not burst.marks & SACKED:
                burst.transmissions += 1
                burst.sent_at = now
                if not burst.marks & RESENT:
                    size = burst.end - burst.start
                    self.resent_bytes += size
                    self.pipe += size
                burst.marks |= RESENT | REPEATED
            i += 1
        if start <= self._resend_hint < end:
            self._resend_hint = end

    # -- acknowledgment -----------------------------------------------------------------------

    def ack(self, una: int, sample: AckSample) -> None:
        """Take a cumulative acknowledgment; `una` may be the old one, never above `nxt`.

        Call it for every ACK, before `sack`: it notes `sample.prior_in_flight`.
        """
        sample.prior_in_flight = self.pipe
        acked = una - self.una
        if acked <= 0:
            return
        self.una = una
        sample.acked = acked
        bursts = self._bursts
        n = len(bursts)
        i = self._head
        newest = -1
        left = 0  # bytes that were in the network, without a mark
        met = 0  # all marks met
        while i < n:
            burst = bursts[i]
            if burst.end > una:
                break
            if burst.marks:
                met |= burst.marks
                acked -= self._leave(burst.marks, burst.end - burst.start)
            else:
                left += burst.end - burst.start
            newest = burst.sent_at
            i += 1
        self.pipe -= left
        if i < n and bursts[i].start < una:
            burst = bursts[i]
            met |= burst.marks
            acked -= self._leave(burst.marks, una - burst.start)
            newest = burst.sent_at
            burst.start = self._starts[i] = una
        self._head = i
        if i == n or (i >= _COMPACT_AT and i << 1 >= n):
            # An idle connection holds no memory here, a busy one no more than twice its need.
            del bursts[:i], self._starts[:i]
            self._head = 0
        sample.delivered = acked
        # RFC 6298 §3 (Karn's algorithm): no sample from retransmitted data, nor from data that is
        # acknowledged together with it and so may have waited for the hole to be filled.
        if not met & (REPEATED | SACKED):
            sample.rtt_ns = sample.now - newest
        if met & SACKED:
            self.scoreboard.remove_below(una)
        if self.dup_bytes:
            self._deflate(sample.acked)

    def sack(self, blocks: list[tuple[int, int]], sample: AckSample) -> None:
        """Take the SACK blocks of an ACK, in its order, after `ack`.

        A first block that reports data received twice is noted in `sample.dsack`. Blocks that
        make no sense are ignored.
        """
        if not blocks:
            return
        start, end = blocks[0]
        low, high = blocks[1] if len(blocks) > 1 else (end, end)
        # RFC 2883 §4.1, §4.2: below the cumulative acknowledgment, or inside of the second block.
        if start < end and (end <= self.una or low <= start < end <= high):
            sample.dsack = end - start
        for start, end in blocks:
            if self.una <= start < end <= self.nxt:
                self._mark_sacked(start, end, sample)

    def dup_acked(self, mss: int) -> None:
        """Take a duplicate ACK from a peer without SACK: one segment has left the network.

        As in Linux: so `pipe` serves both kinds of peer, and the congestion window need not be
        inflated (RFC 5681 §3.2 steps 3 and 4) nor deflated (RFC 6582 §3.2 step 3).
        """
        self._dup_mss = mss
        self.dup_bytes += mss
        self.pipe -= mss
        self._limit_dups()

    def forget_dups(self) -> None:
        """Forget the duplicate ACKs, because SND.UNA moved outside of fast recovery."""
        self.pipe += self.dup_bytes
        self.dup_bytes = 0

    # -- loss ---------------------------------------------------------------------------------

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
            marks = burst.marks
            if not marks & SACKED and marks & (LOST | RESENT) != LOST:
                size = burst.end - burst.start
                self._leave(marks, size)
                self.lost_bytes += size
                burst.marks = (marks & REPEATED) | LOST
                total += size
            i += 1
        if total:
            self._resend_hint = min(self._resend_hint, start)
            self._limit_dups()
        return total

    def mark_lost_below(self, seq: int) -> int:
        """Take whatever is not SACKed below `seq` for lost. Returns the bytes newly lost.

        A retransmission of it stays in the network: RFC 6675 does not detect its loss.
        """
        low = max(self.lost_below, self.una)
        seq = min(seq, self.nxt)
        if seq <= low:
            return 0
        self.lost_below = seq
        self._cut(seq)
        bursts = self._bursts
        n = len(bursts)
        i = self._index(low)
        total = 0
        while i < n and bursts[i].start < seq:
            burst = bursts[i]
            if not burst.marks & (SACKED | LOST):
                burst.marks |= LOST
                total += burst.end - burst.start
            i += 1
        self.lost_bytes += total
        self.pipe -= total
        if total:
            self._resend_hint = min(self._resend_hint, low)
            self._limit_dups()
        return total

    def mark_all_lost(self, forget_sacked: bool) -> int:
        """Take everything for lost, retransmissions included, after a time-out.

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
        self.lost_below = self.nxt
        self._resend_hint = self.una
        return total

    # -- questions ----------------------------------------------------------------------------

    def head(self) -> Burst | None:
        """The record of SND.UNA, to be read only; None if nothing is outstanding."""
        return self._bursts[self._head] if self._head < len(self._bursts) else None

    def head_sacked(self) -> bool:
        """Whether the peer has SACKed SND.UNA: it holds the data and does not acknowledge it."""
        starts = self.scoreboard.starts
        return bool(starts) and starts[0] == self.una

    def high_sacked(self) -> int:
        """The end of the highest SACKed range; SND.UNA if there is none."""
        ends = self.scoreboard.ends
        return ends[-1] if ends else self.una

    def first_unsacked(self, seq: int) -> tuple[int, int]:
        """The first range at or above `seq` that is not SACKed, or (-1, -1)."""
        return self.scoreboard.gap(max(seq, self.una), self.nxt)

    # -- records ------------------------------------------------------------------------------

    def _index(self, seq: int) -> int:
        """The index of the record that `seq` lies in."""
        return bisect_right(self._starts, seq, self._head) - 1

    def _cut(self, seq: int) -> int:
        """Make a record begin at `seq`; return its index."""
        if seq >= self.nxt:
            return len(self._bursts)
        i = self._index(seq)
        if self._starts[i] < seq:
            self._split(i, seq)
            i += 1
        return i

    def _split(self, i: int, seq: int) -> None:
        """Split record `i` in two at `seq`, which lies inside of it."""
        self._bursts.insert(i + 1, self._bursts[i].split(seq))
        self._starts.insert(i + 1, seq)

    def _leave(self, marks: int, size: int) -> int:
        """Take `size` bytes with these marks out of the counters; return how many were SACKed."""
        if marks & SACKED:
            self.sacked_bytes -= size
            return size
        if marks & LOST:
            self.lost_bytes -= size
        else:
            self.pipe -= size
        if marks & RESENT:
            self.resent_bytes -= size
            self.pipe -= size
        return 0

    # -- SACK ---------------------------------------------------------------------------------

    def _mark_sacked(self, start: int, end: int, sample: AckSample) -> None:
        """Mark what is new in the valid block [start, end)."""
        if self.scoreboard.covers(start, end):
            return
        if len(self._bursts) - self._head >= self.max_records:
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
        for low, high in self.scoreboard.add(start, end):
            newest = max(newest, self._mark_gap(low, high))
            self.sacked_bytes += high - low
            sample.sacked += high - low
            sample.delivered += high - low
        if newest >= 0 and sample.rtt_ns < 0:
            sample.rtt_ns = sample.now - newest

    def _mark_gap(self, start: int, end: int) -> int:
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
            if not marks & REPEATED:
                newest = max(newest, burst.sent_at)
            if burst.end > end:
                if i > self._head and bursts[i - 1].marks & SACKED:
                    # The usual case, a range that grows by some segments of a burst: move the
                    # border between two records instead of splitting one.
                    bursts[i - 1].end = burst.start = self._starts[i] = end
                    bursts[i - 1].marks |= marks & REPEATED
                    break
                self._split(i, end)
            burst.marks = SACKED | (marks & REPEATED)
            i += 1
        return newest

    # -- duplicate ACKs without SACK ----------------------------------------------------------

    def _deflate(self, acked: int) -> None:
        """Let an ACK for `acked` bytes answer for the duplicate ACKs that its segments caused."""
        # As in Linux's tcp_remove_reno_sacks: one segment filled the hole, the others had been
        # counted. It comes to the partial window deflation of RFC 6582 §3.2 step 3.
        gone = min(self.dup_bytes, max(0, acked - self._dup_mss))
        self.dup_bytes -= gone
        self.pipe += gone
        self._limit_dups()

    def _limit_dups(self) -> None:
        """Believe no more duplicate ACKs than there can have been segments to cause them."""
        # RFC 5681 §3.2 step 4, the note: at least the segment that is missing is not there.
        room = self.nxt - self.una - max(self.lost_bytes, self._dup_mss)
        excess = self.dup_bytes - max(0, room)
        if excess > 0:
            self.dup_bytes -= excess
            self.pipe += excess
