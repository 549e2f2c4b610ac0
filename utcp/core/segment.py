"""The segment on the wire: TCP's header without what UDP already carries, and TCP's options.

    0                   1                   2                   3
    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------+-------+-+-+-+-+-+-+-+-+-------------------------------+
    | DOff  | Rsrvd |C|E|0|A|P|R|S|F|            Window             |
    +-------+-------+-+-+-+-+-+-+-+-+-------------------------------+
    |                        Sequence Number                        |
    +---------------------------------------------------------------+
    |                    Acknowledgment Number                      |
    +---------------------------------------------------------------+
    |                 Options (TCP's own, kinds and lengths)        |

Twelve bytes; with UDP's eight exactly TCP's twenty. DOff keeps TCP's value, so the options are
`(DOff - 5) * 4` bytes long although only three words come before them. Options keep the kinds and
lengths of RFC 9293 §3.1, RFC 7323 and RFC 2018.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80

HEADER_SIZE: Final = 12
TIMESTAMPS_SIZE: Final = 12
"""Bytes that timestamps take, with the two NOPs that align them (RFC 7323 Appendix A)."""
MAX_OPTIONS: Final = 40

HEADER: Final = Struct(">BBHII")  # data offset, flags, window, sequence, acknowledgment
TIMESTAMPS_WORD: Final = 0x0101080A  # NOP, NOP, kind 8, length 10

# What nearly every segment has: ACK, and timestamps for an option.
STAMPED_SIZE: Final = HEADER_SIZE + TIMESTAMPS_SIZE
"""Bytes of its header."""
STAMPED_WORD: Final = 0x5000 + (TIMESTAMPS_SIZE << 10) | ACK
"""Its first two bytes."""
STAMPED: Final = Struct(">HHIIIII")
"""All of it: offset and flags; window; sequence; acknowledgment; `TIMESTAMPS_WORD`; both
timestamps."""

_MSS: Final = Struct(">BBH")
_TIMESTAMPS: Final = Struct(">III")
_TWO_WORDS: Final = Struct(">II")
# The options of a SYN as Linux and `syn_options` lay them out: MSS; SACK permitted and the head of
# the timestamps; these; NOP and window scale.
_SYN_OPTIONS: Final = Struct(">HHIIIHBB")
_MSS_HEAD: Final = 0x0204
_SACK_AND_TIMESTAMPS: Final = 0x0402080A
_WSCALE_HEAD: Final = 0x0103

_LEAST_OFFSET: Final = 0x50
_BUT_URG: Final = 0xFF & ~URG

MAX_WSCALE: Final = 14  # RFC 7323 §2.3

# What Segment.parse returns.
OK: Final = 0
NOT_OURS: Final = 1  # the first nibble is below 5: some other protocol on this port
MALFORMED: Final = 2


class Segment:
    """One received segment, taken apart. Made once and filled again and again by `parse`.

    `payload_at` and `end` are offsets into the buffer that was parsed. Options that were absent
    read as -1 (`mss`, `wscale`), False (`sack_permitted`, `has_timestamps`) or an empty list.
    """

    __slots__ = (
        "ack32",
        "end",
        "flags",
        "has_timestamps",
        "mss",
        "payload_at",
        "sack32",
        "sack_permitted",
        "seq32",
        "ts_ecr",
        "ts_val",
        "window",
        "wscale",
    )

    def __init__(self) -> None:
        self.seq32 = 0
        self.ack32 = 0
        self.flags = 0
        self.window = 0
        self.payload_at = 0
        self.end = 0
        self.mss = -1
        self.wscale = -1
        self.sack_permitted = False
        self.has_timestamps = False
        self.ts_val = 0
        self.ts_ecr = 0
        self.sack32: list[tuple[int, int]] = []

    def parse(self, buf: bytes | bytearray | memoryview, start: int, end: int) -> int:
        """Take apart the datagram `buf[start:end]`; returns OK, NOT_OURS or MALFORMED."""
        if end - start < HEADER_SIZE:
            return NOT_OURS if end > start and buf[start] < _LEAST_OFFSET else MALFORMED
        offset, flags, self.window, self.seq32, self.ack32 = HEADER.unpack_from(buf, start)
        if offset < _LEAST_OFFSET:
            return NOT_OURS
        # URG is sent as 0 and ignored: the wire format has no urgent pointer.
        self.flags = flags & _BUT_URG
        # DOff counts words, and two that UDP carries.
        self.payload_at = payload_at = start - 8 + (offset >> 2 & 0x3C)
        self.end = end
        if payload_at > end:
            return MALFORMED
        self.mss = self.wscale = -1
        self.sack_permitted = self.has_timestamps = False
        if self.sack32:
            self.sack32 = []
        # The options, if they lie as nearly all do.
        pos = start + HEADER_SIZE
        size = payload_at - pos
        if size == TIMESTAMPS_SIZE:
            word, ts_val, ts_ecr = _TIMESTAMPS.unpack_from(buf, pos)
            if word == TIMESTAMPS_WORD:
                self.ts_val = ts_val
                self.ts_ecr = ts_ecr
                self.has_timestamps = True
                return OK
        elif not size or (size == _SYN_OPTIONS.size and self._syn_options(buf, pos)):
            return OK
        return self._parse_options(buf, pos)

    def _syn_options(self, buf: bytes | bytearray | memoryview, pos: int) -> bool:
        """Take the options of a usual SYN. If they are others, nothing is done."""
        mss_head, mss, word, ts_val, ts_ecr, wscale_head, length, wscale = _SYN_OPTIONS.unpack_from(
            buf, pos
        )
        if (
            mss_head != _MSS_HEAD
            or word != _SACK_AND_TIMESTAMPS
            or wscale_head != _WSCALE_HEAD
            or length != 3
        ):
            return False
        self.mss = mss
        self.wscale = wscale if wscale < MAX_WSCALE else MAX_WSCALE
        self.sack_permitted = True
        self.ts_val = ts_val
        self.ts_ecr = ts_ecr
        self.has_timestamps = True
        return True

    def _parse_options(self, buf: bytes | bytearray | memoryview, pos: int) -> int:
        # RFC 9293 §3.1 (MUST-4, MUST-6): options in any order and number, unknown ones skipped.
        end = self.payload_at
        while pos < end:
            kind = buf[pos]
            if kind == 0:
                return OK
            if kind == 1:
                pos += 1
                continue
            # RFC 9293 §3.1 (MUST-7): an illegal length must not crash or confuse the parser.
            if pos + 1 >= end:
                return MALFORMED
            length = buf[pos + 1]
            if length < 2 or pos + length > end:
                return MALFORMED
            self._option(buf, pos, kind, length)
            pos += length
        return OK

    def _option(
        self, buf: bytes | bytearray | memoryview, pos: int, kind: int, length: int
    ) -> None:
        """One option of legal length; a known kind with another length is ignored, as in Linux."""
        if kind == 8 and length == 10:
            self.ts_val, self.ts_ecr = _TWO_WORDS.unpack_from(buf, pos + 2)
            self.has_timestamps = True
        elif kind == 5 and length > 2 and (length - 2) % 8 == 0:
            self.sack32 = [
                _TWO_WORDS.unpack_from(buf, at) for at in range(pos + 2, pos + length, 8)
            ]
        elif kind == 2 and length == 4:
            self.mss = buf[pos + 2] << 8 | buf[pos + 3]
        elif kind == 3 and length == 3:
            # RFC 7323 §2.3: a shift above 14 is used as 14.
            self.wscale = min(buf[pos + 2], MAX_WSCALE)
        elif kind == 4 and length == 2:
            self.sack_permitted = True

    def length(self) -> int:
        """SEG.LEN: payload bytes, and one each for SYN and FIN (RFC 9293 §3.4)."""
        flags = self.flags
        return self.end - self.payload_at + (flags & FIN) + (flags >> 1 & 1)


def build(flags: int, window: int, seq: int, ack: int, options: bytes = b"") -> bytes:
    """A header with its options; `seq` and `ack` are cut to 32 bits here, `window` is as sent."""
    return (
        HEADER.pack(0x50 + (len(options) << 2), flags, window, seq & 0xFFFF_FFFF, ack & 0xFFFF_FFFF)
        + options
    )


def timestamps_option(ts_val: int, ts_ecr: int) -> bytes:
    """NOP, NOP, timestamps: twelve bytes (RFC 7323 Appendix A)."""
    return _TIMESTAMPS.pack(TIMESTAMPS_WORD, ts_val, ts_ecr)


def sack_option(blocks: list[tuple[int, int]]) -> bytes:
    """NOP, NOP, SACK with `blocks` as given; sequence numbers are cut to 32 bits (RFC 2018 §3)."""
    out = bytes((1, 1, 5, 2 + 8 * len(blocks)))
    for start, end in blocks:
        out += _TWO_WORDS.pack(start & 0xFFFF_FFFF, end & 0xFFFF_FFFF)
    return out


def syn_options(
    mss: int, wscale: int, sack_permitted: bool, timestamps: tuple[int, int] | None
) -> bytes:
    """The options of a SYN in Linux's order: MSS, SACK permitted, timestamps, NOP, window scale.

    Below 0 `mss` and `wscale` leave their option out, and None as `timestamps` (TSval, TSecr) does.
    """
    if sack_permitted and timestamps is not None and mss >= 0 and wscale >= 0:
        return _SYN_OPTIONS.pack(
            _MSS_HEAD, mss, _SACK_AND_TIMESTAMPS, *timestamps, _WSCALE_HEAD, 3, wscale
        )
    out = _MSS.pack(2, 4, mss) if mss >= 0 else b""
    if timestamps is not None:
        first = b"\x04\x02" if sack_permitted else b"\x01\x01"
        out += first + timestamps_option(*timestamps)[2:]
    elif sack_permitted:
        out += b"\x01\x01\x04\x02"
    if wscale >= 0:
        out += bytes((1, 3, 3, wscale))
    return out
