"""Bytes that choose: what a fuzzer hands over, read as one small decision after another.

Whatever the bytes are, they mean something, and what lacks reads as zero. So a coverage-guided
fuzzer and a seeded random generator can both drive the same targets.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

_MOST_BYTES: Final = 120


class Input:
    """The bytes, and how far they have been read."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def empty(self) -> bool:
        """Whether all has been read."""
        return self._at >= len(self._data)

    def byte(self) -> int:
        """0 to 255."""
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def short(self) -> int:
        """0 to 65,535."""
        return self.byte() << 8 | self.byte()

    def word(self) -> int:
        """0 to 2**32 - 1."""
        return self.short() << 16 | self.short()

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        at = self._at
        self._at = at + size
        return self._data[at : at + size]


def draw(rng: random.Random, corpus: Sequence[bytes] = ()) -> bytes:
    """One input: random bytes, or one of the corpus with some of it changed."""
    if not corpus or rng.random() < 0.5:
        # Zeros are the choice that is most usual, so there are more of them.
        size = rng.randrange(1, _MOST_BYTES)
        data = bytearray(rng.randbytes(size))
        for _ in range(rng.randrange(size)):
            data[rng.randrange(size)] = 0
        return bytes(data)
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at : at + 1] = bytes((rng.randrange(256),))
            case 1:
                del data[at : at + rng.randrange(1, 16)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 16))
            case _:
                other = rng.choice(corpus)
                data[at:] = other[min(at, len(other)) :]
    return bytes(data)
