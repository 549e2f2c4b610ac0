"""Reception: what an endpoint does with segments while there is no connection for them.

LISTEN, CLOSED and TIME-WAIT decide (RFC 9293 §3.10.7.1, §3.10.7.2): a SYN may become a connection,
at once or by way of a cookie; TIME-WAIT answers what is old; strays get a RST.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from utcp.config import Config
from utcp.core import admission, handshake, listener, segment, timewait
from utcp.core.cookies import Cookies
from utcp.core.listener import Listener
from utcp.core.segment import ACK, FIN, RST, SYN, Segment
from utcp.core.seq import MASK32
from utcp.core.table import Table
from utcp.core.timewait import TimeWait


class Reception(Table):
    """The connections of an `Endpoint`, and what may become one."""

    __slots__ = ("_cookies", "_listener", "_segment")

    def __init__(
        self,
        config: Config,
        entropy: bytes,
        local: Hashable,
        ipv6: bool,
        path_mtu: int,
        host_of: Callable[[Hashable], Hashable],
    ) -> None:
        super().__init__(config, entropy, local, ipv6, path_mtu, host_of)
        self._cookies = Cookies(config, self._secrets, self.counters)
        self._segment = Segment()
        self._listener: Listener | None = None

    def listen(self, backlog: int = 100) -> None:
        """Accept connections (RFC 9293 §3.10.1, passive OPEN): they come out of `poll_ready`
        with CONNECTED. `backlog` bounds those whose handshake is going on; beyond it a SYN is
        answered with a cookie, or, without `Config.syn_cookies`, takes the place of the oldest
        whose SYN-ACK has had its time, or gets no answer. ValueError for a backlog below 1."""
        if backlog < 1:
            raise ValueError("backlog must be at least 1")
        self._listener = Listener(backlog, self._config.syn_cookies)
        self._agenda.backlog = backlog

    def unlisten(self) -> None:
        """Accept no more. Connections whose handshake is going on may still come to be."""
        self._listener = None

    @property
    def listening(self) -> bool:
        """Whether SYNs are accepted."""
        return self._listener is not None

    # -- segments for nobody ------------------------------------------------------------------

    def _receive_unknown(
        self, now: int, addr: Hashable, buf: memoryview, length: int, stride: int
    ) -> int:
        """Process what comes while there is no connection. Returns where it ends: if that is not
        the end of the buffer, there is one now."""
        conn = self._connections.get(addr)
        if conn is not None:
            # Its application has ended it since.
            self._retire(now, conn)
        pos = 0
        while pos < length and addr not in self._connections:
            end = min(pos + stride, length)
            self.counters.segments_in += 1
            status = self._segment.parse(buf, pos, end)
            if status != segment.OK:
                self.counters.not_ours += status == segment.NOT_OURS
                self.counters.malformed += status == segment.MALFORMED
            elif not self._unknown(now, addr, self._segment):
                break
            pos = end
        return pos

    def _unknown(self, now: int, addr: Hashable, seg: Segment) -> bool:
        """A segment that belongs to no connection: TIME-WAIT, LISTEN or CLOSED decides. False
        if there is a connection for it now."""
        counters = self.counters
        old = self._time_waits.records.get(addr)
        if seg.flags & RST:
            counters.resets_in += 1
        if old is not None:
            verdict = self._time_waits.segment_arrives(now, addr, seg, self.listening)
            if verdict == timewait.REOPEN:
                self._listen_segment(now, addr, seg, old)
            elif verdict != timewait.DROP:
                self._agenda.reply(addr, old.ack(now))
        elif self._listener is None:
            self._stray(now, addr, seg)
        elif seg.flags & (SYN | ACK | RST) == ACK and self._cookies.recent(now):
            return self._maybe_cookie(now, addr, seg)
        else:
            self._listen_segment(now, addr, seg, None)
        return True

    def _listen_segment(self, now: int, addr: Hashable, seg: Segment, old: TimeWait | None) -> None:
        assert self._listener is not None
        agenda = self._agenda
        verdict = self._listener.segment_arrives(seg, len(agenda.half_open))
        if verdict == listener.RESET:
            self._stray(now, addr, seg)
        if verdict in (listener.RESET, listener.IGNORE):
            return
        refusal = agenda.admission.refusal(addr, self._memory.pressed)
        if refusal != admission.NONE:
            if refusal == admission.RESET:
                agenda.reset(now, addr, seg)
        elif verdict == listener.COOKIE and old is None:
            agenda.reply(addr, self._cookies.answer(now, addr, seg, self.path_mtu, self._ipv6))
        else:
            iss, ts_offset = self._secrets.numbers(now, addr)
            if old is not None:
                iss = old.iss_for_successor(iss)
                # Before one that is evicted leaves its own record, which could displace this one.
                self._time_waits.reopen(addr)
            if len(agenda.half_open) >= agenda.backlog:
                oldest = agenda.end_oldest(at_any_rate=old is not None)
                if oldest is None:
                    self.counters.connections_refused += 1
                    return
                self._retire(now, oldest)
            conn = self._new(addr, iss, ts_offset, self.path_mtu, passive=True)
            handshake.open_passive(conn, now, seg)

    def _maybe_cookie(self, now: int, addr: Hashable, seg: Segment) -> bool:
        """An ACK while cookies are out. False if it brings one: then there is a connection now,
        which takes the segment."""
        syn = self._cookies.syn(now, addr, seg)
        if syn is not None:
            self.counters.segments_in -= 1  # it will be counted again
            _, ts_offset = self._secrets.numbers(now, addr)
            iss = seg.ack32 - 1 & MASK32
            conn = self._new(addr, iss, ts_offset, self.path_mtu, passive=True)
            handshake.open_by_cookie(conn, now, syn)
            return False
        if seg.end == seg.payload_at and not seg.flags & FIN:
            self._stray(now, addr, seg)
        # Else it may be what was sent behind a segment that is lost, which has the cookie and will
        # be sent again: no RST.
        return True

    def _stray(self, now: int, addr: Hashable, seg: Segment) -> None:
        """RFC 9293 §3.10.7.1: a segment for nobody gets a RST, a RST gets nothing."""
        self.counters.strays += 1
        self._agenda.reset(now, addr, seg)
