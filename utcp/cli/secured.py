"""TLS that can end one direction and go on in the other, as a transport for the tools' protocols.

    the tool's protocol  <-  Secured  <-  utcp.Transport         callbacks
    the tool's calls     ->  Secured  ->  utcp.Transport         calls

asyncio's TLS closes both directions at once, and drops what arrives after that; `tool < question
> answer` needs the first half of that only. TLS itself allows it (RFC 8446 §6.1: close_notify
ends one direction), and so does OpenSSL.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

__all__ = ["Secured"]

_CHUNK: Final = 1 << 18
_HANDSHAKE: Final = 60.0
"""Seconds that a handshake may take, as in asyncio."""
_FAREWELL: Final = 30.0
"""Seconds for the peer to end its direction after close(), as in asyncio."""


class Secured(asyncio.Transport, asyncio.Protocol):
    """A protocol to the connection below, a transport to the protocol above.

    The protocol above is made when the handshake is done; if that fails there is none.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        failed: Callable[[asyncio.BaseTransport, Exception], None] | None = None,
    ) -> None:
        """`failed(transport, error)` is called when the handshake has failed, unless somebody
        waits for `done`."""
        super().__init__()
        self._factory = factory
        self._failed = failed
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._loop = asyncio.get_running_loop()
        self._handshake: asyncio.Future[None] = self._loop.create_future()
        self._protocol: asyncio.Protocol | None = None
        self._below: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early: list[bytes] = []  # decrypted while reading was paused
        self._paused = False
        self._ended = False  # the peer has sent close_notify
        self._told = False  # and the protocol above knows
        self._eof_written = False
        self._closing = False
        self._error: Exception | None = None

    async def done(self) -> None:
        """Wait for the handshake. Raises ssl.SSLError, EOFError or OSError."""
        self._failed = None
        await self._handshake

    @property
    def _transport(self) -> asyncio.Transport:
        assert self._below is not None
        return self._below

    # -- callbacks of the connection ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._below = transport
        self._timer = self._loop.call_later(
            _HANDSHAKE, self._fail, TimeoutError("the TLS handshake takes too long")
        )
        self._proceed()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        if self._protocol is None:
            self._proceed()
        else:
            self._deliver()

    def eof_received(self) -> bool:
        if self._closing:
            self._transport.close()
            return True
        self._decrypt()
        if not self._ended:
            self._fail(EOFError("the connection ended without TLS saying so"))
        return True

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._stop_timer()
        error = self._error or exc
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(error)
        elif not self._handshake.done():
            self._end_handshake(error or EOFError("the connection ended during the handshake"))

    # -- the handshake --------------------------------------------------------------------------

    def _proceed(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._flush()
            self._stop_timer()
            self._end_handshake(None)
            self._protocol = self._factory()
            self._protocol.connection_made(self)
            self._deliver()

    def _end_handshake(self, error: Exception | None) -> None:
        if self._handshake.done():
            return
        if error is None:
            self._handshake.set_result(None)
        elif self._failed is not None:
            self._handshake.cancel()
            self._failed(self._transport, error)
        else:
            self._handshake.set_exception(error)
            self._handshake.exception()  # whoever waits has gone, perhaps

    def _fail(self, error: Exception) -> None:
        """End the connection; `error` goes to connection_lost or to whoever waits."""
        if self._error is None:
            self._error = error
        self._flush()
        if isinstance(error, ssl.SSLError):
            self._transport.close()  # after the alert that tells the peer why
        else:
            self._transport.abort()
        if self._protocol is None:
            self._end_handshake(error)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- reading --------------------------------------------------------------------------------

    def _deliver(self) -> None:
        """Hand over what has arrived, unless the protocol has paused reading."""
        if self._paused:
            return
        self._decrypt()
        self._flush()  # answers of TLS itself, such as to a key update
        if self._closing:
            self._early.clear()
            if self._ended:
                self._transport.close()
            return
        if self._early and self._protocol is not None:
            data = self._early[0] if len(self._early) == 1 else b"".join(self._early)
            self._early.clear()
            self._protocol.data_received(data)
        self._maybe_end()

    def _maybe_end(self) -> None:
        """Say once that the peer has ended its direction, behind all its data."""
        if self._ended and not self._told and not self._paused and self._protocol is not None:
            self._told = True
            if not self._protocol.eof_received():
                self.close()

    def _decrypt(self) -> None:
        """Take over everything that has arrived."""
        if self._error is not None:
            return  # after an alert OpenSSL would tell of an end in order
        try:
            while not self._ended:
                data = self._tls.read(_CHUNK)
                if data:
                    self._early.append(data)
                else:
                    self._ended = True
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError as error:
            self._fail(error)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
            self._loop.call_soon(self._deliver)

    # -- writing --------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if data and not self.is_closing():
            self._tls.write(data)
            self._flush()

    def write_eof(self) -> None:
        """Say that nothing more will be written. Reading goes on."""
        if self._eof_written or self._transport.is_closing():
            return
        self._eof_written = True
        # unwrap() takes data that waits for a violation: it looks for the peer's close_notify.
        self._decrypt()
        with suppress(ssl.SSLError):  # the peer's close_notify is not there yet
            self._tls.unwrap()
        self._flush()
        self._transport.write_eof()
        if (self._early or self._ended) and not self._paused:
            self._loop.call_soon(self._deliver)

    def can_write_eof(self) -> bool:
        return True

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    # -- the end --------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        """Send what is written and end both directions; what still arrives is dropped.

        The peer's end is waited for, as closing before it arrives would reset the connection.
        """
        if self.is_closing():
            return
        self._closing = True
        self.write_eof()
        if self._ended:
            self._transport.close()
        else:
            self._paused = False
            self._transport.resume_reading()
            self._timer = self._loop.call_later(_FAREWELL, self._transport.abort)

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()

    # -- information ----------------------------------------------------------------------------

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)
