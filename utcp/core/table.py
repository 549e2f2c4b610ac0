"""The connections of one endpoint: which there are, how they come to be and how they go.

One UDP socket has one local address, so the remote address alone names a connection. What is over
leaves, if anything, the record of its TIME-WAIT.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable

from utcp.config import Config
from utcp.core import burst
from utcp.core.agenda import Agenda
from utcp.core.connection import Connection
from utcp.core.secrets import Secrets
from utcp.core.state import CLOSED, TIME_WAIT, State
from utcp.core.timewait import TimeWait, TimeWaits
from utcp.stats import Counters


class Table:
    """What an `Endpoint` knows of its connections, and what it can be asked about them."""

    __slots__ = (
        "_agenda",
        "_config",
        "_connections",
        "_deadlines",
        "_ipv6",
        "_memory",
        "_secrets",
        "_time_waits",
        "await_data",
        "burst_capacity",
        "counters",
        "known",
        "path_mtu",
        "unsettled",
    )

    def __init__(
        self,
        config: Config,
        entropy: bytes,
        local: Hashable,
        ipv6: bool,
        path_mtu: int,
        host_of: Callable[[Hashable], Hashable],
    ) -> None:
        self._config = config
        self._secrets = Secrets(entropy, local)
        self._ipv6 = ipv6
        self._connections: dict[Hashable, Connection] = {}
        self.known: Container[Hashable] = self._connections
        """The addresses that there is a connection with; for a driver that wants to know without
        a call."""
        self.counters = Counters()
        self._time_waits = TimeWaits(config, self.counters)
        self._agenda = Agenda(config, self._secrets, self.counters, host_of)
        self._memory = self._agenda.memory
        self._deadlines = self._agenda.deadlines
        self.unsettled: dict[Connection, None] = {}
        """Connections that may hold views into received buffers: what `settle` is for."""
        self.path_mtu = path_mtu
        """MTU assumed for the next connection that an arriving SYN opens, or `connect` without a
        `path_mtu`."""
        self.await_data = False
        """Whether the first ACK of a new connection waits for the first data, or until
        `Connection.acknowledge` is called, for a driver whose application hears of it later."""
        self.burst_capacity = 0
        """Bytes that the socket's receive buffer can hold, 0 if that is not known: the windows
        of paths with a very short round trip stay below it."""

    def connections(self) -> list[Connection]:
        """All connections, those in the handshake and orphans included, TIME-WAIT not."""
        return list(self._connections.values())

    def state(self, addr: Hashable) -> State:
        """The state of the connection with `addr`: TIME_WAIT while its record lasts, CLOSED if
        nothing is known of it."""
        conn = self._connections.get(addr)
        if conn is not None:
            return conn.state
        return TIME_WAIT if addr in self._time_waits.records else CLOSED

    def __contains__(self, addr: Hashable) -> bool:
        """Whether there is a connection with `addr`, or the TIME-WAIT record of one."""
        return addr in self._connections or addr in self._time_waits.records

    @property
    def time_wait_count(self) -> int:
        """TIME-WAIT records held."""
        return len(self._time_waits.records)

    @property
    def idle(self) -> bool:
        """Whether there is no connection, no TIME-WAIT record and nothing left to send."""
        agenda = self._agenda
        return not (
            self._connections or self._time_waits.records or agenda.bursts or agenda.replies
        )

    @property
    def quiet(self) -> bool:
        """Whether something is left to wait for, but nothing to send or to tell."""
        agenda = self._agenda
        return not (self.idle or agenda.to_send or agenda.ready or agenda.bursts or agenda.replies)

    def can_reuse(self, now: int, addr: Hashable) -> bool:
        """Whether `connect` may open a connection over the TIME-WAIT record of `addr`."""
        old = self._time_waits.records.get(addr)
        return old is not None and old.may_connect(now)

    def forget(self, addr: Hashable) -> None:
        """Drop the TIME-WAIT record of `addr`, if there is one: its socket goes away."""
        self._time_waits.records.pop(addr, None)

    def mute(self, conn: Connection) -> None:
        """Nobody wants to hear of `conn` any more: `poll_ready` leaves it out, but for news that
        are there already."""
        conn.announced = True

    # -- connections come and go --------------------------------------------------------------

    def _new(
        self, addr: Hashable, iss: int, ts_offset: int, path_mtu: int, *, passive: bool
    ) -> Connection:
        conn = Connection(
            addr,
            self._config,
            self._agenda,
            self.counters,
            iss=iss,
            ts_offset=ts_offset,
            path_mtu=path_mtu,
            ipv6=self._ipv6,
            passive=passive,
            burst_capacity=self.burst_capacity,
        )
        self._connections[addr] = conn
        conn.await_data = self.await_data
        if passive:
            self.counters.connections_accepted += 1
        return conn

    def _retire(self, now: int, conn: Connection) -> None:
        """Forget a connection that has ended; TIME-WAIT leaves a record."""
        addr = conn.addr
        if self._connections.get(addr) is not conn:
            return
        agenda = self._agenda
        if conn.reset_due:
            agenda.replies.append((addr, burst.reset(conn, now)))
        del self._connections[addr]
        if conn.queued and agenda.to_send[-1] is conn:
            # What has just ended it has put it there, to have it forgotten.
            agenda.to_send.pop()
            conn.queued = False
        self._deadlines.forget(conn)
        self.unsettled.pop(conn, None)
        if conn.rcv.buffer.size:
            conn.rcv.buffer.settle()
        agenda.admission.orphans.pop(conn, None)
        self._memory.forget(conn)
        agenda.sharing.forget(conn)
        if conn.passive and not conn.silent:
            agenda.admission.leave(addr)
        self._time_waits.over(now, addr, silent=conn.silent)
        if conn.state is TIME_WAIT:
            old = TimeWait(conn, now)
            self._time_waits.keep(now, addr, old)
            if conn.rcv.ack_now:
                agenda.reply(addr, old.ack(now))
