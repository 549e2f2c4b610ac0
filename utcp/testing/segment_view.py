"""Segments as people read them: a decoder and an encoder that share nothing with `utcp.core`.

They are slow and plain on purpose, so that they check the core's codec rather than repeat it.
The wire layout is the TCP header without ports, checksum and urgent pointer, which UDP carries
or which are not used:

    data offset 4 bits | reserved 4 | CWR ECE 0 ACK PSH RST SYN FIN | window 16
    sequence number 32
    acknowledgment number 32
    options, (data offset - 5) * 4 bytes
"""

from __future__ import annotations

from typing import Final

__all__ = ["ACK", "CWR", "ECE", "FIN", "PSH", "RST", "SYN", "SegmentView", "encode_segment"]

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
ECE: Final = 0x40
CWR: Final = 0x80

_LETTERS: Final = ((SYN, "S"), (FIN, "F"), (RST, "R"), (PSH, "P"), (ECE, "E"), (CWR, "W"))

EOL_KIND: Final = 0
NOP_KIND: Final = 1
MSS_KIND: Final = 2
WSCALE_KIND: Final = 3
SACK_OK_KIND: Final = 4
SACK_KIND: Final = 5
TS_KIND: Final = 8

_LENGTHS: Final[dict[int, tuple[int, ...]]] = {
    MSS_KIND: (4,),
    WSCALE_KIND: (3,),
    SACK_OK_KIND: (2,),
    SACK_KIND: (10, 18, 26, 34),
    TS_KIND: (10,),
}

Option = tuple[int, bytes]
"""An option's kind and its content, without kind and length."""


class SegmentView:
    """One decoded segment. Raises ValueError for bytes that are not a well-formed segment."""

    __slots__ = ("ack32", "flags", "options", "payload", "seq32", "window")

    def __init__(self, datagram: bytes) -> None:
        if len(datagram) < 12:
            raise ValueError(f"a segment has at least 12 bytes, this datagram has {len(datagram)}")
        data_offset = datagram[0] >> 4
        if data_offset < 5:
            raise ValueError(f"data offset {data_offset} is below 5")
        header = data_offset * 4 - 8
        if header > len(datagram):
            raise ValueError(f"data offset {data_offset} points beyond the datagram")
        self.flags = datagram[1]
        self.window = int.from_bytes(datagram[2:4], "big")
        self.seq32 = int.from_bytes(datagram[4:8], "big")
        self.ack32 = int.from_bytes(datagram[8:12], "big")
        self.options = decode_options(bytes(datagram[12:header]))
        self.payload = bytes(datagram[header:])

    @property
    def syn(self) -> bool:
        """The SYN bit."""
        return bool(self.flags & SYN)

    @property
    def fin(self) -> bool:
        """The FIN bit."""
        return bool(self.flags & FIN)

    @property
    def rst(self) -> bool:
        """The RST bit."""
        return bool(self.flags & RST)

    @property
    def ack(self) -> bool:
        """The ACK bit."""
        return bool(self.flags & ACK)

    @property
    def length(self) -> int:
        """Sequence space taken: payload, and one each for SYN and FIN."""
        return len(self.payload) + self.syn + self.fin

    @property
    def mss(self) -> int | None:
        """The maximum segment size announced, in bytes."""
        content = self._option(MSS_KIND)
        return None if content is None else int.from_bytes(content, "big")

    @property
    def window_scale(self) -> int | None:
        """The window scale shift."""
        content = self._option(WSCALE_KIND)
        return None if content is None else content[0]

    @property
    def sack_permitted(self) -> bool:
        """The SACK-permitted option is there."""
        return self._option(SACK_OK_KIND) is not None

    @property
    def sack_blocks(self) -> list[tuple[int, int]]:
        """The blocks of the SACK option: pairs of 32-bit left and right edges."""
        content = self._option(SACK_KIND) or b""
        edges = [int.from_bytes(content[i : i + 4], "big") for i in range(0, len(content), 4)]
        return list(zip(edges[::2], edges[1::2], strict=True))

    @property
    def timestamps(self) -> tuple[int, int] | None:
        """TSval and TSecr."""
        content = self._option(TS_KIND)
        if content is None:
            return None
        return int.from_bytes(content[:4], "big"), int.from_bytes(content[4:], "big")

    def _option(self, kind: int) -> bytes | None:
        return next((content for known, content in self.options if known == kind), None)

    def flag_letters(self) -> str:
        """The flags in packetdrill's letters: S F R P E W, and `.` for ACK; `-` for none."""
        letters = "".join(letter for bit, letter in _LETTERS if self.flags & bit)
        return (letters + ("." if self.flags & ACK else "")) or "-"

    def describe(self, iss: int = 0, irs: int = 0) -> str:
        """The segment in packetdrill's notation, sequence numbers relative to `iss` (its
        sender's initial one) and acknowledgments and SACK blocks relative to `irs`."""
        seq = _relative(self.seq32, iss)
        text = f"{self.flag_letters()} {seq}:{seq + len(self.payload)}({len(self.payload)})"
        if self.flags & ACK:
            text += f" ack {_relative(self.ack32, irs)}"
        text += f" win {self.window}"
        if self.options:
            options = ",".join(describe_option(option, irs) for option in self.options)
            text += f" <{options}>"
        return text

    def __repr__(self) -> str:
        return f"<Segment {self.describe()}>"


