"""The driver: one UDP socket, its endpoint and the event loop.

    readable    recv -> endpoint.receive_message -> its owner -> settle -> its answer leaves;
                of all else some recv -> endpoint.receive, then news, settle, flush
    alarm       a deadline of the endpoint has passed -> handle_timeout, news, flush

How what is to be sent leaves is `outlet`'s.

This is the hot path: little is allocated per datagram, and methods are called on their objects,
which the interpreter specialises; it does not where a slot keeps a bound method.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final, cast

from utcp.aio import log
from utcp.aio.outlet import Outlet, report_errors
from utcp.aio.owner import ACKNOWLEDGED, Owner
from utcp.core import Connection, Endpoint, State
from utcp.core.events import CONNECTED
from utcp.udp import UdpSocket

if TYPE_CHECKING:
    from utcp.aio.hub import Hub
    from utcp.aio.server import Server
    from utcp.config import Config

__all__ = ["Driver"]

# Messages taken in one wake-up, each of which is answered at once. A large datagram (with UDP_GRO
# up to 64 KiB), or a mere ACK, which may let go a megabyte, costs as much as several. More would
# delay the ACKs, for which the peer waits, and what else the loop has to do; fewer would cost a
# turn of the loop each.
_BUDGET: Final = 16
_COST: Final = 4
_ACK: Final = 64  # bytes at most
# After so many wake-ups that brought one datagram each no second one is looked for, but in every
# eighth: the loop will tell, and a system call that finds nothing costs as much as one that does.
_LONE: Final = 8
# A datagram up to this size, and alone, is taken for a message that somebody waits for.
_MESSAGE: Final = 1200
# How many wake-ups' worth of datagrams are looked at before time-outs are believed; and how many if
# the timer comes so much later than it should, nanoseconds, that the program has held it up.
_LOOK: Final = 2
_LATE: Final = 10_000_000
_CATCH_UP: Final = 64
_MALFORMED_LOG_NS: Final = 1_000_000_000
# States in which no byte has been taken from the application yet.
_OPENING: Final = frozenset((State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED))


class Driver(Outlet):
    """Moves datagrams between one UDP socket and one endpoint.

    Owns the socket. Lives as long as somebody owns one of its connections, or a server listens
    on it; after that the hub keeps it until what lingers (FIN handshake, TIME-WAIT) is over.
    """

    __slots__ = (
        "__weakref__",
        "_counters",
        "_heard",
        "_known",
        "_lone",
        "_malformed",
        "_malformed_at",
        "_owners",
        "_ready",
        "_rearms",
        "_recv",
        "_unsettled",
        "client_key",
        "config",
        "hub",
        "server",
        "sockname",
        "turn",
    )

    def __init__(self, hub: Hub, sock: UdpSocket, endpoint: Endpoint, config: Config) -> None:
        super().__init__(hub.loop, hub.alarms, sock, endpoint)
        self.hub = hub
        self.config = config
        self.sockname = sock.sockname
        self.server: Server | None = None
        self.client_key: Hashable = None  # what a later connect must ask for to get this socket
        loop = hub.loop
        self._owners: dict[Connection, Owner] = {}
        self.turn = 0  # counts wake-ups
        self._heard = False  # since the alarm last called
        self._lone = 0  # wake-ups in a row that brought one datagram
        self._counters = endpoint.counters
        self._malformed = 0
        self._malformed_at = 0
        self._recv = sock.recv
        self._unsettled = endpoint.unsettled
        self._known = endpoint.known
        self._ready = endpoint.ready
        # libuv stops polling a descriptor that reports an error; asyncio's selectors go on.
        self._rearms = not isinstance(loop, asyncio.BaseEventLoop)
        loop.add_reader(self.fd, self._on_readable)
        hub.drivers.add(self)

    def __repr__(self) -> str:
        return f"<Driver {self.sockname} {'closed' if self.closed else 'open'}>"

    # -- ownership ------------------------------------------------------------------------------

    def own(self, conn: Connection, owner: Owner) -> None:
        """From now on give the news of `conn` to `owner`."""
        self._owners[conn] = owner
        self.loose = self.hub.closing

    def disown(self, conn: Connection) -> None:
        """Nobody wants the news of `conn` any more; it goes on alone until its end."""
        self._owners.pop(conn, None)
        self.endpoint.mute(conn)
        self.loosen()

    def loosen(self) -> None:
        """See soon whether this driver is still needed, if nothing holds it now."""
        if not self._owners and self.server is None and not self.closed:
            self.loose = True
            if not self.running and self.endpoint.quiet:
                self._let_go()  # what is left waits for the peer, or for time to pass
            elif not self.running:
                self.soon()

    def local(self, conn: Connection) -> Any:
        """The local address of a connection."""
        return self.sock.local(cast("Any", conn.addr))

    def remote(self, conn: Connection) -> Any:
        """The peer's address of a connection."""
        return self.sock.remote(cast("Any", conn.addr))

    # -- datagrams in ---------------------------------------------------------------------------

    def _on_readable(self) -> None:
        if self.closed:
            return
        self.running = self._heard = True
        self._flushed = False
        self.turn += 1
        try:
            if self._take_in():
                self._set_alarm()
        except OSError as exc:
            self._on_broken(exc)
        except BaseException:
            # Ctrl-C in a callback. Should the loop run on, nothing may be lost, or late.
            self.soon()
            raise
        finally:
            self.running = False
            if self._unsettled:
                self.endpoint.settle()
                self.sock.reuse()
        if self.loose:
            self._let_go()

    def _take_in(self) -> bool:
        """Process some of the datagrams that are there, and send what they caused. Returns whether
        the next deadline may have changed."""
        sock = self.sock
        recv = self._recv
        lone = self._lone
        budget = 1 if lone >= _LONE and lone % _LONE else _BUDGET
        count = 0
        left = False  # something that is not delivered yet
        moved = False  # a deadline, perhaps
        while budget > 0:
            length = recv()
            if length < 0:
                if count == 0 or sock.has_errors:
                    self._on_socket_errors()
                    left = True
                break
            count += 1
            if length <= _MESSAGE and not sock.stride:
                # Its answer need not wait until we have looked for more.
                if not self._exchange(length):
                    moved = True
                if left:
                    left = False
                    sock.reuse()
                budget -= 1 if length > _ACK else _COST
            else:
                # One piece of news for all of it.
                self._take(length)
                sock.keep()
                left = True
                budget -= _COST
        if left:
            self._deliver()
            self.endpoint.settle()
            sock.reuse()
            self._transmit()
        self._lone = lone + 1 if count == 1 else 0
        return left or moved

    def _take(self, length: int) -> None:
        """Process what was received."""
        sock = self.sock
        addr = sock.addr
        if self.server is not None and addr not in self._known:
            self.endpoint.path_mtu = sock.path_mtu(addr)
        self.endpoint.receive(monotonic_ns(), addr, sock.buffer, length, sock.stride, sock.ecn)
        if self._counters.malformed != self._malformed:
            _log_malformed(self)

    def _exchange(self, length: int) -> bool:
        """Process a datagram, probably a message, and send what it caused. Returns whether that was
        an answer and nothing else, and the alarm comes early enough for it."""
        sock = self.sock
        endpoint = self.endpoint
        arrived = endpoint.receive_message(monotonic_ns(), sock.addr, sock.buffer, length, sock.ecn)
        if arrived is None:
            self._take(length)
            self._deliver()
            endpoint.settle()
            self._transmit()
            return False
        conn, text = arrived
        owner = self._owners.get(conn)
        try:
            if owner is None or not owner.context.run(owner.on_message, text):
                endpoint.unread(conn, text)
            if self._ready:
                self._deliver()
                endpoint.settle()
        except BaseException:
            conn.touch()  # for the ACK
            raise
        return self._send_message(conn)

    def _on_unowned(self, conn: Connection) -> None:
        """A connection without an owner: a new one for the server."""
        events = conn.take_events()
        if events & CONNECTED and conn.passive:
            if self.server is not None:
                self.server.accept(self, conn, events)
            else:
                conn.abort()

    def _on_socket_errors(self) -> None:
        """Pass on what the network said by ICMP, or this host about datagrams too big."""
        report_errors(self.sock, self.endpoint)
        self._deliver()
        self._rearm()

    def _on_broken(self, exc: OSError) -> None:
        """The socket itself is unusable, for example closed behind our back: all ends here."""
        if self.closed:
            return
        self._loop.call_exception_handler(
            {"message": f"{self!r}: the UDP socket failed", "exception": exc}
        )
        for conn in self.endpoint.connections():
            conn.abort()
        self._deliver()
        self.close()

    def _rearm(self) -> None:
        """Poll again after an error condition; only libuv needs this."""
        if self._rearms and not self.closed:
            self._loop.remove_reader(self.fd)
            self._loop.add_reader(self.fd, self._on_readable)
            if self._stuck is not None:
                self._loop.add_writer(self.fd, self._on_writable)

    def _deliver(self) -> None:
        """Give every connection's news to its owner."""
        while self._ready:
            conn = self.endpoint.poll_ready()
            assert conn is not None
            owner = self._owners.get(conn)
            if owner is not None:
                owner.context.run(owner.on_events, conn.take_events())
            else:
                self._on_unowned(conn)

    # -- time and turns of the loop -----------------------------------------------------------

    def _on_alarm(self, late_ns: int) -> None:
        if not self.endpoint.overdue(monotonic_ns()):
            # What it was set for has ended since, or moved.
            self._heard = False
            self._set_alarm()
            return
        behind = not _caught_up(self, _CATCH_UP if late_ns > _LATE else _LOOK)
        if self.closed:
            return
        self.endpoint.handle_timeout(monotonic_ns(), behind=behind)
        if not self._heard:
            self._rearm()
        self._heard = False
        self.wake_up()

    def wake_up(self) -> None:
        """A wake-up that brings no datagrams."""
        self.running = True
        self._flushed = False
        self.turn += 1
        try:
            if self.sock.has_errors:
                self._on_socket_errors()
            else:
                self._deliver()
            self.flush()
        except OSError as exc:
            self._on_broken(exc)
        except BaseException:
            self.soon()
            raise
        finally:
            self.running = False
        if self.loose:
            self._let_go()

    # -- the end --------------------------------------------------------------------------------

    def settle_down(self) -> None:
        """Send what there is and close at once, if nobody needs this driver."""
        if not self.running and not self.closed:
            self._flush_now()
            if self.loose:
                self._let_go()

    def _let_go(self) -> None:
        """Nobody needs this driver now: close it, or leave it to the hub to linger."""
        if self.closed:
            return
        if self._owners or self.server is not None:
            self.loose = self.hub.closing
        elif self.endpoint.idle and self._stuck is None:
            self.close()
        else:
            self.hub.linger(self)
        if self.hub.closing:
            self.hub.progress()

    def shut_down(self) -> None:
        """The loop ends: take no more connections, close those that are open."""
        if self.server is not None:
            self.endpoint.unlisten()
            self.server = None
        for owner in list(self._owners.values()):
            owner.on_shutdown()
        for conn in self.endpoint.connections():
            if conn.state in _OPENING:
                conn.abort()
        self.loose = True
        self.soon()

    def give_up(self) -> None:
        """Reset what is not finished, and close."""
        if self.closed:
            return
        for conn in self.endpoint.connections():
            if conn.state not in ACKNOWLEDGED:
                conn.abort()
        self._flush_now()
        self.close()

    def close(self) -> None:
        """Close the socket at once. Nothing is sent any more."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self.fd)
        if self._stuck is not None:
            self._stuck = None
            self._loop.remove_writer(self.fd)
        self._alarm.cancel()
        self.sock.close()
        self.hub.remove(self)


def _caught_up(driver: Driver, wake_ups: int) -> bool:
    """Take what has come since the loop last looked: the answers that time-outs wait for may be
    among it, and a kernel's TCP would have seen them in time. Returns whether that was all."""
    counters = driver.endpoint.counters
    for _ in range(wake_ups):
        before = counters.datagrams_in
        driver._on_readable()
        if counters.datagrams_in == before:
            return True
    return False


def _log_malformed(driver: Driver) -> None:
    """Say at a bounded rate that datagrams came which make no sense."""
    now = monotonic_ns()
    if now - driver._malformed_at >= _MALFORMED_LOG_NS:
        count = driver.endpoint.counters.malformed
        log.event("warning", "malformed", driver.sockname, count=count - driver._malformed)
        driver._malformed = count
        driver._malformed_at = now
