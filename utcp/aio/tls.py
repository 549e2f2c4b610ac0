"""TLS over a transport: the standard library's SSLProtocol, on every event loop.

    application's protocol  <-  SSLProtocol  <-  Transport         callbacks
    asyncio's TLS transport ->  SSLProtocol  ->  Transport         calls

SSLProtocol is what asyncio itself uses over kernel TCP, so everything about TLS is as there.
uvloop has one of its own that takes only uvloop's transports; here it is not asked.
"""

from __future__ import annotations

import asyncio
import errno
import ssl as stdlib_ssl
from asyncio.sslproto import SSLProtocol
from dataclasses import dataclass
from typing import Any, cast

from utcp import errors

__all__ = ["Handshake", "Tls", "client_tls", "is_ending", "outermost", "server_tls", "start_tls"]


@dataclass(frozen=True, slots=True)
class Tls:
    """What to do about TLS when a connection is made."""

    context: stdlib_ssl.SSLContext
    server_side: bool
    server_hostname: str | None
    handshake_timeout: float | None
    shutdown_timeout: float | None

    def wrap(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        call_connection_made: bool = True,
    ) -> SSLProtocol:
        """The protocol for the transport; `protocol` is the application's.

        `waiter` learns how the handshake ended. Without `call_connection_made` the application's
        protocol has a transport already.
        """
        return SSLProtocol(
            loop,
            protocol,
            self.context,
            waiter,  # type: ignore[arg-type]
            self.server_side,
            self.server_hostname,
            call_connection_made=call_connection_made,
            ssl_handshake_timeout=self.handshake_timeout,  # type: ignore[arg-type]
            ssl_shutdown_timeout=self.shutdown_timeout,
        )


class Handshake:
    """A TLS handshake that somebody waits for."""

    __slots__ = ("_secured", "_waiter", "protocol")

    def __init__(
        self,
        tls: Tls,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        *,
        call_connection_made: bool = True,
    ) -> None:
        self._waiter: asyncio.Future[None] = loop.create_future()
        self.protocol = tls.wrap(
            loop, protocol, self._waiter, call_connection_made=call_connection_made
        )
        """The protocol to give to the transport."""
        self._secured = cast("asyncio.Transport", self.protocol._app_transport)

    async def done(self, transport: asyncio.Transport) -> asyncio.Transport:
        """Wait for the end of the handshake over `transport`; gives the application's transport.

        Raises what went wrong. Then, and when this is cancelled, the connection is aborted.
        """
        waiter = self._waiter
        try:
            await waiter
            if self.protocol._get_extra_info("ssl_object") is None:
                # This side aborted in the middle of it, of which SSLProtocol says nothing.
                raise errors.ConnectionAborted(errno.ECONNABORTED, "Aborted during the handshake")
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # cancelled just when it failed: nobody else will look
            self._secured.abort()  # else it warns that it was left open
            transport.abort()
            raise
        return self._secured


def client_tls(
    ssl: Any,
    host: str | None,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> Tls | None:
    """What the arguments of a client ask for; None if that is no TLS.

    Raises TypeError or ValueError, with asyncio's words, for what makes no sense.
    """
    if not ssl:
        if server_hostname is not None:
            raise ValueError("server_hostname is only meaningful with ssl")
        _no_timeouts(handshake_timeout, shutdown_timeout)
        return None
    if server_hostname is None:
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        server_hostname = host
    if ssl is True:
        ssl = stdlib_ssl.create_default_context()
        ssl.check_hostname = bool(server_hostname)
    return _tls(ssl, False, server_hostname, handshake_timeout, shutdown_timeout)


def server_tls(
    ssl: Any, handshake_timeout: float | None, shutdown_timeout: float | None
) -> Tls | None:
    """What the arguments of a server ask for; None if that is no TLS.

    Raises TypeError or ValueError for what makes no sense.
    """
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    if ssl is None:
        _no_timeouts(handshake_timeout, shutdown_timeout)
        return None
    return _tls(ssl, True, None, handshake_timeout, shutdown_timeout)


async def start_tls(
    transport: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    sslcontext: stdlib_ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> asyncio.Transport:
    """Upgrade a connection to TLS; as asyncio's loop.start_tls, and on uvloop too.

    Returns the transport that `protocol` is to use from now on. If the handshake fails, or this
    is cancelled, the connection is over. Raises what went wrong, such as ssl.SSLError or
    ConnectionError; TypeError or ValueError for arguments that make no sense.
    """
    tls = _tls(sslcontext, server_side, server_hostname, ssl_handshake_timeout,
               ssl_shutdown_timeout)  # fmt: skip
    if not getattr(transport, "_start_tls_compatible", False):
        raise TypeError(f"transport {transport!r} is not supported by start_tls()")
    if transport.is_closing():
        # Nobody would tell the handshake that it has nobody to talk to.
        raise errors.ConnectionAborted(errno.ECONNABORTED, "The connection is closed already")
    loop = asyncio.get_running_loop()
    handshake = Handshake(tls, loop, protocol, call_connection_made=False)
    # Nothing may come before the handshake has been started.
    transport.pause_reading()
    transport.set_protocol(handshake.protocol)
    begin = loop.call_soon(handshake.protocol.connection_made, transport)
    resume = loop.call_soon(transport.resume_reading)
    try:
        return await handshake.done(transport)
    except BaseException:
        begin.cancel()
        resume.cancel()
        raise


def is_ending(protocol: object) -> bool:
    """Whether this is TLS whose application has closed it, and which is busy with doing so."""
    while isinstance(protocol, SSLProtocol):
        secured = cast("asyncio.Transport | None", protocol._app_transport)
        if secured is None or secured.is_closing():
            return True
        protocol = protocol._app_protocol
    return False


def outermost(transport: asyncio.Transport) -> asyncio.Transport:
    """What the application has in its hands: TLS over `transport`, or `transport` itself."""
    protocol = transport.get_protocol()
    while isinstance(protocol, SSLProtocol):
        secured = cast("asyncio.Transport | None", protocol._app_transport)
        if secured is None:
            break
        transport = secured
        protocol = protocol._app_protocol
    return transport


def _tls(
    context: Any,
    server_side: bool,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> Tls:
    if not isinstance(context, stdlib_ssl.SSLContext):
        raise TypeError(
            f"sslcontext is expected to be an instance of ssl.SSLContext, got {context!r}"
        )
    for name, seconds in (
        ("ssl_handshake_timeout", handshake_timeout),
        ("ssl_shutdown_timeout", shutdown_timeout),
    ):
        if seconds is not None and seconds <= 0:
            raise ValueError(f"{name} should be a positive number, got {seconds}")
    return Tls(context, server_side, server_hostname, handshake_timeout, shutdown_timeout)


def _no_timeouts(handshake_timeout: float | None, shutdown_timeout: float | None) -> None:
    if handshake_timeout is not None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown_timeout is not None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")
