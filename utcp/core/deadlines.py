"""When each connection of an endpoint wants to be called next: one heap for all of them.

A connection's deadlines move all the time, mostly to later. An entry is therefore only replaced
by an earlier one; a connection that is called too early just says when it wants to be called
again. `Connection.heap_at` is the time of its valid entry, NEVER without one.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from utcp.core.timers import NEVER
from utcp.core.tlp import pto_ns

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_COMPACT_AT: Final = 64


def deadline(conn: Connection) -> int:
    """When the connection wants to be called, also if it is folded: see `message`."""
    at = min(conn.timers)
    if conn.in_flight:
        due = conn.snd.last_sent_at + patience_ns(conn)
        if due < at:
            return due
    return at


def patience_ns(conn: Connection) -> int:
    """How long a message may go unacknowledged before its first time-out, from when it was sent."""
    rtt = conn.snd.rtt
    wait_ns = rtt.rto_ns
    if conn.snd.loss.may_probe:
        # RFC 8985 §7.2
        wait_ns = min(wait_ns, pto_ns(rtt.srtt_ns, True, conn.acks.most_ns))
    if 0 < conn.user_timeout_ns < wait_ns:
        return conn.user_timeout_ns
    return wait_ns


class Deadlines:
    """The heap. At most half of it, or 64 entries, have been overtaken."""

    __slots__ = ("_count", "_heap", "_valid")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Connection]] = []
        self._count = 0
        self._valid = 0

    def schedule(self, conn: Connection) -> None:
        """Note the connection's next deadline, unless an earlier one stands here."""
        at = deadline(conn)
        if at < conn.heap_at:
            self.note(conn, at)

    def note(self, conn: Connection, at: int) -> None:
        """Call the connection at `at`, which is earlier than what stands here."""
        self._valid += conn.heap_at == NEVER
        conn.heap_at = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, conn))
        if len(self._heap) > _COMPACT_AT:
            self._compact()

    def forget(self, conn: Connection) -> None:
        """The connection is over."""
        self._valid -= conn.heap_at != NEVER
        conn.heap_at = NEVER
        if not self._valid:
            self._heap.clear()
        elif len(self._heap) > _COMPACT_AT:
            self._compact()

    def next(self) -> int:
        """The earliest deadline, or NEVER."""
        heap = self._heap
        while heap:
            at, _, conn = heap[0]
            if conn.heap_at == at:
                return at
            heapq.heappop(heap)
        return NEVER

    def due(self, now: int) -> Connection | None:
        """Take out a connection whose time has come, None if there is none."""
        if self.next() > now:
            return None
        conn = heapq.heappop(self._heap)[2]
        conn.heap_at = NEVER
        self._valid -= 1
        return conn

    def renew(self, now: int) -> None:
        """Move what has come too early to where its connection wants to be called; what is due
        stays."""
        while self._heap and self._heap[0][0] <= now:
            at, _, conn = self._heap[0]
            valid = conn.heap_at == at
            if valid and deadline(conn) <= now:
                break
            heapq.heappop(self._heap)
            if valid:
                self._valid -= 1
                conn.heap_at = NEVER
                self.schedule(conn)

    def _compact(self) -> None:
        heap = self._heap
        if len(heap) > 2 * self._valid:
            # Entries of connections that are gone would keep them in memory.
            valid = {entry[2]: entry for entry in heap if entry[2].heap_at == entry[0]}
            self._heap = list(valid.values())
            heapq.heapify(self._heap)
