"""The receive side: RCV.* variables, acceptability, the window offered, and when to acknowledge.

Invariant: `rcv_adv`, the right edge of the window, never moves left (RFC 9293 §3.8.6, SHLD-14).
RCV.WND is `rcv_adv - rcv_nxt`.
"""

from __future__ import annotations

from typing import Final

from utcp.core.autotune import ReceiveTuner, initial
from utcp.core.reassembly import NOTHING_HELD, Reassembly
from utcp.core.recv_buffer import RecvBuffer
from utcp.core.timers import NEVER

_TS_RECENT_LIFE_NS: Final = 24 * 86_400 * 1_000_000_000
MAX_WINDOW: Final = 0xFFFF
"""What the window field can say, bytes unless it is scaled."""
_MAX_RANGES: Final = 2048
# Half of what a sequence number tells apart, and half of that: no old duplicate is as near.
_HALF: Final = 0x8000_0000
_PAWS_SPAN: Final = 1 << 30


def window_scale(capacity: int) -> int:
    """The least shift with which `capacity` bytes fit into 16 bits (RFC 7323 §2.2)."""
    return min(max(capacity.bit_length() - 16, 0), 14)


class Receiver:
    """What one connection knows about the bytes that come in."""

    __slots__ = (
        "_hole_seq",
        "_hole_ts",
        "_max_held",
        "ack_now",
        "adv_mss",
        "buffer",
        "capacity",
        "ece",
        "fin_seq",
        "irs",
        "last_ack_sent",
        "rcv_adv",
        "rcv_mss",
        "rcv_nxt",
        "rcv_wscale",
        "reassembly",
        "ts_recent",
        "ts_recent_at",
        "tuner",
    )

    def __init__(self, capacity: int, adv_mss: int) -> None:
        self.capacity = capacity  # RCV.BUFF
        self.adv_mss = adv_mss  # announced in our SYN
        self.rcv_mss = min(adv_mss, 536)  # largest payload seen
        self.irs = 0
        self.rcv_nxt = 0
        self.rcv_adv = 0
        self.rcv_wscale = 0
        self.last_ack_sent = 0
        self.fin_seq = -1  # sequence number of the peer's FIN, once it is known
        self.ack_now = False
        self.ece = False  # echo congestion until the peer says CWR (RFC 3168 §6.1.3)
        self.ts_recent = 0
        self.ts_recent_at = NEVER
        # TS.Recent and RCV.NXT as they were when something began to be held out of order.
        self._hole_ts = 0
        self._hole_seq = 0
        self.buffer = RecvBuffer()
        self.tuner = ReceiveTuner()
        # Most connections never have any other. To fill it, see `holding`.
        self.reassembly = NOTHING_HELD
        self._max_held = capacity

    def start(self, irs: int) -> None:
        """The peer's initial sequence number is known."""
        self.irs = irs
        self.rcv_nxt = self.last_ack_sent = irs + 1
        # The window of a SYN is not scaled (RFC 7323 §2.2).
        self.rcv_adv = self.rcv_nxt + min(self.capacity, MAX_WINDOW)

    @property
    def total(self) -> int:
        """Bytes that have arrived in order."""
        fin = 0 <= self.fin_seq < self.rcv_nxt
        return max(self.rcv_nxt - self.irs - 1 - fin, 0)

    def limit(self, capacity: int) -> None:
        """Let the buffer be no larger than `capacity` bytes."""
        self.capacity = min(self.capacity, capacity)

    def resize(self, limit: int) -> None:
        """The buffer may grow to `limit` bytes from now on: it is no larger, and no smaller than
        that of a new connection with this limit."""
        self.capacity = min(max(self.capacity, initial(self.adv_mss, limit)), limit)

    # -- acceptability ------------------------------------------------------------------------

    def acceptable(self, seq: int, length: int) -> bool:
        """RFC 9293 §3.10.7.4 step 1, Table 6: does the segment fall into the window?"""
        rcv_nxt = self.rcv_nxt
        rcv_adv = self.rcv_adv
        if length == 0:
            return rcv_nxt <= seq < rcv_adv or seq == rcv_nxt
        if rcv_adv == rcv_nxt:
            return False
        return rcv_nxt <= seq < rcv_adv or rcv_nxt < seq + length <= rcv_adv

    def paws_reject(self, ts_val: int, now: int) -> bool:
        """RFC 7323 §5.3 R1: is the timestamp older than the last valid one?"""
        if not (ts_val - self.ts_recent) & _HALF:
            return False
        if self.reassembly.starts and not (ts_val - self._hole_ts) & _HALF:
            # RFC 7323 §5.2: any value will do for this comparison that never decreases and is no
            # older than a window or so. TS.Recent would not do well here: what fills a hole may
            # overtake what was sent before it, and each segment that is dropped for that leaves a
            # hole, whose filling overtakes others. (§5.3 knows of that, and thinks it unlikely.)
            # What is missing was sent after what came before the first hole.
            return self.rcv_nxt - self._hole_seq >= _PAWS_SPAN
        # RFC 7323 §5.5: after 24 days without a segment TS.Recent says nothing any more.
        return now - self.ts_recent_at < _TS_RECENT_LIFE_NS

    def note_timestamp(self, seq: int, ts_val: int, now: int) -> None:
        """RFC 7323 §4.3 (2): remember the timestamp of the segment that the next ACK answers.

        It has passed `paws_reject`, so if it is older, then either something is held out of order,
        or TS.Recent was outdated (§5.5).
        """
        if seq <= self.last_ack_sent and not (
            self.reassembly.starts and (ts_val - self.ts_recent) & _HALF
        ):
            self.ts_recent = ts_val
            self.ts_recent_at = now

    # -- text ---------------------------------------------------------------------------------

    def text(self, seq: int, data: bytes | memoryview) -> int:
        """Take in payload whose first byte has number `seq`; it may lie anywhere.

        Trims it to the window. Returns the number of bytes that became readable by it. Anything
        out of order, old, or filling a hole asks for an immediate ACK (RFC 5681 §4.2).
        """
        end = seq + len(data)
        rcv_nxt = self.rcv_nxt
        if seq < rcv_nxt:
            # RFC 2883 §4: report what came twice.
            self.holding().duplicate(seq, min(end, rcv_nxt))
            self.ack_now = True
            if end <= rcv_nxt:
                return 0
            data = data[rcv_nxt - seq :]
            seq = rcv_nxt
        if end > self.rcv_adv:
            self.ack_now = True
            if seq >= self.rcv_adv:
                return 0
            data = data[: self.rcv_adv - seq]
            end = self.rcv_adv
        if len(data) > self.rcv_mss:
            self.rcv_mss = min(len(data), self.adv_mss)
        if seq > rcv_nxt:
            # RFC 9293 §3.10.7.4 step 1 (SHLD-31): held for later.
            self.ack_now = True
            held = self.holding()
            if not held.starts:
                self._hole_ts = self.ts_recent
                self._hole_seq = rcv_nxt
            held.insert(seq, end, data)
            return 0
        held = self.reassembly
        if held.starts:
            self.ack_now = True
        if held.starts and end >= held.starts[0]:
            # It reaches what came before it, and what came first stands.
            held.insert(seq, end, data)
            chunks, self.rcv_nxt = held.take(seq)
            for chunk in chunks:
                self.buffer.append(chunk, False)
        else:
            self.buffer.append(data, isinstance(data, memoryview))
            self.rcv_nxt = end
        taken = self.rcv_nxt - rcv_nxt
        return taken

    def next_text(self, data: memoryview, nbytes: int) -> None:
        """The same for the payload of one segment that is next in order and fits into the window,
        while nothing is held out of order."""
        if nbytes > self.rcv_mss:
            self.rcv_mss = nbytes if nbytes < self.adv_mss else self.adv_mss
        self.buffer.append(data, True)
        self.rcv_nxt += nbytes

    def next_run(self, views: list[bytes | memoryview], nbytes: int) -> None:
        """The same for a run of them, `nbytes` in all."""
        first = len(views[0])
        if first > self.rcv_mss:
            self.rcv_mss = first if first < self.adv_mss else self.adv_mss
        self.buffer.extend(views, nbytes, True)
        self.rcv_nxt += nbytes

    def holding(self) -> Reassembly:
        """`reassembly`, for who puts something in: from the first time on it is our own."""
        if self.reassembly is NOTHING_HELD:
            self.reassembly = Reassembly(max_bytes=self._max_held, max_ranges=_MAX_RANGES)
        return self.reassembly

    # -- window and acknowledgment ------------------------------------------------------------

    def offer_window(self) -> int:
        """The window field of the next segment; moves the right edge when that is worth while.

        RFC 9293 §3.8.6.2.2 (MUST-39): the edge stays until it can move by a full segment or half
        of the buffer.
        """
        rcv_nxt = self.rcv_nxt
        window = self.rcv_adv - rcv_nxt
        capacity = self.capacity
        free = capacity - self.buffer.size
        shift = self.rcv_wscale
        step = free - window  # as in `window_update_due`
        if shift:
            step -= capacity >> 3
        if step >= self.rcv_mss or step >= capacity >> 1:
            window += step
        # RFC 7323 §2.4: what is rounded down moves the edge left as RCV.NXT grows. So round up,
        # until the reserve is used up: then it moves left, by less than one unit.
        field = -(-window >> shift)
        offered = field << shift
        if offered > free:
            field = window >> shift
            offered = window
        self.rcv_adv = rcv_nxt + offered
        return field

    def syn_window(self) -> int:
        """The window field of a SYN, which is not scaled, as `start` takes it for granted."""
        return min(self.capacity, MAX_WINDOW)

    def window_update_due(self) -> bool:
        """After the application has read: is the new window worth an ACK of its own?"""
        # Where the right edge could be now: behind it the buffer ends, or, with a scaled window,
        # the eighth of it that is left for rounding up.
        capacity = self.capacity
        window = self.rcv_adv - self.rcv_nxt
        step = capacity - self.buffer.size - window
        if self.rcv_wscale:
            step -= capacity >> 3
        if window < self.rcv_mss:
            # The peer is stopped, or nearly: RFC 9293 §3.8.6.2.2.
            return step >= min(self.rcv_mss, capacity >> 1)
        return step >= capacity >> 1

    def ack_due(self) -> bool:
        """RFC 9293 §3.8.6.3 (SHLD-19): at least one ACK for two full-sized segments."""
        return self.ack_now or self.rcv_nxt - self.last_ack_sent >= 2 * self.rcv_mss
