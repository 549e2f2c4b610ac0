"""What must not be guessed: initial sequence numbers and timestamp offsets.

All of it is computed from the entropy that the endpoint was given, so that a run with the same
entropy, times and datagrams repeats itself exactly.
"""

from __future__ import annotations

from collections.abc import Hashable
from hashlib import blake2s
from typing import Final

from utcp.core.seq import MASK32

_LEAST_ENTROPY: Final = 16
_ISN_TICK_NS: Final = 4_000


class Secrets:
    """Keyed hashes for the endpoint at the address `local`."""

    __slots__ = ("_key", "_local")

    def __init__(self, entropy: bytes, local: Hashable = None) -> None:
        if len(entropy) < _LEAST_ENTROPY:
            raise ValueError(f"entropy must be at least {_LEAST_ENTROPY} bytes")
        self._key = blake2s(entropy).digest()
        self._local = local

    def iss(self, now: int, addr: Hashable) -> int:
        """The initial send sequence number for a connection with `addr` opened at `now`, 32 bits.

        RFC 9293 §3.4.1 (MUST-8, SHLD-1): ISN = M + F(localip, localport, remoteip, remoteport,
        secretkey) with M a clock that ticks every 4 microseconds.
        """
        return (now // _ISN_TICK_NS + self._hash(b"isn", addr)) & MASK32

    def timestamp_offset(self, addr: Hashable) -> int:
        """What is added to the timestamp clock for `addr` (RFC 7323 §5.4): 32 bits."""
        return self._hash(b"ts", addr)

    def bucket(self, second: int, host: Hashable) -> int:
        """Which budget `host` shares with which others in one second: 32 bits."""
        return self._hash(b"bucket", host, second)

    def cookie(self, addr: Hashable, irs32: int, period: int, mss_index: int) -> int:
        """What nobody else can compute of a SYN from `addr`, for `cookies`: 32 bits."""
        return self._hash(b"cookie", addr, irs32, period, mss_index)

    def _hash(self, label: bytes, addr: Hashable, *numbers: int) -> int:
        text = repr((self._local, addr, *numbers)).encode()
        digest = blake2s(text, key=self._key, person=label, digest_size=4).digest()
        return int.from_bytes(digest)
