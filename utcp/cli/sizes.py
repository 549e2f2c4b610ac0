"""Sizes as people write them."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction
from typing import Final

_POWERS: Final = " kmgt"
_PATTERN: Final = re.compile(
    r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([kmgt]?)(i?)(b?)\s*", re.ASCII | re.IGNORECASE
)
_UNITS: Final = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}


def parse_size(text: str) -> int:
    """Bytes: "4096", "64 MiB", "1.5G", "500kB", in capitals or not.

    As for dd and head, a letter alone means a power of 1024, and one with B a power of 1000.
    For argparse: raises its ArgumentTypeError.
    """
    match = _PATTERN.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 64MiB")
    number, letter, binary, byte = match.groups()
    unit = 1000 if byte and not binary else 1024
    # A Fraction, as a float would round what is above 2^53.
    return int(Fraction(number) * unit ** (_POWERS.index(letter.lower()) if letter else 0))


def format_size(size: int) -> str:
    """The same, short: 1 GiB, 64 MiB, 1,500 B."""
    for unit, factor in _UNITS.items():
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size:,} B"


def format_amount(size: float) -> str:
    """A size to three digits, with decimal units: 1.23 GB, 45.6 kB, 789 B."""
    return _scaled(size, "B")


def format_rate(bytes_per_second: float) -> str:
    """The same as bits per second, which is how links are named: 941 Mbit/s."""
    return _scaled(bytes_per_second * 8, "bit/s")


def _scaled(value: float, unit: str) -> str:
    for prefix in ("", "k", "M", "G"):
        # 999.5 would be shown as 1000.
        if value < 999.5:
            return f"{value:.0f} {unit}" if not prefix else f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:,.3g} T{unit}"
