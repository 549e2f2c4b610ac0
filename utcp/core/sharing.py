"""Sharing: connections that receive in bulk at the same time divide the UDP socket's buffer.

On a fast path all of a window can stand in that buffer (see `tuning`). One connection alone keeps
its window below what the buffer holds; but they all have the same buffer, and what does not fit
into it is lost, with the rest of the flight mostly, so that only a time-out repairs it. So each is
given its part. Who exchanges messages takes up next to nothing, and does not count.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from utcp.core.connection import Connection

LEAST: Final = 512 << 10
"""A part is not smaller, bytes, however many there are."""
# Eight segments of 64 KiB: with less each would be acknowledged by itself (`AckDelay.torrent`),
# which costs both sides more than what it saves. And a peer that has the processor only now and
# then needs some bytes in flight meanwhile: where very many are promised more than the buffer
# holds, few of them use it at a time.

# When many take turns, or the process is held up, it may be long until a connection has more.
_LIFE_NS: Final = 200_000_000


class Sharing:
    """Who receives in bulk, on one socket."""

    __slots__ = ("_heard_at",)

    def __init__(self) -> None:
        # When bulk came last, the oldest first.
        self._heard_at: OrderedDict[Connection, int] = OrderedDict()

    def note(self, conn: Connection, now: int) -> None:
        """`conn` is receiving in bulk."""
        self._heard_at[conn] = now
        self._heard_at.move_to_end(conn)

    def part(self, now: int, capacity: int) -> int:
        """What the receive buffer of one connection may be, where the socket's holds `capacity`
        bytes."""
        heard_at = self._heard_at
        while heard_at:
            conn = next(iter(heard_at))
            if now - heard_at[conn] <= _LIFE_NS:
                return max(capacity // len(heard_at), min(LEAST, capacity))
            del heard_at[conn]
        return capacity

    def forget(self, conn: Connection) -> None:
        """The connection is over."""
        self._heard_at.pop(conn, None)
