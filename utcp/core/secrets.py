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

    __slots__ = ("_addr", "_both", "_key", "_numbers")

    def __init__(self, entropy: bytes, local: Hashable = None) -> None:
        if len(entropy) < _LEAST_ENTROPY:
            raise ValueError(f"entropy must be at least {_LEAST_ENTROPY} bytes")
        self._key = key = blake2s(repr(local).encode(), key=blake2s(entropy).digest()).digest()
        # Copied for each connection: what is the same for all of them is hashed once.
        self._numbers = blake2s(key=key, person=b"numbers", digest_size=8)
        # What came of it for the last address: a client connects to the same one again and again.
        self._addr: Hashable = None
        self._both = -1

    def numbers(self, now: int, addr: Hashable) -> tuple[int, int]:
        """For a connection with `addr` opened at `now`: the initial send sequence number, and what
        is added to the timestamp clock (RFC 7323 §5.4). 32 bits each.

        RFC 9293 §3.4.1 (MUST-8, SHLD-1): ISN = M + F(localip, localport, remoteip, remoteport,
        secretkey) with M a clock that ticks every 4 microseconds.
        """
        if self._both < 0 or addr != self._addr:
            numbers = self._numbers.copy()
            numbers.update(repr(addr).encode())
            self._both = int.from_bytes(numbers.digest())
            self._addr = addr
        both = self._both
        return (now // _ISN_TICK_NS + (both >> 32)) & MASK32, both & MASK32

    def bucket(self, second: int, host: Hashable) -> int:
        """Which budget `host` shares with which others in one second: 32 bits."""
        return self._hash(b"bucket", host, second)

    def cookie(self, addr: Hashable, irs32: int, period: int, mss_index: int) -> int:
        """What nobody else can compute of a SYN from `addr`, for `cookies`: 32 bits."""
        return self._hash(b"cookie", addr, irs32, period, mss_index)

    def _hash(self, label: bytes, addr: Hashable, *numbers: int) -> int:
        text = repr((addr, *numbers)).encode()
        digest = blake2s(text, key=self._key, person=label, digest_size=4).digest()
        return int.from_bytes(digest)
