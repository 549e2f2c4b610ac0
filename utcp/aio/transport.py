"""The transport: asyncio.Transport on one connection.

Callbacks come in the order of asyncio's documentation, each kind as often as it says there:
connection_made once; data_received (or get_buffer and buffer_updated) any number of times;
eof_received at most once; connection_lost once, and after it nothing. pause_writing and
resume_writing alternate.
"""

from __future__ import annotations

import asyncio
from asyncio.log import logger as asyncio_logger
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from utcp import errors
from utcp.aio import log
from utcp.aio.ending import Ending
from utcp.aio.override import override
from utcp.aio.owner import is_abandoned
from utcp.core import Reason
from utcp.core.events import ADVICE, CLOSED, EOF, FINISHED, READABLE, WRITABLE

__all__ = ["Transport"]

# Most bytes given to one data_received, as in asyncio.
_MAX_READ: Final = 256 * 1024
# The reasons of an end that is not the peer's doing.
_BY_US: Final = frozenset((Reason.CLOSED, Reason.ABORTED))
# Writes to a lost connection before each of them is logged, as in asyncio.
_LOG_LOST_WRITES: Final = 5


class Transport(Ending):
    """A TCP connection as asyncio sees it.

    What has been written is TCP's own up to `Config.send_buffer` (less while the congestion
    window is small); only what waits beyond counts for the water marks, as with a kernel's TCP.

    `close()` lets written data and the FIN go out: connection_lost(None) comes when the peer has
    acknowledged the data, connection_lost(exc) if that fails.

    Callbacks run in a context (`contextvars`) of the connection's own, a copy of that in which it
    was opened, or its server was made.

    `get_extra_info` knows "sockname", "peername", "socket" (a facade that looks like a TCP
    socket) and "tcp_info" (a fresh `utcp.TcpInfo`); also, of the UDP socket that a server's
    connections share, "counters" (its `utcp.Counters`) and "socket_drops" (datagrams that found
    its receive buffer full).
    """

    __slots__ = ()

    def begin(self, events: int) -> None:
        """Tell the protocol that the connection is made, then what has happened since."""
        if log.heard("info"):
            passive = self._conn.passive
            log.event("info", "established", self.sockname, self.peername, passive=passive)
        try:
            self._protocol.connection_made(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            # As asyncio's create_connection, ours returns nevertheless. But who has not learned of
            # a connection will not end it.
            self._report(exc, "Exception in protocol.connection_made()")
            self.abort()
        if events & ~READABLE:
            self._on_rare_events(events)
        # What connection_made has scheduled runs before data comes, as with asyncio's own
        # transports: a task that starts TLS shall get the first byte of it.
        self._loop.call_soon(self._start)

    def _start(self) -> None:
        """Begin to read, unless the protocol has said when. Everybody has had the chance to write
        something that travels with the first ACK."""
        conn = self._conn
        if self._starting:
            self._starting = self._paused = False
            if conn.readable or self._eof_read:
                conn.signal(READABLE | EOF if self._eof_read else READABLE)
        conn.acknowledge()
        if (conn.announced or conn.queued) and not self._driver.closed:
            self._driver.wake_up()

    # -- news from the connection ---------------------------------------------------------------

    @override
    def on_events(self, events: int) -> None:
        if events & READABLE:
            self._read()
        if events == READABLE:
            return
        if not self._later and self._fed_in != self._driver.turn:
            self._on_rare_events(events)
            return
        # asyncio's own transports read once in a turn of the loop: whom the data has woken runs
        # before the protocol hears what came right behind it.
        if not self._later:
            self._loop.call_soon(self._on_later, context=self.context)
        self._later |= events
        if events & CLOSED and self._conn.reason not in _BY_US:
            self._closing = True  # so that nobody begins something on it meanwhile

    @override
    def on_message(self, text: bytes) -> bool:
        if self._paused or self._closing or self._buffered:
            return False
        self._fed_in = self._driver.turn
        try:
            self._protocol.data_received(text)  # type: ignore[attr-defined]
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "protocol.data_received() call failed.")
        return True

    def _on_later(self) -> None:
        events = self._later
        self._later = 0
        self._on_rare_events(events)

    def _on_rare_events(self, events: int) -> None:
        if self._lost:
            return
        if events & ADVICE:
            trouble = self._conn.soft_error
            log.event("warning", "trouble", self.sockname, self.peername, condition=trouble)
            if self._closing and is_abandoned(self._conn):
                self._connection_lost(None)
                return
        if events & WRITABLE:
            self._maybe_resume_protocol()
        if events & EOF:
            self._eof_read = True
            self._maybe_eof_received()
        if events & FINISHED and not self._lost:
            self._over = True
            if self._closing:
                self._connection_lost(None)
        if events & CLOSED and not self._lost:
            self._on_closed()

    def _on_closed(self) -> None:
        reason = self._conn.reason
        if reason is Reason.CLOSED or (reason is Reason.ABORTED and self._closing):
            # In order: without close() the transport stays, as with a kernel's socket.
            self._over = True
            if self._closing:
                self._connection_lost(None)
        else:
            self._closing = True
            self._connection_lost(errors.from_reason(reason, self.peername))

    def _read(self) -> None:
        """Hand over what is readable, until the protocol pauses or closes."""
        conn = self._conn
        while not self._paused and not self._closing:
            if self._buffered:
                if not conn.readable:
                    break
                self._fed_in = self._driver.turn
                self._fill_buffer()
                continue
            data = conn.read(_MAX_READ)
            if not data:
                break
            self.on_message(data)  # which refuses nothing here
            if len(data) < _MAX_READ:
                break

    def _fill_buffer(self) -> None:
        """Hand over as much as the protocol's own buffer takes."""
        protocol = cast("asyncio.BufferedProtocol", self._protocol)
        try:
            buffer = memoryview(protocol.get_buffer(-1))
            if not buffer.nbytes:
                raise RuntimeError("get_buffer() returned an empty buffer")
            count = self._conn.read_into(buffer if buffer.itemsize == 1 else buffer.cast("B"))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "protocol.get_buffer() call failed.")
            return
        try:
            protocol.buffer_updated(count)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "protocol.buffer_updated() call failed.")

    def _maybe_eof_received(self) -> None:
        if self._eof_received or self._paused or self._closing or self._conn.readable:
            return
        self._eof_received = True
        try:
            keep_open = self._protocol.eof_received()  # type: ignore[attr-defined]
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "protocol.eof_received() call failed.")
            return
        if not keep_open:
            self.close()

    # -- reading --------------------------------------------------------------------------------

    @override
    def is_reading(self) -> bool:
        """Whether data is being received: neither paused nor closing."""
        return not self._closing and (self._starting or not self._paused)

    @override
    def pause_reading(self) -> None:
        """Give the protocol no more data. The receive window closes when the buffer is full."""
        if self.is_reading():
            self._paused = True
            self._starting = False

    @override
    def resume_reading(self) -> None:
        """Give the protocol data again, from the next turn of the loop on."""
        if self.is_reading() or self._closing:
            return
        self._paused = False
        if not self._resuming and (self._conn.readable or self._eof_read):
            self._resuming = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._resuming = False
        if self._paused or self._closing:
            return
        self.context.run(self._go_on)
        self._driver.written(self._conn)  # the window has opened

    def _go_on(self) -> None:
        if self._eof_read and not self._conn.readable:
            self._maybe_eof_received()
            return
        self._read()
        if self._eof_read:
            # In a turn of its own, as in `on_events`.
            self._loop.call_soon(self._maybe_eof_received, context=self.context)

    # -- writing --------------------------------------------------------------------------------

    @override
    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Queue `data`; never blocks. Bytes objects are kept, anything mutable is copied.

        Raises TypeError for what is not bytes-like, RuntimeError after write_eof() and while a
        file is sent. On a lost connection nothing is raised: connection_lost says what happened.
        """
        if type(data) is not bytes:
            data = self._as_bytes(data)
        if self._barred:
            raise RuntimeError(f"Cannot call write() {self._barred}")
        if (self._closing and not self._fin_held) or self._over:
            self._on_lost_write(data)
            return
        if data:
            conn = self._conn
            try:
                buffered = conn.write(data)
            except ConnectionError:
                # It is over, and the news of that are on their way to us.
                self._on_lost_write(data)
                return
            driver = self._driver
            if not driver.running:
                driver.written(conn)
            if buffered > self._high_water:
                self._maybe_pause_protocol()

    @override
    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        """Queue each item, which may be any buffer; what is small goes out together."""
        chunks = [
            data if type(data) is bytes else self._as_bytes(memoryview(data))
            for data in list_of_data
        ]
        if self._barred:
            raise RuntimeError(f"Cannot call writelines() {self._barred}")
        if (self._closing and not self._fin_held) or self._over:
            self._on_lost_write(b"".join(chunks))
            return
        conn = self._conn
        try:
            for data in chunks:
                if data:
                    conn.write(data)
        except ConnectionError:
            self._on_lost_write(b"".join(chunks))
            return
        self._driver.written(conn)
        self._maybe_pause_protocol()

    @staticmethod
    def _as_bytes(data: object) -> bytes | bytearray | memoryview[Any]:
        if isinstance(data, memoryview):
            # len() of a view counts items and must count bytes.
            return data if data.format == "B" and data.c_contiguous else data.tobytes()
        if isinstance(data, bytes | bytearray):
            return data
        name = type(data).__name__
        raise TypeError(f"data argument must be a bytes-like object, not {name!r}")

    def _on_lost_write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if data:
            if self._lost_writes >= _LOG_LOST_WRITES:
                asyncio_logger.warning("socket.send() raised exception.")
            self._lost_writes += 1

    @override
    def write_eof(self) -> None:
        """Say that nothing more will be written: FIN after what is written. Reading goes on."""
        if self._closing or self._eof_written:
            return
        if self._barred:
            raise RuntimeError(f"Cannot call write_eof() {self._barred}")
        self._eof_written = True
        self._barred = "after write_eof()"
        if not self._over:
            self._conn.write_eof()
            self._driver.written(self._conn)

    def sending(self) -> Callable[[bytes], None]:
        """Nothing but a file is written from now until `sent`. Gives what writes pieces of it.

        Raises RuntimeError if a file is being sent already, or after write_eof().
        """
        if self._barred:
            raise RuntimeError(f"Cannot call sendfile() {self._barred}")
        self._barred = "while sendfile is in progress"
        return self._write_piece

    def sent(self) -> None:
        """The file is sent."""
        self._barred = ""

    def _write_piece(self, data: bytes) -> None:
        barred, self._barred = self._barred, ""
        self.write(data)
        self._barred = barred

    @override
    def can_write_eof(self) -> bool:
        """True: this is TCP."""
        return True

    @override
    def get_write_buffer_size(self) -> int:
        """Bytes written that TCP has not taken as its own yet."""
        return max(0, self._conn.buffered - self._conn.sndbuf)

    @override
    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The water marks, (low, high), in bytes."""
        return self._low_water, self._high_water

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the water marks, in bytes; by default 64 KiB and a quarter of the high one."""
        super().set_write_buffer_limits(high, low)
        if self._protocol_paused and not self._lost:
            self._watch()

    def _maybe_pause_protocol(self) -> None:
        paused = self._protocol_paused
        super()._maybe_pause_protocol()  # type: ignore[misc]
        if self._protocol_paused and not paused and not self._lost:
            self._watch()

    def _maybe_resume_protocol(self) -> None:
        super()._maybe_resume_protocol()  # type: ignore[misc]
        if self._lost:
            return
        if self._protocol_paused:
            if self._conn.writable_level < 0:
                self._watch()  # else it was paused anew, and is watched
        elif self._fin_held:
            self._fin_held = False
            self._conn.write_eof()
            self._driver.written(self._conn)

    def _watch(self) -> None:
        self._conn.watch_writable(self._low_water)
        if not self._driver.running:
            self._driver.soon()  # the level may be reached already
