"""What the core gives to be sent."""

from __future__ import annotations

from collections.abc import Hashable


class Transmit:
    """A burst of datagrams to one address, back to back: each is `segment_size` bytes long but
    the last, which may be shorter.

    `payload` holds them as bytes, or, where segments are large, in pieces to be sent as if they
    were joined (`sendmsg` takes them as they are, and saves a copy); `data` is always bytes.
    `tos` is the byte for the IP header: DSCP in the upper six bits, ECN in the lower two.
    """

    __slots__ = ("addr", "payload", "segment_size", "tos")

    def __init__(
        self,
        addr: Hashable,
        payload: bytes | list[bytes | memoryview],
        segment_size: int,
        tos: int,
    ) -> None:
        self.addr = addr
        self.payload = payload
        self.segment_size = segment_size
        self.tos = tos

    @property
    def data(self) -> bytes:
        """The datagrams in one piece."""
        payload = self.payload
        return payload if isinstance(payload, bytes) else b"".join(payload)

    def __len__(self) -> int:
        """Bytes in all."""
        payload = self.payload
        return len(payload) if isinstance(payload, bytes) else sum(map(len, payload))
