"""TIME-WAIT: what stays of a connection for 2 MSL (RFC 9293 §3.6.1, RFC 1337, RFC 6191)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from struct import Struct
from typing import TYPE_CHECKING, Final

from utcp.config import Config
from utcp.core import segment
from utcp.core.segment import (
    ACK,
    FIN,
    RST,
    STAMPED,
    STAMPED_WORD,
    SYN,
    TIMESTAMPS_WORD,
    Segment,
)
from utcp.core.seq import MASK32, unwrap
from utcp.core.timers import NEVER
from utcp.stats import Counters

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_ISS_STEP: Final = 0x1_0000 + 2  # beyond any window that was not scaled, as Linux steps
_MS: Final = 1_000_000
_NEVER_BEFORE: Final = -NEVER
# SND.NXT, RCV.NXT, TS.Recent, offset of our timestamps, window as sent, timestamps agreed
_NUMBERS: Final = Struct(">IIIIH?")

# What `segment_arrives` says.
DROP: Final = 0
ANSWER: Final = 1  # send `ack()`
ANSWER_AND_RESTART: Final = 2  # and wait another 2 MSL
REOPEN: Final = 3  # a SYN that begins a new connection


class TimeWait:
    """One finished connection. Sequence numbers are as on the wire, times in nanoseconds.

    There may be tens of thousands of these, so what is only read when a segment comes is packed.
    """

    __slots__ = ("_numbers", "challenged_at", "expires_at", "last_sent_at")

    def __init__(self, conn: Connection, now: int) -> None:
        self.expires_at = now
        self.last_sent_at = now
        self.challenged_at = _NEVER_BEFORE
        rcv = conn.rcv
        window = rcv.rcv_adv - rcv.rcv_nxt
        self._numbers = _NUMBERS.pack(
            conn.snd.snd_nxt & MASK32,
            rcv.rcv_nxt & MASK32,
            rcv.ts_recent,
            conn.ts_offset,
            # The right edge of the window stays where it is: nothing moves it any more.
            -(-window >> rcv.rcv_wscale),
            conn.ts_ok,
        )

    @property
    def snd_nxt32(self) -> int:
        """SND.NXT, as on the wire."""
        return _word(self._numbers, 0)

    @property
    def rcv_nxt32(self) -> int:
        """RCV.NXT, as on the wire."""
        return _word(self._numbers, 4)

    @property
    def ts_recent(self) -> int:
        """TS.Recent (RFC 7323 §4.3)."""
        return _word(self._numbers, 8)

    @property
    def ts_ok(self) -> bool:
        """Whether timestamps were agreed."""
        return bool(self._numbers[-1])

    def ack(self, now: int) -> bytes:
        """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>"""
        self.last_sent_at = now
        snd_nxt32, rcv_nxt32, ts_recent, ts_offset, window, ts_ok = _NUMBERS.unpack(self._numbers)
        if not ts_ok:
            return segment.build(ACK, window, snd_nxt32, rcv_nxt32)
        ts_val = now // _MS + ts_offset & MASK32
        return STAMPED.pack(
            STAMPED_WORD, window, snd_nxt32, rcv_nxt32, TIMESTAMPS_WORD, ts_val, ts_recent
        )

    def segment_arrives(
        self, now: int, seg: Segment, *, listening: bool, timestamps: bool, interval_ns: int
    ) -> int:
        """RFC 9293 §3.10.7.4 for the state TIME-WAIT.

        `listening`: whether a new connection could be opened, `timestamps`: whether it would use
        them; `interval_ns`: least time between two answers to segments that bring nothing.
        """
        flags = seg.flags
        if flags & RST:
            # RFC 1337 §3 (F1): a RST does not end TIME-WAIT.
            return DROP
        seq = unwrap(seg.seq32, self.rcv_nxt32)
        if flags & SYN and not flags & ACK and listening and self._reopens(seg, seq, timestamps):
            return REOPEN
        if not flags & (SYN | ACK) and seq >= self.rcv_nxt32:
            # RFC 9293 §3.10.7.4 step 5: if the ACK bit is off, drop the segment.
            return DROP
        acked = flags & ACK and self.snd_nxt32 - seg.ack32 & MASK32 < 0x8000_0000
        if acked and flags & (SYN | FIN) == FIN and seq + seg.length() == self.rcv_nxt32:
            # RFC 9293 §3.10.7.4 step 5: the peer's FIN again. Acknowledge, wait 2 MSL anew.
            if seg.has_timestamps and not self._older(seg):
                numbers = self._numbers
                self._numbers = numbers[:8] + seg.ts_val.to_bytes(4) + numbers[12:]
            return ANSWER_AND_RESTART
        if seq == self.rcv_nxt32 and seg.length() == 0:
            return DROP
        # Old duplicates and everything else: acknowledged at a limited rate (RFC 5961 §7).
        if now - self.challenged_at < interval_ns:
            return DROP
        self.challenged_at = now
        return ANSWER

    def _older(self, seg: Segment) -> bool:
        return bool((seg.ts_val - self.ts_recent) & 0x8000_0000)

    def _reopens(self, seg: Segment, seq: int, timestamps: bool) -> bool:
        """RFC 9293 §3.6.1 (SHLD-4), RFC 6191 §2: is it a SYN that cannot be an old duplicate?"""
        if timestamps and seg.has_timestamps:
            if not self.ts_ok:
                return True
            if seg.ts_val != self.ts_recent:
                return not self._older(seg)
        return seq >= self.rcv_nxt32

    def may_connect(self, now: int) -> bool:
        """Whether we may open a new connection over this record: the peer's record of the old
        one, and old duplicates, must be told apart by timestamps (RFC 6191, RFC 7323 §5)."""
        return self.ts_ok and now // _MS > self.last_sent_at // _MS

    def iss_for_successor(self, iss: int) -> int:
        """`iss`, if it lies above everything the old connection sent; else the least that does.

        RFC 9293 §3.6.1 (MAY-2) (1): larger than the largest number used before.
        """
        snd_nxt32 = self.snd_nxt32
        above = iss - snd_nxt32 & MASK32
        if 0 < above < 0x8000_0000:
            return iss
        return snd_nxt32 + _ISS_STEP & MASK32


class TimeWaits:
    """The records of one endpoint, by the peer's address: at most `Config.max_time_wait`."""

    __slots__ = ("_config", "_counters", "_lasts_ns", "_reopened", "records")

    def __init__(self, config: Config, counters: Counters) -> None:
        self._config = config
        self._counters = counters
        self._lasts_ns = 2 * config.ns("msl")
        # In the order in which they expire, for all of them last equally long.
        self.records: OrderedDict[Hashable, TimeWait] = OrderedDict()
        # Those of which a SYN has made new connections, while these last.
        self._reopened: dict[Hashable, TimeWait] = {}

    def keep(self, now: int, addr: Hashable, record: TimeWait) -> None:
        """Keep the record for 2 MSL from now. If there are too many the oldest goes: it has
        done most of its duty."""
        record.expires_at = now + self._lasts_ns
        records = self.records
        records[addr] = record
        records.move_to_end(addr)
        most = self._config.max_time_wait
        if most and len(records) > most:
            records.popitem(last=False)
            self._counters.over_time_wait += 1

    def reopen(self, addr: Hashable) -> None:
        """A SYN has made a new connection of the record."""
        self._reopened[addr] = self.records.pop(addr)

    def over(self, now: int, addr: Hashable, *, silent: bool) -> None:
        """A connection is over; `silent`: it was never established."""
        before = self._reopened.pop(addr, None)
        if before is not None and silent:
            # RFC 9293 §3.6.1 (MAY-2) (2): the SYN was an old duplicate, so back to TIME-WAIT.
            self.keep(now, addr, before)

    def expire(self, now: int) -> None:
        """RFC 9293 §3.10.8, TIME-WAIT TIMEOUT."""
        records = self.records
        while records and next(iter(records.values())).expires_at <= now:
            records.popitem(last=False)

    def segment_arrives(self, now: int, addr: Hashable, seg: Segment, listening: bool) -> int:
        """What the record of `addr` says of a segment; `listening`: whether it may be reopened."""
        config = self._config
        record = self.records[addr]
        verdict = record.segment_arrives(
            now,
            seg,
            listening=listening,
            timestamps=config.timestamps,
            interval_ns=config.ns("challenge_ack_interval"),
        )
        if verdict == ANSWER_AND_RESTART:
            self.keep(now, addr, record)
        return verdict


def _word(numbers: bytes, at: int) -> int:
    return int.from_bytes(numbers[at : at + 4])
