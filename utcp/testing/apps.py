"""Applications for simulated connections: they write, read, and check what arrives.

A `Source` writes a stream to a connection as fast as the connection takes it; a `Sink` reads one,
at full speed or slowly, and compares each byte with what it should be. Both drive any object with
the interface of `utcp.core.Connection`.
"""

from __future__ import annotations

import random
from typing import Literal, Protocol

from utcp.core.events import CLOSED, EOF
from utcp.core.timers import NEVER
from utcp.testing.clock import SECOND

__all__ = ["App", "Pattern", "Sink", "Source", "Stream"]


class Stream(Protocol):
    """What applications use of `utcp.core.Connection`."""

    @property
    def readable(self) -> int: ...
    @property
    def buffered(self) -> int: ...
    @property
    def sndbuf(self) -> int: ...
    def read(self, limit: int = -1) -> bytes: ...
    def write(self, data: bytes) -> object: ...
    def watch_writable(self, level: int) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Pattern:
    """An endless stream of bytes in which every place looks different, made from a seed."""

    # A prime, so that no segment size or power of two lines up with the period.
    PERIOD = 65_521

    __slots__ = ("_block",)

    def __init__(self, seed: int = 0) -> None:
        block = random.Random(seed).randbytes(self.PERIOD)
        self._block = block * 3

    def data(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset`."""
        start = offset % self.PERIOD
        if start + size <= len(self._block):
            return self._block[start : start + size]
        repeats = (start + size) // self.PERIOD + 1
        return (self._block[: self.PERIOD] * repeats)[start : start + size]


class App:
    """Something that acts on a connection's events and, perhaps, on time."""

    wake_at = NEVER
    """When `act` wants to be called even if there are no events."""

    done = False
    """It has finished what it was made for."""

    broken = False
    """The connection ended first; it does no more, and is never `done`."""

    progress = 0
    """A number that grows while it gets on; a simulation notices when it does not."""

    def act(self, now: int, events: int) -> None:
        """Do what can be done now. `events` are those taken from the connection, 0 for a mere
        wake-up. Applications look at the connection itself, so that any wake-up is harmless."""
        raise NotImplementedError


class Source(App):
    """Writes `size` bytes of `pattern`, `chunk` at a time, and then ends the stream.

    It writes while at most `high` bytes wait beyond TCP's own send buffer, and asks to be woken at
    `low`. With `rate_bps` it writes no faster than that. `finish` says what follows the last
    byte: "eof" (half-close), "close", "abort" or "keep" (nothing).
    """

    def __init__(
        self,
        conn: Stream,
        size: int,
        *,
        pattern: Pattern | None = None,
        chunk: int = 65_536,
        high: int = 65_536,
        low: int = 16_384,
        rate_bps: int = 0,
        finish: Literal["eof", "close", "abort", "keep"] = "eof",
    ) -> None:
        self.conn = conn
        self.size = size
        self.pattern = Pattern() if pattern is None else pattern
        self.chunk = chunk
        self.high = high
        self.low = low
        self.rate_bps = rate_bps
        self.finish = finish
        self.written = 0
        self.buffered_max = 0
        """Most bytes that the connection has held for us, beyond its `sndbuf`."""
        self._next_at = 0

    def act(self, now: int, events: int) -> None:
        """Write what the connection has room for."""
        self.wake_at = NEVER
        self.progress = self.written - self.conn.buffered
        if self.done or self.broken:
            return
        try:
            self._write(now)
        except ConnectionError:
            # Whether the peer or this side ended it: there is nobody left to write to.
            self.broken = True

    def _write(self, now: int) -> None:
        conn = self.conn
        while self.written < self.size:
            if now < self._next_at:
                self.wake_at = self._next_at
                return
            if conn.buffered - conn.sndbuf > self.high:
                conn.watch_writable(self.low)
                return
            size = min(self.chunk, self.size - self.written)
            conn.write(self.pattern.data(self.written, size))
            self.written += size
            self.buffered_max = max(self.buffered_max, conn.buffered - conn.sndbuf)
            if self.rate_bps and self.written < self.size:
                self._next_at = now + size * 8 * SECOND // self.rate_bps
        self.done = True
        if self.finish == "eof":
            conn.write_eof()
        elif self.finish == "close":
            conn.close()
        elif self.finish == "abort":
            conn.abort()


class Sink(App):
    """Reads a stream and compares it with `pattern`. AssertionError at the first wrong byte.

    `limit` is the most that one read takes (-1: all there is). With `rate_bps` it reads no faster
    than that. `size` is how long the stream should be; -1: not checked. At the end of the stream,
    `finish` says what to do: "close", "eof" or "keep" (nothing; the default, for a `Source` on
    the same connection ends the other direction).
    """

    def __init__(
        self,
        conn: Stream,
        size: int = -1,
        *,
        pattern: Pattern | None = None,
        limit: int = -1,
        rate_bps: int = 0,
        finish: Literal["close", "eof", "keep"] = "keep",
    ) -> None:
        self.conn = conn
        self.size = size
        self.pattern = Pattern() if pattern is None else pattern
        self.limit = limit
        self.rate_bps = rate_bps
        self.finish = finish
        self.received = 0
        self.readable_max = 0
        """Most bytes that have waited to be read."""
        self.eof = False
        """The peer's FIN has come and everything before it has been read."""
        self._seen = 0
        self._next_at = 0

    def act(self, now: int, events: int) -> None:
        """Read what there is, as far as the rate allows."""
        self._seen |= events
        conn = self.conn
        self.readable_max = max(self.readable_max, conn.readable)
        while conn.readable:
            if self.rate_bps:
                if now < self._next_at:
                    self.wake_at = self._next_at
                    return
                limit = self.limit if self.limit > 0 else 4096
            else:
                limit = self.limit
            data = conn.read(limit)
            self._check(data)
            if self.rate_bps:
                self._next_at = now + len(data) * 8 * SECOND // self.rate_bps
        self.wake_at = NEVER
        if self.eof:
            return
        if self._seen & EOF:
            self._finish()
        elif self._seen & CLOSED:
            self.broken = True

    def _check(self, data: bytes) -> None:
        offset = self.received
        self.received = self.progress = offset + len(data)
        if data != self.pattern.data(offset, len(data)):
            expected = self.pattern.data(offset, len(data))
            bad = next(i for i in range(len(data)) if data[i] != expected[i])
            raise AssertionError(f"byte {offset + bad} of the stream is wrong")
        if 0 <= self.size < self.received:
            raise AssertionError(f"{self.received} bytes came of a stream of {self.size}")

    def _finish(self) -> None:
        self.eof = True
        if self.size not in (-1, self.received):
            raise AssertionError(f"the stream ended after {self.received} of {self.size} bytes")
        self.done = True
        if self.finish == "close":
            self.conn.close()
        elif self.finish == "eof":
            self.conn.write_eof()
