"""sendfile: a file over a transport, on every event loop.

The file is read in pieces by a thread, each while the one before it is being sent; no more of it
is held than one piece and what the transport holds anyway.
"""

from __future__ import annotations

import asyncio
import errno
from asyncio.sslproto import _SSLProtocolTransport
from typing import IO, Any, Final, cast

from utcp import errors
from utcp.aio.override import override
from utcp.aio.transport import Transport

__all__ = ["sendfile"]

# Bytes of the first piece, which is to be on its way soon; each is twice as large as the one
# before, up to the second number.
_FIRST_PIECE: Final = 16 * 1024
_PIECE: Final = 256 * 1024


async def sendfile(
    transport: asyncio.WriteTransport,
    file: IO[bytes],
    offset: int = 0,
    count: int | None = None,
    *,
    fallback: bool = True,
) -> int:
    """Send a file over a transport of utcp; as asyncio's loop.sendfile, and on uvloop too.

    Begins at `offset` and ends after `count` bytes, or at the end of the file. Returns the number
    of bytes sent, of which only a transport's usual share still waits to go out. The position in
    the file is behind what was sent, also if this fails. Meanwhile nothing is received, and
    nothing else can be written. Without `fallback` a transport of TLS is refused.

    Raises OSError (ConnectionError) if the connection ends or the file cannot be read, RuntimeError
    for a transport that is closing or not one of utcp's, TypeError or ValueError for arguments
    that make no sense.
    """
    _check(file, offset, count)
    if not isinstance(transport, Transport | _SSLProtocolTransport):
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    if not fallback and not isinstance(transport, Transport):
        raise RuntimeError(
            f"fallback is disabled and native sendfile is not supported for transport {transport!r}"
        )
    write = transport.sending() if isinstance(transport, Transport) else transport.write
    sending = _Sending(transport)
    sent = 0
    piece = _FIRST_PIECE
    try:
        if _is_seekable(file):
            file.seek(offset)
        while count is None or sent < count:
            data = await _read(file, piece if count is None else min(piece, count - sent))
            if not data:
                break
            await sending.drain()
            write(data)
            sent += len(data)
            piece = min(2 * piece, _PIECE)
        await sending.drain()
    finally:
        if isinstance(transport, Transport):
            transport.sent()
        sending.restore()
        if _is_seekable(file):  # raises if it is closed
            file.seek(offset + sent)
    return sent


async def _read(file: IO[bytes], size: int) -> bytes:
    """Read in a thread. When cancelled, wait for it: nobody else may use the file before."""
    reading = asyncio.get_running_loop().run_in_executor(None, file.read, size)
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()
        raise


class _Sending(asyncio.Protocol):
    """Takes the place of a transport's protocol while a file is sent."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._protocol: Any = self._transport.get_protocol()
        self._was_reading = self._transport.is_reading()
        self._paused = self._protocol_paused = self._transport._protocol_paused
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._transport.pause_reading()
        self._transport.set_protocol(self)

    async def drain(self) -> None:
        """Wait until there is room for the next piece. Raises ConnectionError at the end of it."""
        while self._paused and not self._lost:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._lost or self._transport.is_closing():
            raise errors.ConnectionAborted(
                errno.ECONNABORTED, "The connection was closed while a file was sent"
            )

    def restore(self) -> None:
        """Give the place back. What the protocol has missed of pauses, it is told."""
        if self._lost:
            return
        self._transport.set_protocol(self._protocol)
        if self._was_reading:
            self._transport.resume_reading()
        if self._paused != self._protocol_paused:
            if self._paused:
                self._protocol.pause_writing()
            else:
                self._protocol.resume_writing()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @override
    def pause_writing(self) -> None:
        self._paused = True

    @override
    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    @override
    def data_received(self, data: bytes) -> None:
        raise RuntimeError("Invalid state: reading should be paused")

    @override
    def eof_received(self) -> bool | None:
        return cast("bool | None", self._protocol.eof_received())  # TLS says it while paused, too

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if exc is not None and self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc)
        self._wake()
        self._protocol.connection_lost(exc)


def _is_seekable(file: Any) -> bool:
    return hasattr(file, "seekable") and bool(file.seekable())


def _check(file: Any, offset: object, count: object) -> None:
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if count is not None:
        if not isinstance(count, int):
            raise TypeError(f"count must be a positive integer (got {count!r})")
        if count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
    if not isinstance(offset, int):
        raise TypeError(f"offset must be a non-negative integer (got {offset!r})")
    if offset < 0:
        raise ValueError(f"offset must be a non-negative integer (got {offset!r})")
