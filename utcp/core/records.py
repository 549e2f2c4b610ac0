"""Records: one per transmitted burst, in order of sequence numbers, and what waits to go again.

What a `Flight` is made of. A record (`Burst`) stands for all segments that left together and so
share a send time; it is split only where an ACK, a SACK, a loss or a retransmission covers a part
of it. There are two orders by send time, so that RACK need not look at more than it marks: what
was sent once lies in that order anyway, and what was sent again is listed in `_again`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from heapq import heappop, heappush, heapreplace
from typing import Final

from utcp.core.sample import AckSample

# Burst.marks. LOST and RESENT exclude SACKED.
SACKED: Final = 1
LOST: Final = 2
RESENT: Final = 4  # a retransmission is believed to be in the network
REPEATED: Final = 8  # was transmitted more than once: gives no RTT sample (RFC 6298 §3)

NOTHING: Final = (-1, -1)

# Takes nothing in. A deque of its own would be a tenth of what an idle connection weighs.
NONE_AGAIN: Final[deque[tuple[int, int, int]]] = deque(maxlen=0)

COMPACT_AT: Final = 256
"""Dead records at the front of the lists before they are cut off."""

_RESEND_LIMIT: Final = 65_535


class Burst:
    """One range of sequence numbers that has one history. Changed by `Records` only."""

    __slots__ = ("end", "marks", "sent_at", "start")

    def __init__(self, start: int, end: int, now: int) -> None:
        self.start = start
        self.end = end
        self.sent_at = now
        self.marks = 0

    def split(self, seq: int) -> Burst:
        """Give up what lies from `seq` on, and return it as a record with the same history."""
        back = Burst(seq, self.end, self.sent_at)
        back.marks = self.marks
        self.end = seq
        return back


class Records:
    """The records from `una` up to `nxt`, and the counters over their marks."""

    __slots__ = (
        "_again",
        "_bursts",
        "_dup_mss",
        "_head",
        "_spare",
        "_starts",
        "_waiting",
        "dup_bytes",
        "first_resent_at",
        "lost_bytes",
        "nxt",
        "pipe",
        "repeated_below",
        "resent_bytes",
        "resent_total",
        "sacked_bytes",
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
        # From here on nothing was transmitted more than once.
        self.repeated_below = iss
        # Since forget_resent(): when the first retransmission went out, and how many bytes in all.
        self.first_resent_at = -1
        self.resent_total = 0
        # Records in _bursts[_head:]; _starts[i] == _bursts[i].start, a plain list for bisect.
        self._bursts: list[Burst] = []
        self._starts: list[int] = []
        self._head = 0
        # A record without marks that `ack_all` leaves to `sent`: to make one costs more than all
        # else there.
        self._spare: Burst | None = None
        # (sent_at, start, end) of retransmissions, in the order in which they were sent. Some of
        # it may be acknowledged, SACKed, lost or sent again meanwhile.
        self._again = NONE_AGAIN
        # A heap of ranges that hold all that is lost and not resent, and perhaps more.
        self._waiting: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._bursts) - self._head

    # -- transmission -------------------------------------------------------------------------

    def sent(self, start: int, end: int, now: int) -> None:
        """Remember that [start, end) was sent for the first time; `start` is `nxt`."""
        burst = self._spare
        if burst is None:
            burst = Burst(start, end, now)
        else:
            self._spare = None
            burst.start = start
            burst.end = end
            burst.sent_at = now
        self._bursts.append(burst)
        self._starts.append(start)
        self.nxt = end
        self.pipe += end - start

    def restart(self, seq: int) -> None:
        """Nothing is in flight, and what is sent next begins at `seq`."""
        self.una = self.nxt = seq

    def ack_plain(self, una: int, now: int, sample: AckSample) -> bool:
        """Take a cumulative acknowledgment of something, up to `una`, if no record that it covers
        bears a mark and none is SACKed.

        Returns whether that is so; if not, nothing is done. As `Flight.ack`, but resets `sample`
        itself.
        """
        bursts = self._bursts
        n = len(bursts)
        i = self._head
        while True:
            burst = bursts[i]
            if burst.marks:
                return False
            if burst.end >= una:
                break
            i += 1
        if self.sacked_bytes or self.dup_bytes:
            return False
        if sample.used:
            sample.reset(now)
            sample.used = False
        sample.now = now
        sample.prior_in_flight = self.pipe
        sample.orig = old = self.una
        sample.acked = sample.delivered = acked = una - old
        sample.newest_at = sent_at = burst.sent_at
        sample.rtt_ns = now - sent_at
        self.una = sample.newest_end = una
        self.pipe = sample.in_flight = self.pipe - acked
        if burst.end > una:
            burst.start = self._starts[i] = una
        else:
            i += 1
        if i == n:
            bursts.clear()
            self._starts.clear()
            self._head = 0
            # What has been sent again has been acknowledged as well.
            if self._again is not NONE_AGAIN:
                self._again = NONE_AGAIN
            if self._waiting:
                self._waiting.clear()
        elif i >= COMPACT_AT and i << 1 >= n:
            del bursts[:i], self._starts[:i]
            self._head = 0
        else:
            self._head = i
        return True

    def ack_all(self, now: int, sample: AckSample) -> None:
        """As `ack_plain` for all that is in flight, where it is certain that it is plain."""
        if sample.used:
            sample.reset(now)
            sample.used = False
        una = self.nxt
        self._spare = burst = self._bursts[-1]
        sample.now = now
        sample.orig = old = self.una
        sample.acked = sample.delivered = sample.prior_in_flight = una - old
        sample.newest_at = sent_at = burst.sent_at
        sample.rtt_ns = now - sent_at
        self.una = sample.newest_end = una
        self.pipe = sample.in_flight = 0
        self._bursts.clear()
        self._starts.clear()
        self._head = 0

    def next_lost(self, limit: int = _RESEND_LIMIT) -> tuple[int, int]:
        """The first range that is lost and not yet retransmitted, or (-1, -1).

        It has at most `limit` bytes, and ends earlier where data begins that is not lost.
        """
        waiting = self._waiting
        if not waiting:
            return NOTHING
        bursts = self._bursts
        n = len(bursts)
        while waiting:
            start, end = waiting[0]
            i = n
            if end > self.una:
                i = self._index(max(start, self.una))
                while i < n and bursts[i].marks & (LOST | RESENT) != LOST:
                    i += 1
                    if i < n and bursts[i].start >= end:
                        i = n
            if i == n:
                heappop(waiting)
                continue
            if bursts[i].start > start:
                # What was passed over is not looked at again.
                start = bursts[i].start
                heapreplace(waiting, (start, end))
            start = max(start, self.una)
            stop = start + limit
            end = bursts[i].end
            i += 1
            while end < stop and i < n and bursts[i].marks & (LOST | RESENT) == LOST:
                end = bursts[i].end
                i += 1
            return start, min(end, stop)
        return NOTHING

    def resent(self, start: int, end: int, now: int) -> None:
        """Remember that [start, end) was retransmitted. What is SACKed in it does not count."""
        start = max(start, self.una)
        if start >= end:
            return
        i = self._cut(start)
        bursts = self._bursts
        n = len(bursts)
        total = 0
        while i < n and bursts[i].start < end:
            burst = bursts[i]
            if burst.end > end:
                self._split(i, end)
            if not burst.marks & SACKED:
                burst.sent_at = now
                size = burst.end - burst.start
                total += size
                if not burst.marks & RESENT:
                    self.resent_bytes += size
                    self.pipe += size
                burst.marks |= RESENT | REPEATED
            i += 1
        if total:
            if self._again is NONE_AGAIN:
                self._again = deque()
            again = self._again
            while again and again[0][2] <= self.una:
                # Without SACK nobody else takes them out before all is acknowledged.
                again.popleft()
            while again and start <= again[-1][1] and again[-1][2] <= end:
                # The same once more, as a probe of a shut window is, perhaps for days.
                again.pop()
            again.append((now, start, end))
            self.repeated_below = max(self.repeated_below, end)
            self.resent_total += total
            if self.first_resent_at < 0:
                self.first_resent_at = now

    def forget_resent(self) -> None:
        """Begin to count retransmissions anew."""
        self.first_resent_at = -1
        self.resent_total = 0

    # -- duplicate ACKs without SACK ----------------------------------------------------------

    def dup_acked(self, mss: int, sample: AckSample) -> None:
        """Take a duplicate ACK from a peer without SACK: one segment has left the network.

        As in Linux: so `pipe` serves both kinds of peer, and the congestion window need not be
        inflated (RFC 5681 §3.2 steps 3 and 4) nor deflated (RFC 6582 §3.2 step 3).
        """
        before = self.dup_bytes
        self._dup_mss = mss
        self.dup_bytes += mss
        self.pipe -= mss
        self._limit_dups()
        sample.delivered += max(0, self.dup_bytes - before)

    def forget_dups(self) -> None:
        """Forget the duplicate ACKs, because SND.UNA moved outside of fast recovery."""
        self.pipe += self.dup_bytes
        self.dup_bytes = 0

    def _deflate(self, acked: int) -> int:
        """Let an ACK for `acked` bytes answer for the duplicate ACKs that its segments caused.

        Returns the bytes that had been counted with them.
        """
        # As in Linux's tcp_remove_reno_sacks: one segment filled the hole, the others had been
        # counted. It comes to the partial window deflation of RFC 6582 §3.2 step 3.
        gone = min(self.dup_bytes, max(0, acked - self._dup_mss))
        self.dup_bytes -= gone
        self.pipe += gone
        self._limit_dups()
        return gone

    def _limit_dups(self) -> None:
        """Believe no more duplicate ACKs than there can have been segments to cause them."""
        # RFC 5681 §3.2 step 4, the note: at least the segment that is missing is not there.
        room = self.nxt - self.una - max(self.lost_bytes, self._dup_mss)
        excess = self.dup_bytes - max(0, room)
        if excess > 0:
            self.dup_bytes -= excess
            self.pipe += excess

    # -- questions ----------------------------------------------------------------------------

    def head(self) -> Burst | None:
        """The record of SND.UNA, to be read only; None if nothing is outstanding."""
        return self._bursts[self._head] if self._head < len(self._bursts) else None

    def tail(self, mss: int, fin: int) -> tuple[int, int]:
        """The last segment sent, of `mss` bytes at most and the FIN, if `fin` is 1; (-1, -1) if
        nothing is outstanding."""
        if self._head == len(self._bursts):
            return NOTHING
        last = self._bursts[-1]
        payload = last.end - fin - last.start
        # The segments of a burst were cut from its beginning on.
        start = last.start + (payload - 1) // mss * mss if payload > 0 else last.start
        return start, last.end

    # -- inside -------------------------------------------------------------------------------

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

    def _leave(self, marks: int, size: int) -> None:
        """Take `size` bytes with these marks out of the counters."""
        if marks & SACKED:
            self.sacked_bytes -= size
            return
        if marks & LOST:
            self.lost_bytes -= size
        else:
            self.pipe -= size
        if marks & RESENT:
            self.resent_bytes -= size
            self.pipe -= size

    def _lose(self, burst: Burst) -> int:
        """Mark a record that is not SACKed as lost, its retransmission included; return its size.

        The caller sees to it that this is news.
        """
        size = burst.end - burst.start
        self._leave(burst.marks, size)
        self.lost_bytes += size
        burst.marks = (burst.marks & REPEATED) | LOST
        heappush(self._waiting, (burst.start, burst.end))
        return size
