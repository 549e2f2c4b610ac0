"""How a transport ends, and what is known of it: the half of `Transport` without data.

`Transport` adds reading and writing; here are its state, close and abort, what a failing callback
does, connection_lost, and get_extra_info.
"""

from __future__ import annotations

import asyncio
import warnings
from asyncio.sslproto import SSLProtocol
from asyncio.transports import _FlowControlMixin
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from utcp.aio import log
from utcp.aio.driver import Driver
from utcp.aio.facade import StreamSocket
from utcp.aio.override import override
from utcp.aio.owner import Owner
from utcp.aio.tls import is_ending
from utcp.core import Connection, Reason

if TYPE_CHECKING:
    from utcp.aio.server import Server

__all__ = ["Ending"]

# For who is called no more: its own may hold the protocol, or the transport, which were a cycle.
_NOBODYS: Final = Context()


def _is_buffered(protocol: asyncio.BaseProtocol) -> bool:
    # asyncio looks for the class; uvloop also takes whatever has get_buffer but is no Protocol.
    return isinstance(protocol, asyncio.BufferedProtocol) or (
        hasattr(protocol, "get_buffer") and not isinstance(protocol, asyncio.Protocol)
    )


class Ending(_FlowControlMixin, Owner):
    """The state of a transport, and its way to connection_lost."""

    __slots__ = (
        "__weakref__",
        "_barred",
        "_buffered",
        "_closing",
        "_conn",
        "_driver",
        "_eof_read",
        "_eof_received",
        "_eof_written",
        "_exc",
        "_fed_in",
        "_fin_held",
        "_later",
        "_lost",
        "_lost_writes",
        "_over",
        "_paused",
        "_protocol",
        "_resuming",
        "_server",
        "_starting",
        "context",
    )

    # asyncio's start_tls asks for this, and then calls _force_close.
    _start_tls_compatible = True
    _sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK

    # Of _FlowControlMixin.
    _loop: asyncio.AbstractEventLoop
    _protocol_paused: bool
    _high_water: int
    _low_water: int
    _extra: dict[str, Any]

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        driver: Driver,
        conn: Connection,
        protocol: asyncio.BaseProtocol,
        server: Server | None = None,
    ) -> None:
        super().__init__(None, loop)
        self.context = copy_context()
        self._driver = driver
        self._conn = conn
        self._server = server
        # Nothing is read before the turn of the loop after connection_made.
        self._paused = self._starting = True
        self._closing = False  # close() or abort() was called, or it came to the same
        self._lost = False  # connection_lost was called or is scheduled
        self._lost_writes = 0
        self._eof_read = False  # the peer's FIN is behind what is readable
        self._eof_received = False  # the protocol knows
        self._eof_written = False
        self._barred = ""  # when writing is no use: "after write_eof()"
        self._fin_held = False  # closing, but TLS has not written all yet
        self._over = False  # TCP is done with it, in order or after our FIN was acknowledged
        self._exc: BaseException | None = None
        self._resuming = False
        self._fed_in = 0  # the driver's turn in which the protocol last got data
        self._later = 0  # events to be told in the next turn of the loop
        self.set_protocol(protocol)
        driver.own(conn, self)
        if server is not None:
            server.attach(self)

    @override
    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        names = f"{self.get_extra_info('sockname')} - {self.get_extra_info('peername')}"
        return f"<utcp.Transport {state} {self._conn.state} {names} wbuf={self._conn.buffered}>"

    def __del__(self) -> None:
        if not getattr(self, "_closing", True) and not is_ending(self._protocol):
            text = f"unclosed transport {self!r}"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what comes from now on to `protocol`, which may be of the other kind."""
        self._protocol = protocol
        self._buffered = _is_buffered(protocol)

    @override
    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that gets the callbacks; None after connection_lost."""
        return self._protocol

    # -- the end --------------------------------------------------------------------------------

    @override
    def is_closing(self) -> bool:
        """Whether the transport is closing or closed."""
        return self._closing

    @override
    def close(self) -> None:
        """Send what is written, then FIN. Nothing is received any more.

        connection_lost(None) follows when the peer has acknowledged all of it; in the next turn
        of the loop if only the FIN is to be sent, whose answer nobody need wait for. As with a
        kernel's TCP, the connection is reset if received data was not read, or more arrives after
        this (RFC 9293 §3.6.1), or if SO_LINGER was set with a time of 0.
        """
        if self._closing:
            return
        sock = self._extra.get("socket")
        if sock is not None and sock.resets:
            self._force_close(None)
            return
        self._closing = True
        # While writing is paused, asyncio's TLS keeps its last bytes to itself, and closes: they
        # come when writing is resumed. asyncio's own transports take them, so long as they have
        # anything to send.
        self._fin_held = self._protocol_paused and isinstance(self._protocol, SSLProtocol)
        self._conn.close(more=self._fin_held)
        conn = self._conn
        unsent = conn.buffered or self._fin_held
        # What has ended by being closed, because there is no room for it, will say so.
        if self._over or (not unsent and conn.reason is Reason.NONE):
            self._lose_soon(None)
        if not self._driver.running:
            self._driver.soon()

    @override
    def abort(self) -> None:
        """Reset the connection now; what is not sent yet is lost."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        """Reset the connection; `exc` goes to connection_lost. asyncio's TLS calls this."""
        if self._lost:
            return
        self._closing = True
        self._conn.abort()
        self._lose_soon(exc)
        self._driver.written(self._conn)

    def _fatal_error(self, exc: BaseException, message: str) -> None:
        """A callback failed: tell the loop, end this connection; others live on."""
        if not isinstance(exc, OSError):  # as asyncio: of these connection_lost is told, no more
            self._report(exc, f"Fatal error: {message}")
        self._force_close(exc)

    def _report(self, exc: BaseException, message: str) -> None:
        """Tell the loop that a callback failed."""
        self._loop.call_exception_handler(
            {
                "message": message,
                "exception": exc,
                "transport": self,
                "protocol": self._protocol,
            }
        )

    def _lose_soon(self, exc: BaseException | None) -> None:
        self._lost = True
        self._exc = exc
        self._loop.call_soon(self._call_connection_lost, context=self.context)

    def _connection_lost(self, exc: BaseException | None) -> None:
        self._lost = True
        self._exc = exc
        self._call_connection_lost()

    def _call_connection_lost(self) -> None:
        exc = self._exc
        self._exc = None
        if log.heard("info"):
            how = {} if exc is None else {"error": str(exc) or type(exc).__name__}
            log.event("info", "closed", self.sockname, self.peername, **how)
        self._driver.disown(self._conn)
        sock = self._extra.get("socket")
        if sock is not None:
            sock.over = True
        try:
            self._protocol.connection_lost(cast("Exception | None", exc))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as failure:
            self._report(failure, "protocol.connection_lost() failed")
        finally:
            # Most protocols keep their transport: with no way back nobody need search for cycles.
            self._protocol = None  # type: ignore[assignment]
            self.context = _NOBODYS
            server = self._server
            if server is not None:
                self._server = None
                server.detach(self)

    @override
    def on_shutdown(self) -> None:
        # As when a process ends with open sockets: the kernel closes them and calls nobody. Only
        # what is closing already comes to its end here; TLS that is has not told us yet.
        if not self._closing and not is_ending(self._protocol):
            self._conn.close()
            self._over = True  # callbacks that still run may write, in vain
            self._driver.disown(self._conn)

    # -- information ----------------------------------------------------------------------------

    @property
    def sockname(self) -> Any:
        """The local address."""
        return self._driver.local(self._conn)

    @property
    def peername(self) -> Any:
        """The peer's address."""
        return self._driver.remote(self._conn)

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known under `name`, or `default`."""
        match name:
            case "sockname":
                return self.sockname
            case "peername":
                return self.peername
            case "tcp_info":
                return self._conn.info()
            case "counters":
                return self._driver.endpoint.counters
            case "socket_drops":
                return self._driver.sock.dropped
            case "socket":
                if "socket" not in self._extra:
                    self._extra["socket"] = sock = StreamSocket(self._driver, self._conn)
                    sock.over = self._lost
                return self._extra["socket"]
            case _:
                return default
