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

`now` is always an integer, nanoseconds of a monotonic clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from utcp.config import Config
from utcp.core import (
    fastpath,
    handshake,
    listener,
    output,
    probing,
    segment,
    timeouts,
    timewait,
)
from utcp.core.connection import Agenda, Connection
from utcp.core.deadlines import Deadlines
from utcp.core.listener import Listener
from utcp.core.resets import Resets
from utcp.core.secrets import Secrets
from utcp.core.segment import RST, Segment
from utcp.core.seq import unwrap
from utcp.core.state import (
    CLOSED,
    SYN_SENT,
    TIME_WAIT,
    Reason,
    State,
)
from utcp.core.teardown import finish
from utcp.core.timewait import TimeWait
from utcp.core.transmit import Transmit
from utcp.stats import Counters

_CE: Final = 3  # RFC 3168 §5
_QUOTED_SEQ: Final = 8  # bytes of our header up to the end of the sequence number


class Endpoint:
    """The TCP of one UDP socket."""

    __slots__ = (
        "_agenda",
        "_config",
        "_connections",
        "_deadlines",
        "_ipv6",
        "_listener",
        "_reopened",
        "_secrets",
        "_segment",
        "_time_wait",
        "_unsettled",
        "burst_capacity",
        "counters",
        "max_burst_bytes",
        "max_burst_segments",
        "path_mtu",
    )

    def __init__(
        self,
        config: Config,
        entropy: bytes,
        *,
        local: Hashable = None,
        ipv6: bool = False,
        path_mtu: int = 1500,
    ) -> None:
        """`entropy`: at least 16 secret random bytes, or ValueError. `local`: the local address.
        `path_mtu`: of paths about which nothing else is known, in bytes, IP header included.

        Endpoints that may one after the other have the same local address are best given the
        same entropy: then sequence numbers and timestamps go on where an earlier connection
        between the same addresses left them, and its TIME-WAIT is no obstacle (RFC 6191).
        """
        self._config = config
        self._secrets = Secrets(entropy, local)
        self._ipv6 = ipv6
        self._connections: dict[Hashable, Connection] = {}
        # In the order in which they expire, for all of them last equally long.
        self._time_wait: OrderedDict[Hashable, TimeWait] = OrderedDict()
        # TIME-WAIT records of which a SYN has made new connections, while these last.
        self._reopened: dict[Hashable, TimeWait] = {}
        self.counters = Counters()
        self._agenda = Agenda(Resets(config.reset_rate, self._secrets, self.counters))
        self._deadlines = Deadlines()
        self._segment = Segment()
        self._listener: Listener | None = None
        self._unsettled: dict[Connection, None] = {}
        self.path_mtu = path_mtu
        """MTU assumed for the next connection that an arriving SYN opens."""
        self.max_burst_bytes = 65_000
        """Most bytes in one Transmit, unless a single segment is larger."""
        self.max_burst_segments = 64
        """Most datagrams in one Transmit; 1 where the system cannot send more at once."""
        self.burst_capacity = 0
        """Bytes that the socket's receive buffer can hold, 0 if that is not known: the windows
        of paths with a very short round trip stay below it."""

    # -- user calls ---------------------------------------------------------------------------

    def listen(self, backlog: int = 100) -> None:
        """Accept connections (RFC 9293 §3.10.1, passive OPEN): they come out of `poll_ready`
        with CONNECTED. `backlog` bounds those whose handshake is going on; beyond it a SYN
        takes the place of the oldest whose SYN-ACK was sent again, or else gets no answer.
        Raises ValueError for a backlog below 1."""
        if backlog < 1:
            raise ValueError("backlog must be at least 1")
        self._listener = Listener(backlog)

    def unlisten(self) -> None:
        """Accept no more. Connections whose handshake is going on may still come to be."""
        self._listener = None

    @property
    def listening(self) -> bool:
        """Whether SYNs are accepted."""
        return self._listener is not None

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
        iss = self._secrets.iss(now, addr)
        old = self._time_wait.get(addr)
        if old is not None:
            if not old.may_connect(now):
                raise ValueError(f"connection in TIME-WAIT: {addr!r}")
            iss = old.iss_for_successor(iss)
            del self._time_wait[addr]
        conn = self._new(addr, iss, path_mtu or self.path_mtu, passive=False)
        self.counters.connections_opened += 1
        conn.move(SYN_SENT)
        conn.syn_due = True
        conn.touch()
        return conn

    def connections(self) -> list[Connection]:
        """All connections, those in the handshake and orphans included, TIME-WAIT not."""
        return list(self._connections.values())

    def state(self, addr: Hashable) -> State:
        """The state of the connection with `addr`: TIME_WAIT while its record lasts, CLOSED if
        nothing is known of it."""
        conn = self._connections.get(addr)
        if conn is not None:
            return conn.state
        return TIME_WAIT if addr in self._time_wait else CLOSED

    def __contains__(self, addr: Hashable) -> bool:
        """Whether there is a connection with `addr`, or the TIME-WAIT record of one."""
        return addr in self._connections or addr in self._time_wait

    @property
    def time_wait_count(self) -> int:
        """TIME-WAIT records held."""
        return len(self._time_wait)

    @property
    def idle(self) -> bool:
        """Whether there is no connection, no TIME-WAIT record and nothing left to send."""
        return not (self._connections or self._time_wait or self._agenda.replies)

    def can_reuse(self, now: int, addr: Hashable) -> bool:
        """Whether `connect` may open a connection over the TIME-WAIT record of `addr`."""
        old = self._time_wait.get(addr)
        return old is not None and old.may_connect(now)

    def forget(self, addr: Hashable) -> None:
        """Drop the TIME-WAIT record of `addr`, if there is one: its socket goes away."""
        self._time_wait.pop(addr, None)

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
        if not length:
            counters.malformed += 1
            return
        view = buf if type(buf) is memoryview else memoryview(buf)
        if not stride:
            stride = length
        pos = 0
        while pos < length:
            conn = self._connections.get(addr)
            if conn is not None and conn.state is CLOSED:
                # Its application has ended it since.
                self._retire(now, conn)
            elif conn is not None:
                fastpath.receive(
                    conn, now, view[pos:length] if pos else view, length - pos, stride,
                    ecn == _CE, self._segment,
                )  # fmt: skip
                if conn.rcv.buffer.size:
                    self._unsettled[conn] = None
                if conn.state is CLOSED or conn.state is TIME_WAIT:
                    self._retire(now, conn)
                return
            else:
                end = min(pos + stride, length)
                self._unknown(now, addr, view, pos, end)
                pos = end

    def settle(self) -> None:
        """Copy what connections hold only as views into received buffers, which may be
        overwritten after this."""
        if self._unsettled:
            for conn in self._unsettled:
                conn.rcv.buffer.settle()
            self._unsettled.clear()

    def _unknown(self, now: int, addr: Hashable, buf: memoryview, pos: int, end: int) -> None:
        """A datagram that belongs to no connection: TIME-WAIT, LISTEN or CLOSED decides."""
        seg = self._segment
        counters = self.counters
        counters.segments_in += 1
        status = seg.parse(buf, pos, end)
        if status == segment.NOT_OURS:
            counters.not_ours += 1
            return
        if status == segment.MALFORMED:
            counters.malformed += 1
            return
        old = self._time_wait.get(addr)
        if seg.flags & RST:
            counters.resets_in += 1
        if old is not None:
            self._time_wait_segment(now, addr, seg, old)
        elif self._listener is not None:
            self._listen_segment(now, addr, seg, None)
        else:
            self._stray(now, addr, seg)

    def _time_wait_segment(self, now: int, addr: Hashable, seg: Segment, old: TimeWait) -> None:
        config = self._config
        verdict = old.segment_arrives(
            now,
            seg,
            listening=self._listener is not None,
            timestamps=config.timestamps,
            interval_ns=config.ns("challenge_ack_interval"),
        )
        if verdict == timewait.REOPEN:
            self._listen_segment(now, addr, seg, old)
            return
        if verdict == timewait.ANSWER_AND_RESTART:
            self._wait(now, addr, old)
        if verdict != timewait.DROP:
            self._agenda.replies.append((addr, old.ack(now)))

    def _listen_segment(self, now: int, addr: Hashable, seg: Segment, old: TimeWait | None) -> None:
        assert self._listener is not None
        half_open = self._agenda.half_open
        verdict = self._listener.segment_arrives(seg, len(half_open))
        if verdict == listener.REFUSE and (stale := _drop_stale(half_open)) is not None:
            self._retire(now, stale)
            verdict = listener.ACCEPT
        if verdict == listener.ACCEPT:
            iss = self._secrets.iss(now, addr)
            if old is not None:
                iss = old.iss_for_successor(iss)
                self._reopened[addr] = self._time_wait.pop(addr)
            conn = self._new(addr, iss, self.path_mtu, passive=True)
            conn.move(State.LISTEN)
            handshake.open_passive(conn, now, seg)
            self.counters.connections_accepted += 1
        elif verdict == listener.RESET:
            self._stray(now, addr, seg)
        elif verdict == listener.REFUSE:
            self.counters.connections_refused += 1

    def _stray(self, now: int, addr: Hashable, seg: Segment) -> None:
        """RFC 9293 §3.10.7.1: a segment for nobody gets a RST, a RST gets nothing."""
        self.counters.strays += 1
        self._agenda.reset(now, addr, seg)

    # -- errors from below --------------------------------------------------------------------

    def unreachable(self, now: int, addr: Hashable, hard: bool, quoted: bytes = b"") -> None:
        """An ICMP error for a datagram to `addr` (RFC 9293 §3.9.2.2, RFC 5927 §4).

        `hard`: port or protocol unreachable. `quoted`: the start of that datagram's payload as
        the error quotes it; b"" is believed: only for what this host's own system says.
        """
        conn = self._connections.get(addr)
        if conn is None or not _quotes(conn, quoted):
            return
        if hard and conn.state is SYN_SENT:
            # RFC 9293 §3.9.2.2 (SHLD-26): a hard error aborts, here where nothing is lost by it.
            finish(conn, Reason.REFUSED)
            return
        # RFC 9293 §3.9.2.2 (MUST-56), RFC 5927 §5.2: in a synchronised state, and for soft
        # errors anywhere, the connection goes on and the application is told.
        conn.advise("port unreachable" if hard else "host unreachable")

    def packet_too_big(self, now: int, addr: Hashable, mtu: int, quoted: bytes = b"") -> None:
        """The path to `addr` takes packets of at most `mtu` bytes: what is in flight and larger
        will be cut anew and sent again (RFC 9293 §3.7.2). `quoted` as for `unreachable`."""
        conn = self._connections.get(addr)
        # RFC 5927 §7.2, RFC 8899 §4.6.1: only what quotes a segment in flight is believed.
        if conn is not None and _quotes(conn, quoted):
            probing.packet_too_big(conn, now, mtu)

    # -- effects ------------------------------------------------------------------------------

    def poll_transmit(self, now: int) -> Transmit | None:
        """The next burst to send, None if there is none. Connections take turns."""
        replies = self._agenda.replies
        queue = self._agenda.to_send
        while queue or replies:
            if replies:
                addr, data = replies.popleft()
                self.counters.datagrams_out += 1
                return Transmit(addr, data, len(data), self._config.dscp << 2)
            conn = queue[0]
            burst = output.poll(conn, now, self.max_burst_bytes, self.max_burst_segments)
            if burst is not None:
                if len(queue) > 1:
                    queue.rotate(-1)
                self.counters.datagrams_out += 1
                return burst
            queue.popleft()
            conn.queued = False
            if conn.state is CLOSED or conn.state is TIME_WAIT:
                self._retire(now, conn)
            else:
                self._deadlines.schedule(conn)
        return None

    def poll_ready(self) -> Connection | None:
        """A connection with events that the application has not seen, None if there is none."""
        ready = self._agenda.ready
        if not ready:
            return None
        conn = ready.popleft()
        conn.told()
        return conn

    # -- time-outs ----------------------------------------------------------------------------

    def poll_timeout(self) -> int:
        """When `handle_timeout` is to be called, NEVER if there is nothing to wait for."""
        at = self._deadlines.next()
        for old in self._time_wait.values():
            return min(at, old.expires_at)
        return at

    def handle_timeout(self, now: int) -> None:
        """Do what is due at `now`. Calling it early, late or twice does no harm."""
        deadlines = self._deadlines
        while (conn := deadlines.due(now)) is not None:
            if conn.timers.next() <= now:
                timeouts.handle(conn, now)
            if conn.state is CLOSED:
                self._retire(now, conn)
            else:
                deadlines.schedule(conn)
        waiting = self._time_wait
        while waiting and next(iter(waiting.values())).expires_at <= now:
            # RFC 9293 §3.10.8, TIME-WAIT TIMEOUT.
            waiting.popitem(last=False)

    # -- connections come and go --------------------------------------------------------------

    def _new(self, addr: Hashable, iss: int, path_mtu: int, *, passive: bool) -> Connection:
        conn = Connection(
            addr,
            self._config,
            self._agenda,
            self.counters,
            iss=iss,
            ts_offset=self._secrets.timestamp_offset(addr),
            path_mtu=path_mtu,
            ipv6=self._ipv6,
            passive=passive,
            burst_capacity=self.burst_capacity,
        )
        self._connections[addr] = conn
        return conn

    def _retire(self, now: int, conn: Connection) -> None:
        """Forget a connection that has ended; TIME-WAIT leaves a record."""
        if self._connections.get(conn.addr) is not conn:
            return
        replies = self._agenda.replies
        if conn.reset_due:
            replies.append((conn.addr, output.reset(conn)))
        del self._connections[conn.addr]
        self._deadlines.forget(conn)
        self._unsettled.pop(conn, None)
        conn.rcv.buffer.settle()
        before = self._reopened.pop(conn.addr, None)
        if conn.state is TIME_WAIT:
            old = TimeWait(conn, now)
            self._wait(now, conn.addr, old)
            if conn.rcv.ack_now:
                replies.append((conn.addr, old.ack(now)))
        elif before is not None and conn.silent:
            # RFC 9293 §3.6.1 (MAY-2) (2): the SYN was an old duplicate, so back to TIME-WAIT.
            self._wait(now, conn.addr, before)

    def _wait(self, now: int, addr: Hashable, old: TimeWait) -> None:
        """Keep the record for 2 MSL from now."""
        old.expires_at = now + 2 * self._config.ns("msl")
        self._time_wait[addr] = old
        self._time_wait.move_to_end(addr)


def _drop_stale(half_open: dict[Connection, None]) -> Connection | None:
    """End the oldest passive connection in SYN-RECEIVED, if that is fair."""
    oldest = next(iter(half_open))
    # RFC 4987 §3.4: the oldest makes room. Only when its first SYN-ACK has had its time: the ACK
    # of a younger one may be on the way.
    if not oldest.snd.retries:
        return None
    finish(oldest, Reason.TIMED_OUT)
    return oldest


def _quotes(conn: Connection, quoted: bytes) -> bool:
    """RFC 5927 §4: an ICMP error counts only if it quotes a segment that is in flight."""
    if len(quoted) < _QUOTED_SEQ:
        # Nothing is quoted by this host itself. Too little is what anybody can make up.
        return not quoted
    seq = unwrap(int.from_bytes(quoted[4:8]), conn.snd.snd_nxt)
    return conn.snd.snd_una <= seq <= conn.snd.snd_nxt
