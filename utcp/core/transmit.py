"""What the core gives to be sent."""

from __future__ import annotations

from collections.abc import Hashable


class Transmit:
    """A burst of datagrams to one address.

    `data` holds them back to back: each is `segment_size` bytes long but the last, which may be
    shorter. `tos` is the byte for the IP header: DSCP in the upper six bits, ECN in the lower two.
    """

    __slots__ = ("addr", "data", "segment_size", "tos")

    def __init__(self, addr: Hashable, data: bytes, segment_size: int, tos: int) -> None:
        self.addr = addr
        self.data = data
        self.segment_size = segment_size
        self.tos = tos
