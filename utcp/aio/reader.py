"""StreamReader: asyncio's, but what is read as it has come is not copied."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from utcp.aio.override import override

__all__ = ["StreamReader"]

_Reader: Any = asyncio.StreamReader  # its parts have no public names
_LARGE: Final = 16 << 10
_MANY: Final = 256
_SMALL: Final = 1024


class StreamReader(_Reader):  # type: ignore[misc]
    """asyncio's reader, which copies what arrives into one buffer, and from there, twice, into
    what `read` returns. Here it is kept in pieces, which `read` hands over, or cuts, where they are
    large, and joins where it may return all there is; so does `readexactly` where that is all. All
    else, and whoever looks at the buffer, finds everything there.
    """

    _joined: bytearray
    _paused: bool
    _transport: Any

    def __init__(self, *, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        """As asyncio's: `limit` in bytes."""
        self._pieces: deque[bytes | memoryview] = deque()
        self._size = 0  # of all pieces
        super().__init__(limit=limit, loop=loop)
        self._paused = False

    @property
    def _buffer(self) -> bytearray:
        if self._pieces:
            self._joined += b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
        return self._joined

    @_buffer.setter
    def _buffer(self, value: bytearray) -> None:
        self._joined = value
        self._pieces.clear()
        self._size = 0

    @override
    def feed_data(self, data: bytes | bytearray | memoryview) -> None:
        """As asyncio's: data has arrived."""
        assert not self._eof, "feed_data after feed_eof"
        if not data:
            return
        pieces = self._pieces
        pieces.append(data if type(data) is bytes else bytes(data))
        self._size += len(data)
        if len(pieces) > _MANY and self._size < len(pieces) * _SMALL:
            # They would weigh many times what is in them.
            joined = b"".join(pieces)
            pieces.clear()
            pieces.append(joined)
        self._wakeup_waiter()
        held = self._size + len(self._joined)
        if held > 2 * self._limit and not self._paused and self._transport is not None:
            try:
                self._transport.pause_reading()
            except NotImplementedError:
                self._transport = None
            else:
                self._paused = True

    @override
    async def read(self, n: int = -1) -> bytes:
        """As asyncio's: up to `n` bytes, all up to the end if it is negative; b"" at the end."""
        if n <= 0 or self._exception is not None:
            rest: bytes = await super().read(n)
            return rest
        if not self._joined and not self._pieces and not self._eof:
            await self._wait_for_data("read")
        data = self._take(n)
        self._maybe_resume_transport()
        return data

    @override
    async def readexactly(self, n: int) -> bytes:
        """As asyncio's: `n` bytes; IncompleteReadError if the end comes before them."""
        if n <= 0 or self._exception is not None:
            rest: bytes = await super().readexactly(n)
            return rest
        while self._size + len(self._joined) < n:
            if self._eof:
                incomplete = bytes(self._buffer)
                self._buffer.clear()
                raise asyncio.IncompleteReadError(incomplete, n)
            await self._wait_for_data("readexactly")
        if self._size == n and not self._joined:
            # A message, mostly.
            data = self._take(n)
        else:
            held = self._buffer
            data = bytes(held[:n])
            del held[:n]
        self._maybe_resume_transport()
        return data

    def _take(self, n: int) -> bytes:
        """Take out up to `n` bytes."""
        pieces = self._pieces
        large = bool(pieces) and len(pieces[0]) >= _LARGE
        if not self._joined and self._size <= n:
            data = b"".join(pieces)
            pieces.clear()
        elif not self._joined and large and len(pieces[0]) <= n:
            data = bytes(pieces.popleft())
        elif not self._joined and large and n >= _LARGE:
            view = memoryview(pieces[0])
            data = bytes(view[:n])
            pieces[0] = view[n:]
        else:
            # What is large is not copied there for what little may lie before it.
            held = self._joined if self._joined and large and n >= _LARGE else self._buffer
            data = bytes(held[:n])
            del held[:n]
            return data
        self._size -= len(data)
        return data

    def _maybe_resume_transport(self) -> None:
        if self._paused and self._size + len(self._joined) <= self._limit:
            self._paused = False
            self._transport.resume_reading()
