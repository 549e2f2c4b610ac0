"""StreamReader: asyncio's, with a `read` that does not copy what it hands over."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from utcp.aio.override import override

__all__ = ["StreamReader"]

_Reader: Any = asyncio.StreamReader  # its parts have no public names
_LARGE: Final = 16 << 10


class StreamReader(_Reader):  # type: ignore[misc]
    """asyncio's reader, which copies what arrives into one buffer, and from there, twice, into
    what `read` returns. Here it is kept in pieces, which `read` hands over, or cuts, where they are
    large, and joins where it may return all there is. All else, and whoever looks at the buffer,
    finds everything there.
    """

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

    @override
    def feed_data(self, data: bytes | bytearray | memoryview) -> None:
        """As asyncio's: data has arrived."""
        assert not self._eof, "feed_data after feed_eof"
        if not data:
            return
        self._pieces.append(data if type(data) is bytes else bytes(data))
        self._size += len(data)
        self._wakeup_waiter()
        held = self._size + len(self._joined)
        if held > 2 * self._limit and not self._paused and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True

    @override
    async def read(self, n: int = -1) -> bytes:
        """As asyncio's: up to `n` bytes, all up to the end if it is negative; b"" at the end."""
        if n > 0 and not self._joined and self._exception is None:
            if not self._pieces and not self._eof:
                await self._wait_for_data("read")
            if data := self._take(n):
                return data
        rest: bytes = await super().read(n)
        return rest

    def _take(self, n: int) -> bytes:
        """Up to `n` bytes, b"" if that is better left to the buffer."""
        pieces = self._pieces
        if self._joined or not pieces:
            return b""
        if self._size <= n:
            data = b"".join(pieces)
            pieces.clear()
        elif _LARGE <= len(pieces[0]) <= n:
            data = bytes(pieces.popleft())
        elif len(pieces[0]) > n >= _LARGE:
            view = memoryview(pieces[0])
            data = bytes(view[:n])
            pieces[0] = view[n:]
        else:
            return b""
        self._size -= len(data)
        self._maybe_resume_transport()
        return data

    def _maybe_resume_transport(self) -> None:
        if self._paused and self._size + len(self._joined) <= self._limit:
            self._paused = False
            self._transport.resume_reading()
