"""packetdrill's way to write a segment, as used by `Script`.

    S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>
    [ce] P. 1:1001(1000) ack 1 win 500
    . 1:1(0) ack 1001 <nop,nop,sack 2001:3001>
    R. *

In this order: the ECN codepoint ([ect0], [ect1], [ce] or [noecn]); the flags, out of S F R P `.`
(ACK) E (ECE) W or C (CWR), or `-` for none; `first:end(length)` with length the bytes of payload;
`ack`; `win`, the field as it stands in the header; options in angle brackets. Sequence numbers are
relative to their sender's initial one, acknowledgments and SACK edges to the other side's.
A `*` instead of a number or of `first:end(length)` means any. What is not written is not compared.
Options are compared in their order without NOPs, unless NOPs are written; `...` as the last one
allows others to follow.
"""

from __future__ import annotations

import re
from typing import Final

from utcp.testing.segment_view import (
    ACK,
    CWR,
    ECE,
    EOL_KIND,
    FIN,
    MSS_KIND,
    NOP_KIND,
    PSH,
    RST,
    SACK_KIND,
    SACK_OK_KIND,
    SYN,
    TS_KIND,
    WSCALE_KIND,
    Option,
)

__all__ = ["OptionSpec", "SegmentSpec"]

_FLAGS: Final = {
    "S": SYN,
    "F": FIN,
    "R": RST,
    "P": PSH,
    ".": ACK,
    "E": ECE,
    "W": CWR,
    "C": CWR,
    "-": 0,
}
_ECN: Final = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}
_SEGMENT: Final = re.compile(
    r"""
    (?:\[(?P<ecn>\w+)\]\s*)?
    (?P<flags>[SFRP.EWC]+|-)
    (?:\s+(?:(?P<any>\*)|(?P<seq>\d+):(?P<end>\d+)\((?P<length>\d+)\)))?
    (?:\s+ack\s+(?P<ack>\d+|\*))?
    (?:\s+win\s+(?P<win>\d+|\*))?
    (?:\s*<(?P<options>[^>]*)>)?
    \s*
    """,
    re.VERBOSE,
)


class OptionSpec:
    """One written option: its kind and its numbers, None where any number will do."""

    __slots__ = ("kind", "numbers", "raw")

    def __init__(self, kind: int, numbers: tuple[int | None, ...], raw: bytes = b"") -> None:
        self.kind = kind
        self.numbers = numbers
        self.raw = raw
        """The content of an option of a kind that has no notation."""

    def __repr__(self) -> str:
        return f"OptionSpec({self.kind}, {self.numbers}, {self.raw!r})"


class SegmentSpec:
    """A segment as written. Raises ValueError for text that cannot be read."""

    __slots__ = (
        "ack",
        "any_seq",
        "ecn",
        "flags",
        "length",
        "more_options",
        "options",
        "seq",
        "text",
        "window",
    )

    def __init__(self, text: str) -> None:
        match = _SEGMENT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"cannot read the segment {text!r}")
        self.text = text.strip()
        ecn = match["ecn"]
        if ecn is not None and ecn not in _ECN:
            raise ValueError(f"unknown ECN codepoint [{ecn}]")
        self.ecn = None if ecn is None else _ECN[ecn]
        self.flags = 0
        for letter in match["flags"]:
            self.flags |= _FLAGS[letter]
        self.any_seq = match["seq"] is None
        self.seq = int(match["seq"] or 0)
        self.length = int(match["length"] or 0)
        if not self.any_seq and int(match["end"]) != self.seq + self.length:
            raise ValueError(f"{match['seq']}:{match['end']} are not {self.length} bytes")
        self.ack = _number(match["ack"])
        self.window = _number(match["win"])
        self.options: list[OptionSpec] | None = None
        self.more_options = False
        if match["options"] is not None:
            words = [word.strip() for word in match["options"].split(",")]
            self.more_options = words[-1] == "..."
            if self.more_options:
                words.pop()
            self.options = [_option(word) for word in words if word]

    def __repr__(self) -> str:
        return f"SegmentSpec({self.text!r})"


def _number(text: str | None) -> int | None:
    return None if text in (None, "*", "...") else int(str(text))


def _option(text: str) -> OptionSpec:
    name, *words = text.split()
    if name in ("nop", "eol", "sackOK") and not words:
        kinds = {"nop": NOP_KIND, "eol": EOL_KIND, "sackOK": SACK_OK_KIND}
        return OptionSpec(kinds[name], ())
    if name in ("mss", "wscale") and len(words) == 1:
        return OptionSpec(MSS_KIND if name == "mss" else WSCALE_KIND, (_number(words[0]),))
    if name == "TS" and len(words) == 4 and (words[0], words[2]) == ("val", "ecr"):
        return OptionSpec(TS_KIND, (_number(words[1]), _number(words[3])))
    if name == "sack" and words:
        edges = [_number(edge) for block in words for edge in block.split(":")]
        if len(edges) == 2 * len(words):
            return OptionSpec(SACK_KIND, tuple(edges))
    if name.startswith("kind") and len(words) == 1 and words[0].startswith("0x"):
        return OptionSpec(int(name[4:]), (), bytes.fromhex(words[0][2:]))
    raise ValueError(f"cannot read the option {text!r}")


def encode_option(spec: OptionSpec, ack_base: int, ts_offset: int) -> Option:
    """The option for the wire; SACK edges are counted from `ack_base`, and a TSecr other than 0
    from `ts_offset`. ValueError where no number is written."""
    if spec.raw:
        return spec.kind, spec.raw
    numbers = [number for number in spec.numbers if number is not None]
    if len(numbers) != len(spec.numbers):
        raise ValueError("a segment to send needs all its numbers")
    if spec.kind == MSS_KIND:
        return spec.kind, numbers[0].to_bytes(2, "big")
    if spec.kind == WSCALE_KIND:
        return spec.kind, numbers[0].to_bytes(1, "big")
    if spec.kind == SACK_KIND:
        numbers = [number + ack_base for number in numbers]
    elif spec.kind == TS_KIND and numbers[1]:
        numbers[1] += ts_offset
    words = [(number & 0xFFFF_FFFF).to_bytes(4, "big") for number in numbers]
    return spec.kind, b"".join(words)
