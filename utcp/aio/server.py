"""create_server, and the server that it returns: several addresses, one UDP socket for each."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable
from contextvars import copy_context
from dataclasses import replace
from typing import Any, Final

from utcp.aio import log
from utcp.aio.client import check_config
from utcp.aio.driver import Driver
from utcp.aio.ending import Ending
from utcp.aio.facade import ListeningSocket
from utcp.aio.hub import Hub
from utcp.aio.override import override
from utcp.aio.resolve import Info, resolve
from utcp.aio.tls import Tls, outermost, server_tls
from utcp.aio.transport import Transport
from utcp.config import Config
from utcp.core import Connection, State
from utcp.core.events import CONNECTED
from utcp.udp import open_socket

__all__ = ["Server", "create_server"]

_Factory = Callable[[], asyncio.BaseProtocol]
_LEAST_BACKLOG: Final = 1024


async def create_server(
    protocol_factory: _Factory,
    host: str | Iterable[str] | None = None,
    port: int | str | None = None,
    *,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: Any = None,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    keep_alive: bool | None = None,
    start_serving: bool = True,
    config: Config | None = None,
) -> Server:
    """Serve connections on `host` and `port`; as asyncio's loop.create_server, carried in UDP.

    `sock` may be a bound UDP socket, which then belongs to the server. `backlog` bounds the
    connections that are half open, but not below 1,024, and beyond it there are SYN cookies
    (`Config.syn_cookies`); those that are established are taken at once, so nothing else queues
    here. An address whose last server was closed in this loop can be bound again at once, as with
    SO_REUSEADDR on TCP sockets, unless `reuse_address` is False.
    SO_REUSEADDR itself is never set: on UDP sockets it means something else.
    With `reuse_port`, connections that are open when another server joins or leaves the port may be
    reset: the kernel deals out datagrams by their addresses and knows of no connection.
    `keep_alive` (Python 3.13) is `Config.keepalive`, unless it is None.

    Raises OSError if an address cannot be bound, ValueError or TypeError for arguments that make
    no sense.
    """
    tls = server_tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    config = check_config(config)
    if keep_alive is not None:
        config = replace(config, keepalive=bool(keep_alive))
    _check_backlog(backlog)
    hub = Hub.of(asyncio.get_running_loop())
    drivers: list[Driver] = []
    try:
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            infos = await _resolve_all(hub.loop, host, port, family, flags)
            adopt = reuse_address is not False and not reuse_port
            drivers += _bind_all(hub, infos, bool(reuse_port), adopt, config)
        elif sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        else:
            drivers.append(_given(hub, sock, config))
        # As for a kernel, 0 is the least that makes sense.
        server = Server(hub.loop, drivers, protocol_factory, max(1, backlog), tls)
    except BaseException:
        for driver in drivers:
            driver.loosen()
        raise
    if start_serving:
        server.listen()
    return server


def _check_backlog(backlog: object) -> None:
    if not isinstance(backlog, int):
        raise TypeError(f"backlog must be an integer, not {type(backlog).__name__}")
    if backlog < 0:
        raise ValueError("backlog must not be negative")


async def _resolve_all(
    loop: asyncio.AbstractEventLoop,
    host: str | Iterable[str] | None,
    port: int | str | None,
    family: int,
    flags: int,
) -> list[Info]:
    if host == "":
        hosts: list[str | None] = [None]
    elif isinstance(host, str) or not isinstance(host, Iterable):
        hosts = [host]
    else:
        hosts = list(host)
    found = await asyncio.gather(
        *(resolve(loop, one, port, family=family, flags=flags) for one in hosts)
    )
    return list(dict.fromkeys(info for infos in found for info in infos))


def _bind_all(
    hub: Hub, infos: list[Info], reuse_port: bool, adopt: bool, config: Config
) -> list[Driver]:
    drivers: list[Driver] = []
    missing: OSError | None = None
    try:
        for info in infos:
            try:
                drivers.append(_bind(hub, info, reuse_port, adopt, config))
            except OSError as exc:
                if exc.errno != errno.EAFNOSUPPORT:
                    raise
                missing = exc  # resolvers name families that this host may not have
        if missing is not None and not drivers:
            raise missing
    except BaseException:
        for driver in drivers:
            driver.loosen()
        raise
    finally:
        missing = None  # its traceback holds this frame
    return drivers


def _bind(hub: Hub, info: Info, reuse_port: bool, adopt: bool, config: Config) -> Driver:
    family, addr = info
    if adopt and addr[1]:
        driver = hub.adopt(addr, config)
        if driver is not None:
            return driver
    try:
        sock = open_socket(
            family=family, local_addr=addr, reuse_port=reuse_port, ipv6_only=True, ttl=config.ttl
        )
    except OSError as exc:
        text = f"error while attempting to bind on address {addr!r}: {exc.strerror}"
        raise OSError(exc.errno, text.lower()) from None
    driver = hub.open(sock, config)
    hub.add_server(driver)
    return driver


def _given(hub: Hub, sock: socket.socket, config: Config) -> Driver:
    own = open_socket(sock=sock, ttl=config.ttl)
    if own.peername is not None:
        raise ValueError("sock must not be connected: a server hears many peers")
    driver = hub.open(own, config)
    hub.add_server(driver)
    return driver


class Server(asyncio.AbstractServer):
    """What `create_server` and `start_server` return.

    Closing it ends listening only: connections go on, and keep their UDP socket open, until each
    has come to its own end. Used with `async with`, it is closed and waited for at the end, but not
    where an exception ends that, such as Ctrl-C: nobody could tell the clients to go then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        drivers: list[Driver],
        protocol_factory: _Factory,
        backlog: int,
        tls: Tls | None = None,
    ) -> None:
        self._loop = loop
        self._context = copy_context()
        self._drivers = drivers
        self._sockets: tuple[ListeningSocket, ...] | None = tuple(
            ListeningSocket(driver, self) for driver in drivers
        )
        self._factory = protocol_factory
        self._backlog = backlog
        self._tls = tls
        self._transports: set[Ending] = set()
        # None when all is over, as asyncio's.
        self._waiters: list[asyncio.Future[None]] | None = []
        self._serving = False
        self._closed = False
        self._forever: asyncio.Future[None] | None = None
        self.handlers: set[asyncio.Task[None]] = set()
        """The tasks that serve connections, if `start_server` made this."""
        for driver in drivers:
            driver.server = self
            driver.loose = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # -- asyncio's interface --------------------------------------------------------------------

    @override
    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return self._loop

    @override
    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._serving

    @property
    def sockets(self) -> tuple[ListeningSocket, ...]:
        """What looks like the listening sockets, with the addresses in getsockname()."""
        return self._sockets or ()

    @override
    async def start_serving(self) -> None:
        """Accept connections, if that has not begun already. Raises RuntimeError when closed."""
        self.listen()

    @override
    async def serve_forever(self) -> None:
        """Accept connections until cancelled; then close the server, and do not wait for those that
        are open."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.listen()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._forever = None

    @override
    def close(self) -> None:
        """Stop listening. Connections that are open go on."""
        if self._closed:
            return
        self._closed = True
        self._serving = False
        self._sockets = None
        for driver in self._drivers:
            if driver.server is self:
                driver.endpoint.unlisten()
                driver.server = None
                for conn in driver.endpoint.connections():
                    if conn.passive and conn.state is State.SYN_RECEIVED:
                        conn.abort()  # nobody has heard of it, and nobody will
                driver.loosen()
                driver.settle_down()  # with no connection the port is closed from now on
        if self._forever is not None:
            self._forever.cancel()
        self._maybe_wake()

    def close_clients(self) -> None:
        """Close every connection, as its transport's close() does, TLS in order."""
        for transport in list(self._transports):
            outermost(transport).close()

    def abort_clients(self) -> None:
        """Reset every connection."""
        for transport in list(self._transports):
            transport.abort()

    @override
    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection is over (as in Python 3.12)."""
        if self._waiters is None:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters is not None:
                self._waiters.remove(waiter)

    @override
    async def __aexit__(self, *exc: object) -> None:
        self.close()
        if exc[0] is None:
            await self.wait_closed()

    # -- for this room --------------------------------------------------------------------------

    def listen(self) -> None:
        """Start to accept connections."""
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        if not self._serving:
            self._serving = True
            for driver in self._drivers:
                driver.endpoint.listen(max(self._backlog, _LEAST_BACKLOG))
                log.event("info", "listening", driver.sockname)

    def accept(self, driver: Driver, conn: Connection, events: int) -> None:
        """A connection is established: give it a protocol and a transport."""
        # As with asyncio's, what one sets in its context (`contextvars`) no other one sees.
        transport = self._context.copy().run(self._make_transport, driver, conn)
        if transport is not None:
            transport.context.run(transport.begin, events & ~CONNECTED)

    def _make_transport(self, driver: Driver, conn: Connection) -> Transport | None:
        try:
            protocol = self._factory()
            if self._tls is not None:
                protocol = self._tls.wrap(self._loop, protocol)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            conn.abort()
            self._loop.call_exception_handler(
                {"message": "Error on transport creation for incoming connection",
                 "exception": exc}
            )  # fmt: skip
            return None
        return Transport(self._loop, driver, conn, protocol, self)

    def attach(self, transport: Ending) -> None:
        """Count a connection."""
        self._transports.add(transport)

    def detach(self, transport: Ending) -> None:
        """A connection is over."""
        self._transports.discard(transport)
        self._maybe_wake()

    def _maybe_wake(self) -> None:
        if self._closed and not self._transports and self._waiters is not None:
            waiters, self._waiters = self._waiters, None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
