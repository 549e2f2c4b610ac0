"""create_connection: from names to an established connection with a transport.

Each address that is tried is an `Attempt`. Whatever happens, cancellation included, at the end
every attempt but the one that won has let go of its socket.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
from asyncio import staggered
from collections.abc import Callable, Hashable
from contextvars import copy_context
from time import monotonic_ns
from typing import Any, Final, TypeVar

from utcp import errors
from utcp.aio import log
from utcp.aio.driver import Driver
from utcp.aio.hub import Hub
from utcp.aio.override import override
from utcp.aio.owner import Owner
from utcp.aio.resolve import Info, check_proto, interleave, resolve, resolve_local
from utcp.aio.tls import Handshake, client_tls
from utcp.aio.transport import Transport
from utcp.config import Config
from utcp.core import Connection, Reason, State
from utcp.core.events import ADVICE, CLOSED, CONNECTED, OLD_CONNECTION
from utcp.udp import UdpSocket, open_socket

__all__ = ["check_config", "create_connection"]

_P = TypeVar("_P", bound=asyncio.BaseProtocol)
_NO_DESCRIPTORS: Final = frozenset((errno.EMFILE, errno.ENFILE))
# Ports that are tried while the peer says that it knows them from an earlier connection.
_PORTS: Final = 4


async def create_connection(
    protocol_factory: Callable[[], _P],
    host: str | None = None,
    port: int | str | None = None,
    *,
    ssl: Any = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: socket.socket | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
    config: Config | None = None,
) -> tuple[asyncio.Transport, _P]:
    """Connect to `host` and `port`; as asyncio's loop.create_connection, carried in UDP.

    `sock` may be a connected UDP socket, which then belongs to the transport. `config` is a
    `utcp.Config`. Blocks until the connection is established, with `ssl` until the TLS handshake
    is done, and then returns the transport and the protocol, whose connection_made was called.
    The peer learns of it with what is written then, or in the next turn of the loop. The transport
    is a `utcp.Transport`, or with `ssl` standard TLS over one. Cancelling leaves nothing behind.

    Raises OSError (a subclass that fits, such as ConnectionRefusedError, TimeoutError or
    ssl.SSLError) if no address could be connected to, with `all_errors` (Python 3.12) an
    ExceptionGroup of them, ValueError or TypeError for arguments that make no sense.
    """
    tls = client_tls(ssl, host, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    check_proto(proto)
    config = check_config(config)
    hub = Hub.of(asyncio.get_running_loop())
    attempts: list[Attempt] = []
    try:
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            infos = await resolve(hub.loop, host, port, family=family, flags=flags)
            locals_ = None
            if local_addr is not None:
                locals_ = await resolve_local(hub.loop, local_addr, family=family, flags=flags)
            infos = _in_order(infos, happy_eyeballs_delay, interleave)
            winner = await _connect(
                hub, attempts, infos, locals_, happy_eyeballs_delay, all_errors, config
            )
        else:
            winner = await _connect_given(hub, attempts, sock, config)
        protocol = protocol_factory()
        handshake = None if tls is None else Handshake(tls, hub.loop, protocol)
        outer = protocol if handshake is None else handshake.protocol
        transport = Transport(hub.loop, winner.driver, winner.conn, outer)
        attempts.remove(winner)
    finally:
        for attempt in attempts:
            attempt.discard()
    transport.context.run(transport.begin, winner.events & ~CONNECTED)
    return transport if handshake is None else await handshake.done(transport), protocol


def check_config(config: Config | None) -> Config:
    if config is None:
        return DEFAULT
    if not isinstance(config, Config):
        raise TypeError(f"config must be a utcp.Config, not {type(config).__name__}")
    return config


DEFAULT: Final = Config()


def _in_order(infos: list[Info], delay: float | None, first_count: int | None) -> list[Info]:
    """The order in which addresses are tried; as asyncio's, families take turns with a delay."""
    if first_count is None and delay is not None:
        first_count = 1
    return interleave(infos, first_count) if first_count else infos


