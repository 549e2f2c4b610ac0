"""Sequence arithmetic (RFC 9293 §3.4).

On the wire a sequence number has 32 bits and wraps. Inside the core it does not: it starts as the
32-bit initial sequence number and then only grows, so that plain integer comparison is the right
comparison and nothing is computed modulo 2^32. `unwrap` is used where a segment comes in; where
one goes out, `seq & MASK32` is its number on the wire.
"""

from __future__ import annotations

from typing import Final

MASK32: Final = 0xFFFF_FFFF
_HALF: Final = 0x8000_0000


def unwrap(seq32: int, near: int) -> int:
    """The number that is `seq32` on the wire and lies within 2^31 of `near`."""
    return near + ((seq32 - near + _HALF) & MASK32) - _HALF
