"""Sizes as people write them."""

from __future__ import annotations

import argparse
import re
from typing import Final

_UNITS: Final = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}


def parse_size(text: str) -> int:
    """Bytes: "1GiB", "64 MiB", "500kB" or "4096". For argparse: raises its ArgumentTypeError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2] not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 64MiB")
    return int(float(match[1]) * _UNITS[match[2]])


def format_size(size: int) -> str:
    """The same, short: 1 GiB, 64 MiB, 1,500 B."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _UNITS[unit] and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]} {unit}"
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
