"""Endpoint: all TCP on one UDP socket, without the socket.

It finds the connection that a datagram belongs to, listens, answers strays, and keeps TIME-WAIT.
UDP's ports are TCP's ports, and one UDP socket has one local address, so the remote address alone
names a connection.

Bring your own I/O. One wake-up of a driver is, in this order:

1. `receive` for each datagram (or train of datagrams) that came in, `unreachable` and
   `packet_too_big` for errors, `handle_timeout` if `poll_timeout` has passed;
2. `poll_ready` until it returns None: the application reads, writes, closes;
3. `settle`, before the memory of received datagrams is used again;
4. `poll_transmit` until it returns None: send each burst;
5. `poll_timeout`: when to come back if nothing happens before.

For a single message there is a shorter way: `receive_message` instead of 1 and 2, `poll_message`
instead of 4.

`now` is always an integer, nanoseconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

from utcp.config import Config
from utcp.core import bulk, calm, fastpath, icmp, message, output, timeouts
from utcp.core.connection import Connection
from utcp.core.events import READABLE
from utcp.core.reception import Reception
from utcp.core.resets import host
from utcp.core.segment import STAMPED_SIZE
from utcp.core.state import CLOSED, SYN_SENT, TIME_WAIT
from utcp.core.timers import NEVER
from utcp.core.transmit import Transmit

_CE: Final = 3  # RFC 3168 §5


class Endpoint(Reception):
    """The TCP of one UDP socket."""

    __slots__ = (
        "max_burst_bytes",
        "max_burst_segments",
        "more_to_send",
        "ready",
    )

    def __init__(
        self,
        config: Config,
        entropy: bytes,
        *,
        local: Hashable = None,
        ipv6: bool = False,
        path_mtu: int = 1500,
        host_of: Callable[[Hashable], Hashable] = host,
    ) -> None:
        """`entropy`: at least 16 secret random bytes, or ValueError. `local`: the local address.
        `path_mtu`: of paths about which nothing else is known, in bytes, IP header included.
        `host_of`: makes of an address what all addresses of the same host have in common; unless
        told, what comes first in a tuple.

        Endpoints that may one after the other have the same local address are best given the
        same entropy: then sequence numbers and timestamps go on where an earlier connection
        between the same addresses left them, and its TIME-WAIT is no obstacle (RFC 6191).
        """
        super().__init__(config, entropy, local, ipv6, path_mtu, host_of)
        self.ready = self._agenda.ready
        """The connections that `poll_ready` has, for a driver that wants to know without a call;
        as is the next one, and `unsettled`."""
        self.more_to_send = False
        """Whether it is of use to call `poll_transmit` once more, after it has returned a burst."""
        self.max_burst_bytes = 65_000
        """Most bytes in one Transmit, unless a single segment is larger."""
        self.max_burst_segments = 64
        """Most datagrams in one Transmit; 1 where the system cannot send more at once."""

    # -- user calls ---------------------------------------------------------------------------

    def connect(self, now: int, addr: Hashable, path_mtu: int = 0) -> Connection:
        """Open a connection (RFC 9293 §3.10.1, active OPEN): the SYN leaves with the next
        `poll_transmit`. `path_mtu` in bytes, 0 for the endpoint's own.

        Raises ValueError if there is a connection with `addr` (its old one in TIME-WAIT counts
        unless `can_reuse`).
        """
        conn = self._connections.get(addr)
        if conn is not None:
            if conn.state is not CLOSED:
                raise ValueError(f"connection already exists: {addr!r}")
            self._retire(now, conn)
        iss, ts_offset = self._secrets.numbers(now, addr)
        old = self._time_waits.records.get(addr)
        if old is not None:
            if not old.may_connect(now):
                raise ValueError(f"connection in TIME-WAIT: {addr!r}")
            iss = old.iss_for_successor(iss)
            del self._time_waits.records[addr]
        conn = self._new(addr, iss, ts_offset, path_mtu or self.path_mtu, passive=False)
        self.counters.connections_opened += 1
        conn.move(SYN_SENT)
        conn.syn_due = True
        conn.touch()
        return conn

    # -- arriving segments --------------------------------------------------------------------

    def receive(
        self,
        now: int,
        addr: Hashable,
        buf: bytes | bytearray | memoryview,
        length: int,
        stride: int = 0,
        ecn: int = 0,
    ) -> None:
        """Process one received buffer: `length` bytes from `addr`, cut every `stride` bytes into
        datagrams (0: one datagram), with the two ECN bits of its IP header.

        The connection keeps views into `buf` until they are read or `settle` is called. Whatever
        comes in is counted and dropped, or answered; nothing raises.
        """
        counters = self.counters
        counters.datagrams_in += 1
        view = buf if type(buf) is memoryview else memoryview(buf)
        conn = self._connections.get(addr)
        if conn is not None and conn.calm:
            if conn.folded:
                message.unfold(conn)
            if (
                length > STAMPED_SIZE
                and ecn != _CE
                and calm.receive(conn, now, view, length, stride)
            ):
                self.unsettled[conn] = None
                conn.signal(READABLE)
                return
        if not length:
            counters.malformed += 1
            return
        if not stride:
            stride = length
        if conn is None or conn.state is CLOSED:
            pos = self._receive_unknown(now, addr, view, length, stride)
            if pos == length:
                return
            conn = self._connections[addr]
            view = view[pos:length]
            length -= pos
        fastpath.receive(conn, now, view, length, stride, ecn == _CE, self._segment)
        if conn.rcv.buffer.size:
            self.unsettled[conn] = None
        if not conn.predict:
            if conn.state is CLOSED or conn.state is TIME_WAIT:
                self._retire(now, conn)
        elif not conn.calm and conn.snd.snd_una == conn.snd.snd_nxt and conn.rcv.fin_seq < 0:
            # What comes next may be a message.
            calm.look(conn, now)

    def receive_message(
        self, now: int, addr: Hashable, buf: memoryview, length: int, ecn: int
    ) -> tuple[Connection, bytes] | None:
        """As `receive` for a single datagram, if that is a message: text that is next in order, and
        nothing unusual. Returns the connection and the text, which has been read; or is given back
        to `unread`. `poll_message` is to be called next. If it is not that simple nothing is done:
        None, call `receive`."""
        conn = self._connections.get(addr)
        if conn is None or not conn.calm or length <= STAMPED_SIZE or ecn == _CE:
            return None
        text = message.receive(conn, now, buf, length)
        if not text:
            return None
        self.counters.datagrams_in += 1
        return conn, text

    def unread(self, conn: Connection, text: bytes) -> None:
        """The application does not want what `receive_message` has returned yet: it is to be read,
        and `poll_ready` says so."""
        conn.rcv.buffer.append(text, False)
        self.unsettled[conn] = None
        conn.signal(READABLE)

    def settle(self) -> None:
        """Copy what connections hold only as views into received buffers, which may be
        overwritten after this."""
        unsettled = self.unsettled
        if unsettled:
            for conn in unsettled:
                buffer = conn.rcv.buffer
                if buffer.size and buffer.settle():
                    self._memory.note(conn)
            unsettled.clear()

    # -- errors from below --------------------------------------------------------------------

    def unreachable(self, now: int, addr: Hashable, hard: bool, quoted: bytes = b"") -> None:
        """An ICMP error for a datagram to `addr` (RFC 9293 §3.9.2.2, RFC 5927 §4).

        `hard`: no such port or protocol, or prohibited. `quoted`: the start of its payload as
        the error quotes it; b"" is believed: only for what this host's own system says.
        """
        conn = self._connections.get(addr)
        if conn is not None:
            conn.unfold()
            icmp.unreachable(conn, hard, quoted)

    def packet_too_big(self, now: int, addr: Hashable, mtu: int, quoted: bytes = b"") -> None:
        """The path to `addr` takes packets of at most `mtu` bytes: what is in flight and larger
        will be cut anew and sent again (RFC 9293 §3.7.2). `quoted` as for `unreachable`."""
        conn = self._connections.get(addr)
        if conn is not None:
            conn.unfold()
            icmp.packet_too_big(conn, now, mtu, quoted)

    # -- effects ------------------------------------------------------------------------------

    def poll_transmit(self, now: int) -> Transmit | None:
        """The next burst to send, None if there is none. Connections take turns."""
        agenda = self._agenda
        bursts, replies, queue = agenda.bursts, agenda.replies, agenda.to_send
        while True:
            if bursts:
                out: Transmit | None = bursts.popleft()
                break
            if replies:
                addr, data = replies.popleft()
                out = Transmit(addr, data, len(data), self._config.dscp << 2)
                break
            if not queue:
                return None
            conn = queue[0]
            out = self._burst(conn, now)
            if out is not None and conn.more:
                if len(queue) > 1:
                    queue.rotate(-1)
                break
            queue.popleft()
            conn.queued = False
            if not conn.predict and (conn.state is CLOSED or conn.state is TIME_WAIT):
                self._retire(now, conn)
            else:
                if conn.snd.probe_unarmed:
                    output.done(conn, now)
                self._deadlines.schedule(conn)
            if out is not None:
                break
        self.counters.datagrams_out += 1
        self.more_to_send = bool(queue or bursts or replies)
        return out

    def poll_message(self, now: int, conn: Connection) -> bytes | None:
        """What `poll_transmit` would return, if that is one message of `conn`, to be sent with its
        `data_tos`, and all; b"" if it would return None, for an ACK waits. Then `poll_timeout` is
        not before `conn.heap_at` and what it was. If it is not that simple: None, call
        `poll_transmit`, which will look at the connection."""
        agenda = self._agenda
        queue = agenda.to_send
        data = None
        if not (
            len(queue) > conn.queued
            or agenda.bursts
            or agenda.replies
            or self._memory.look_at != NEVER
        ):
            if conn.written:
                data = message.send(conn, now)
            elif conn.calm:
                data = message.awaited(conn, now)
        if data is None:
            conn.touch()
            return None
        if conn.queued:
            queue.clear()
            conn.queued = False
        if data:
            self.counters.datagrams_out += 1
        return data

    def _burst(self, conn: Connection, now: int) -> Transmit | None:
        """The next burst of a connection, by the shortest way that will do."""
        if conn.folded:
            data = message.send(conn, now) if conn.written else None
            if data:
                return Transmit(conn.addr, data, len(data), conn.data_tos)
            message.unfold(conn)
        if conn.predict and conn.snd.buffer.end > conn.snd.snd_nxt:
            out = bulk.send(conn, now, self.max_burst_bytes, self.max_burst_segments)
            if out is not None:
                return out
        return output.poll(conn, now, self.max_burst_bytes, self.max_burst_segments)

    def poll_ready(self) -> Connection | None:
        """A connection with events that the application has not seen, None if there is none."""
        ready = self._agenda.ready
        if not ready:
            return None
        conn = ready.popleft()
        conn.announced = False
        return conn

    # -- time-outs ----------------------------------------------------------------------------

    def poll_timeout(self) -> int:
        """When `handle_timeout` is to be called, NEVER if there is nothing to wait for."""
        at = self._deadlines.next()
        if self._memory.look_at < at:
            at = self._memory.look_at
        records = self._time_waits.records
        if not records:
            return at
        return min(at, next(iter(records.values())).expires_at)

    def overdue(self, now: int) -> bool:
        """Whether a deadline has come, so that `handle_timeout` has something to do. What
        `poll_timeout` said may have been too early, for one that moves is not followed at once;
        from now on it is not."""
        self._deadlines.renew(now)
        return self.poll_timeout() <= now

    def handle_timeout(self, now: int, *, behind: bool = False) -> None:
        """Do what is due at `now`. Calling it early, late or twice does no harm.

        `behind`: more datagrams may have come than `receive` was given. Then nothing is sent again
        for want of an ACK, which may be among them, before it has been missing for twice as long.
        """
        deadlines = self._deadlines
        while (conn := deadlines.due(now)) is not None:
            conn.unfold()
            if behind:
                timeouts.postpone(conn, now)
            if min(conn.timers) <= now:
                timeouts.handle(conn, now)
            if conn.state is CLOSED:
                self._retire(now, conn)
            else:
                deadlines.schedule(conn)
        self._time_waits.expire(now)
        if self._memory.look_at <= now:
            self._memory.look(now)
