"""The driver: one UDP socket, its endpoint and the event loop.

    readable    recv -> endpoint.receive;  a few large ones, or one message
                -> news to the owners -> settle;  a few messages, then flush
    flush       poll_transmit -> send, until there is nothing to send;  then the timer
    alarm       a deadline of the endpoint has passed

What protocols write while the driver runs leaves with the flush at the end of the wake-up. What
is written at other times leaves at once if it is the first since the driver last ran, else with
one flush in the next turn of the loop.

This is the hot path: bound methods are kept, nothing is allocated per datagram.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final, cast

from utcp.aio import log
from utcp.aio.alarm import Alarm
from utcp.aio.owner import ACKNOWLEDGED, Owner
from utcp.core import Connection, Endpoint, State, Transmit
from utcp.core.events import CONNECTED
from utcp.udp import SENT, TOO_BIG, WOULD_BLOCK, UdpSocket

if TYPE_CHECKING:
    from utcp.aio.hub import Hub
    from utcp.aio.server import Server
    from utcp.config import Config

__all__ = ["Driver"]

# Messages taken in one wake-up, each of which is answered at once; or a fourth of it in datagrams
# (with UDP_GRO up to 64 KiB each) before what they caused is sent, or in ACKs, which may each let
# go a megabyte. More would delay the ACKs, for which the peer waits, and what else the loop has to
# do; fewer would cost a turn of the loop each.
_BUDGET: Final = 16
_LARGE: Final = 4
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


class Driver:
    """Moves datagrams between one UDP socket and one endpoint.

    Owns the socket. Lives as long as somebody owns one of its connections, or a server listens
    on it; after that the hub keeps it until what lingers (FIN handshake, TIME-WAIT) is over.
    """

    __slots__ = (
        "__weakref__",
        "_alarm",
        "_counters",
        "_flushed",
        "_heard",
        "_known",
        "_lone",
        "_loop",
        "_malformed",
        "_malformed_at",
        "_owners",
        "_poll_ready",
        "_poll_timeout",
        "_poll_transmit",
        "_ready",
        "_rearms",
        "_receive",
        "_recv",
        "_send",
        "_settle",
        "_soon",
        "_stuck",
        "_unsettled",
        "client_key",
        "closed",
        "config",
        "endpoint",
        "fd",
        "hub",
        "loose",
        "running",
        "server",
        "sock",
        "sockname",
    )

    def __init__(self, hub: Hub, sock: UdpSocket, endpoint: Endpoint, config: Config) -> None:
        self.hub = hub
        self.sock = sock
        self.endpoint = endpoint
        self.config = config
        self.fd = sock.fileno()
        self.sockname = sock.sockname
        self.server: Server | None = None
        self.client_key: Hashable = None  # what a later connect must ask for to get this socket
        self.running = False  # inside a wake-up, which flushes at its end
        self.loose = False  # at the end of each wake-up, see whether it is time to go
        self.closed = False
        self._loop = loop = hub.loop
        self._owners: dict[Connection, Owner] = {}
        self._flushed = False
        self._heard = False  # since the alarm last called
        self._lone = 0  # wake-ups in a row that brought one datagram
        self._soon = False
        self._stuck: Transmit | None = None  # what the socket had no room for
        self._alarm = Alarm(hub.alarms)
        self._counters = endpoint.counters
        self._malformed = 0
        self._malformed_at = 0
        self._recv = sock.recv
        self._send = sock.send
        self._receive = endpoint.receive
        self._settle = endpoint.settle
        self._unsettled = endpoint.unsettled
        self._known = endpoint.known
        self._ready = endpoint.ready
        self._poll_ready = endpoint.poll_ready
        self._poll_transmit = endpoint.poll_transmit
        self._poll_timeout = endpoint.poll_timeout
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
        try:
            if not self._take_in():
                self._transmit()
            self._set_alarm()
        except OSError as exc:
            self._on_broken(exc)
        finally:
            self.running = False
            if self._unsettled:
                # After Ctrl-C in a callback nothing may be lost.
                self._settle()
        if self._counters.malformed != self._malformed:
            _log_malformed(self)
        if self.loose:
            self._let_go()

    def _take_in(self) -> bool:
        """Process some of the datagrams that are there. Returns whether what the last one caused
        has left already."""
        recv, receive = self._recv, self._receive
        sock = self.sock
        sock.reuse()
        known = self._known
        lone = self._lone
        budget = 1 if lone >= _LONE and lone % _LONE else _BUDGET
        count = 0
        sent = False
        while budget > 0:
            length = recv()
            if length < 0:
                if count == 0 or sock.has_errors:
                    self._on_socket_errors()
                    sent = False
                break
            count += 1
            if self.server is not None and sock.addr not in known:
                self.endpoint.path_mtu = sock.path_mtu(sock.addr)
            receive(monotonic_ns(), sock.addr, sock.buffer, length, sock.stride, sock.ecn)
            if sent := length <= _MESSAGE and not sock.stride:
                # Its answer need not wait until we have looked for more.
                self._deliver()
                self._settle()
                self._transmit()
            else:
                # One piece of news for all of it.
                sock.keep()
            budget -= 1 if sent and length > _ACK else _LARGE
        if not sent:
            self._deliver()
            self._settle()
        self._lone = lone + 1 if count == 1 else 0
        return sent

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
        _report_errors(self.sock, self.endpoint)
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
            conn = self._poll_ready()
            assert conn is not None
            owner = self._owners.get(conn)
            if owner is not None:
                owner.on_events(conn.take_events())
            else:
                self._on_unowned(conn)

    # -- datagrams out --------------------------------------------------------------------------

    def flush(self) -> None:
        """Send all that may be sent now, then set the timer."""
        self._transmit()
        self._set_alarm()

    def _set_alarm(self) -> None:
        deadline = self._poll_timeout()
        if deadline < self._alarm.at:
            self._alarm.set(deadline, self._on_alarm)

    def _transmit(self) -> None:
        if self._stuck is None:
            poll = self._poll_transmit
            send = self._send
            endpoint = self.endpoint
            while (out := poll(monotonic_ns())) is not None:
                result = send(out.addr, out.payload, out.segment_size, out.tos)
                if result != SENT and not self._on_not_sent(out, result):
                    break
                if not endpoint.more_to_send:
                    break

    def _on_not_sent(self, out: Transmit, result: int) -> bool:
        """Deal with what was not sent. Returns whether to go on sending."""
        if result == WOULD_BLOCK:
            self._stuck = out
            self._loop.add_writer(self.fd, self._on_writable)
            return False
        if result == TOO_BIG:
            _report_errors(self.sock, self.endpoint)
            self.soon()  # to whoever gave up for it
        elif self.sock.has_errors:
            # The send met an error that was pending from before; the loop may not wake us for it.
            self.soon()
        return True

    def _on_writable(self) -> None:
        out = self._stuck
        if out is None or self.closed:
            return
        try:
            result = self._send(out.addr, out.payload, out.segment_size, out.tos)
            if result == WOULD_BLOCK:
                return
            self._stuck = None
            self._loop.remove_writer(self.fd)
            if result != SENT:
                self._on_not_sent(out, result)
            self.flush()
        except OSError as exc:
            self._on_broken(exc)
        if self.loose:
            self._let_go()

    def written(self) -> None:
        """Send what the application has just caused: at once, or with the rest of this turn.

        The first write after a wake-up leaves at once. Those that follow wait for one flush in the
        next turn of the loop, so that a hundred small writes are not a hundred datagrams.
        """
        if self.running or self.closed:
            return
        if self._flushed:
            self.soon()
        else:
            self._flushed = True
            self._flush_now()

    def _flush_now(self) -> None:
        """Flush in the middle of somebody's call, who is not the one to hear of a broken socket."""
        try:
            self.flush()
        except OSError as exc:
            self._loop.call_soon(self._on_broken, exc)

    def soon(self) -> None:
        """Deliver news and flush in the next turn of the loop."""
        if not self._soon and not self.closed:
            self._soon = True
            self._loop.call_soon(self._on_soon)

    def _on_soon(self) -> None:
        self._soon = False
        if not self.closed:
            self.wake_up()

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
        try:
            if self.sock.has_errors:
                self._on_socket_errors()
            else:
                self._deliver()
            self.flush()
        except OSError as exc:
            self._on_broken(exc)
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


def _report_errors(sock: UdpSocket, endpoint: Endpoint) -> None:
    """Pass on what the network said of our datagrams, or this host."""
    now = monotonic_ns()
    for addr, hard, mtu, quoted in sock.errors():
        if mtu:
            endpoint.packet_too_big(now, addr, mtu, quoted)
        else:
            endpoint.unreachable(now, addr, hard, quoted)


def _log_malformed(driver: Driver) -> None:
    """Say at a bounded rate that datagrams came which make no sense."""
    now = monotonic_ns()
    if now - driver._malformed_at >= _MALFORMED_LOG_NS:
        count = driver.endpoint.counters.malformed
        log.event("warning", "malformed", driver.sockname, count=count - driver._malformed)
        driver._malformed = count
        driver._malformed_at = now