def _relative(number32: int, base32: int) -> int:
    """`number32` as a distance from `base32`: just below the base is small and negative."""
    distance = (number32 - base32) & 0xFFFF_FFFF
    return distance if distance < 0xC000_0000 else distance - (1 << 32)


def decode_options(area: bytes) -> list[Option]:
    """The options in order, NOP and end of list included. ValueError if they are malformed."""
    options: list[Option] = []
    i = 0
    while i < len(area):
        kind = area[i]
        if kind in (EOL_KIND, NOP_KIND):
            options.append((kind, b""))
            if kind == EOL_KIND:
                break
            i += 1
            continue
        length = area[i + 1] if i + 1 < len(area) else 0
        if length < 2 or i + length > len(area):
            raise ValueError(f"option of kind {kind} at {i} has a bad length")
        if length not in _LENGTHS.get(kind, (length,)):
            raise ValueError(f"option of kind {kind} cannot have length {length}")
        options.append((kind, area[i + 2 : i + length]))
        i += length
    return options


def describe_option(option: Option, irs: int = 0) -> str:
    """One option in packetdrill's notation; SACK edges relative to `irs`."""
    kind, content = option
    words = [int.from_bytes(content[i : i + 4], "big") for i in range(0, len(content), 4)]
    if kind == EOL_KIND:
        return "eol"
    if kind == NOP_KIND:
        return "nop"
    if kind == MSS_KIND:
        return f"mss {words[0]}"
    if kind == WSCALE_KIND:
        return f"wscale {words[0]}"
    if kind == SACK_OK_KIND:
        return "sackOK"
    if kind == TS_KIND:
        return f"TS val {words[0]} ecr {words[1]}"
    if kind == SACK_KIND:
        edges = [_relative(word, irs) for word in words]
        blocks = zip(edges[::2], edges[1::2], strict=True)
        return "sack " + " ".join(f"{left}:{right}" for left, right in blocks)
    return f"kind{kind} 0x{content.hex()}"


def encode_options(options: list[Option]) -> bytes:
    """The options area, padded with zeros to whole words. ValueError above 40 bytes."""
    area = b"".join(
        bytes((kind,))
        if kind in (EOL_KIND, NOP_KIND)
        else bytes((kind, len(content) + 2)) + content
        for kind, content in options
    )
    area += bytes(-len(area) % 4)
    if len(area) > 40:
        raise ValueError(f"options take {len(area)} bytes, at most 40 fit")
    return area


def encode_segment(
    flags: int,
    seq32: int,
    ack32: int = 0,
    window: int = 65_535,
    options: list[Option] | None = None,
    payload: bytes = b"",
) -> bytes:
    """A datagram with this segment. Numbers are cut to their size on the wire."""
    area = encode_options(options or [])
    first = (5 + len(area) // 4) << 4
    numbers = (seq32 & 0xFFFF_FFFF).to_bytes(4, "big") + (ack32 & 0xFFFF_FFFF).to_bytes(4, "big")
    head = bytes((first, flags & 0xFF)) + (window & 0xFFFF).to_bytes(2, "big")
    return head + numbers + area + payload