class Attempt(Owner):
    """A connection that is being opened, and the owner of its news until it is."""

    __slots__ = ("_fixed", "conn", "context", "decided", "driver", "events")

    def __init__(self, hub: Hub, driver: Driver, *, fixed: bool = True) -> None:
        """Send the SYN from `driver`, which is connected to the peer.

        Not `fixed` means that another local port would do as well.
        """
        self.driver = driver
        self.context = copy_context()
        self.events = 0
        self._fixed = fixed
        self.decided: asyncio.Future[None] = hub.loop.create_future()
        """Done when `succeeded` has an answer."""
        peer = driver.sock.peername
        assert peer is not None
        try:
            path_mtu = driver.sock.path_mtu(peer)
            self.conn: Connection = driver.endpoint.connect(monotonic_ns(), peer, path_mtu)
        except BaseException:
            driver.loosen()
            raise
        driver.own(self.conn, self)
        driver.written(self.conn)

    @override
    def on_events(self, events: int) -> None:
        self.events |= events
        over = events & (CONNECTED | CLOSED) or (events & ADVICE and self._is_known_port())
        if over and not self.decided.done():
            self.decided.set_result(None)

    @override
    def on_shutdown(self) -> None:
        self.conn.abort()

    def _is_known_port(self) -> bool:
        """Whether the peer takes us for whoever had this port before.

        Our answer resets that connection, and the next SYN, a second later, gets through; if the
        peer is in TIME-WAIT it may take a minute. Another port takes a round trip.
        """
        conn = self.conn
        return (
            not self._fixed and conn.state is State.SYN_SENT and conn.soft_error == OLD_CONNECTION
        )

    def succeeded(self) -> bool:
        """Whether the connection is established; False: another port should be tried.

        Raises OSError if it cannot be established.
        """
        if self.events & CONNECTED:
            return True
        if self.events & CLOSED:
            reason = self.conn.reason
            peername = self.driver.sock.peername
            log.event("info", "not connected", self.driver.sockname, peername, reason=reason.name)
            # Nothing here keeps the exception, whose traceback keeps this frame.
            raise errors.from_reason(reason, peername) or errors.ConnectionAborted(
                errno.ECONNABORTED, "Connection closed"
            )
        return False

    def discard(self) -> None:
        """Let go of the connection and the socket."""
        if self.conn.reason is Reason.NONE:
            self.conn.abort()
        self.decided.cancel()
        self.driver.disown(self.conn)
        self.driver.settle_down()


async def _connect(
    hub: Hub,
    attempts: list[Attempt],
    infos: list[Info],
    locals_: list[Info] | None,
    delay: float | None,
    all_errors: bool,
    config: Config,
) -> Attempt:
    """Try the addresses in turn, with `delay` one after another without waiting for the end."""
    failures: list[OSError] = []
    if delay is None:
        for info in infos:
            try:
                return await _attempt(hub, attempts, failures, info, locals_, config)
            except OSError:
                continue
    else:
        tries = [
            functools.partial(_attempt, hub, attempts, failures, info, locals_, config)
            for info in infos
        ]
        winner, _, others = await staggered.staggered_race(tries, delay, loop=hub.loop)
        if isinstance(winner, Attempt):
            return winner
        for exc in others:
            if exc is not None and not isinstance(exc, OSError):
                raise exc
    texts = {str(exc) for exc in failures}
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", failures)
        if len(texts) == 1:
            raise failures[0]
        raise OSError(f"Multiple exceptions: {', '.join(str(exc) for exc in failures)}")
    finally:
        failures.clear()  # their tracebacks hold this frame


async def _attempt(
    hub: Hub,
    attempts: list[Attempt],
    failures: list[OSError],
    info: Info,
    locals_: list[Info] | None,
    config: Config,
) -> Attempt:
    ports_left = 1 if locals_ and any(local[1] for _, local in locals_) else _PORTS
    try:
        while True:
            ports_left -= 1
            attempt = Attempt(hub, _driver(hub, info, locals_, config), fixed=not ports_left)
            attempts.append(attempt)
            await attempt.decided
            if attempt.succeeded():
                return attempt
            attempts.remove(attempt)
            attempt.discard()
    except OSError as exc:
        failures.append(exc)
        raise


async def _connect_given(
    hub: Hub, attempts: list[Attempt], sock: socket.socket | None, config: Config
) -> Attempt:
    if sock is None:
        raise ValueError("host and port was not specified and no sock specified")
    attempt = Attempt(hub, _given_driver(hub, sock, config))
    attempts.append(attempt)
    await attempt.decided
    attempt.succeeded()
    return attempt


def _driver(hub: Hub, info: Info, locals_: list[Info] | None, config: Config) -> Driver:
    """A driver connected to the address, from the pool or with a new socket."""
    family, addr = info
    if locals_ is None:
        return _pooled(hub, family, addr, None, config)
    failure: OSError | None = None
    for local_family, local in locals_:
        if local_family == family:
            try:
                return _pooled(hub, family, addr, local, config)
            except OSError as exc:
                failure = OSError(
                    exc.errno,
                    f"error while attempting to bind on address {local!r}: {exc.strerror}",
                )
    raise failure or OSError(f"no matching local address with {family=} found")


def _pooled(hub: Hub, family: int, addr: Any, local: Any, config: Config) -> Driver:
    key: Hashable = (addr, local, config)
    driver = hub.take(key)
    if driver is None:
        sock = _open(hub, family, addr, local, config)
        driver = hub.open(sock, config)
        driver.client_key = key
    return driver


def _open(hub: Hub, family: int, addr: Any, local: Any, config: Config) -> UdpSocket:
    while True:
        try:
            return open_socket(family=family, local_addr=local, remote_addr=addr, ttl=config.ttl)
        except OSError as exc:
            # Descriptors that only wait for TIME-WAIT to pass are there to be taken.
            if exc.errno not in _NO_DESCRIPTORS or not hub.evict(hard=True):
                raise


def _given_driver(hub: Hub, sock: socket.socket, config: Config) -> Driver:
    own = open_socket(sock=sock, ttl=config.ttl)
    if own.peername is None:
        raise ValueError("sock must be connected: without a host there is nobody to connect to")
    driver = hub.open(own, config)
    driver.client_key = (own.peername, own.sockname, config)
    return driver
