"""A connection: sequence numbers, a window, what waits to be sent. It is its own transport."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct
from time import monotonic_ns
from typing import Any, Final

from benchmarks.bare import wire
from benchmarks.bare.wire import CONTROL, FIN, HEADERS, MASK32, RST, SCALE, SYN, UNUSUAL

UDP_SEGMENT: Final = 103
MESSAGE: Final = 1200
"""Bytes up to which it is expected that the application answers: the ACK waits for that."""

_HIGH: Final = 64 << 10
_LOW: Final = _HIGH // 4
_MAX_BURST: Final = 65_000
_MAX_SEGMENTS: Final = 64
_MS: Final = 1_000_000
_PATIENCE: Final = 30  # ticks in which nothing is acknowledged
_STRIDE: Final = Struct("@H")


class Connection(asyncio.Transport):
    """One end."""

    __slots__ = (
        "_acknowledged",
        "_addr",
        "_ancillary",
        "_at",
        "_burst",
        "_echo",
        "_eof",
        "_flight",
        "_mss",
        "_next",
        "_on_over",
        "_over",
        "_paused",
        "_pending",
        "_protocol",
        "_queue",
        "_queued",
        "_reading",
        "_received",
        "_seen",
        "_sent_fin",
        "_sock",
        "_stale",
        "_taken",
        "_told",
        "_una",
        "_window",
        "_wnd",
        "_write_eof",
        "closing",
    )

    def __init__(
        self,
        sock: socket.socket,
        addr: tuple[str, int] | None,
        mss: int,
        window: int,
        on_over: Callable[[], None],
    ) -> None:
        """On `sock`, to `addr`; None if the socket is connected. `on_over`: nothing is missing."""
        super().__init__()
        self.closing = False
        self._sock = sock
        self._addr = addr
        self._on_over = on_over
        self._protocol: Any = None
        self._mss = mss
        self._burst = max(1, min(_MAX_SEGMENTS, _MAX_BURST // (mss + HEADERS)))
        self._ancillary = ((socket.IPPROTO_UDP, UDP_SEGMENT, _STRIDE.pack(mss + HEADERS)),)
        self._next = self._una = self._seen = monotonic_ns() & MASK32
        self._flight = self._stale = 0
        self._received = self._acknowledged = self._echo = 0
        self._window = window  # what we have room for
        self._wnd = 0  # what the peer has room for
        self._queue: deque[bytes] = deque()
        self._at = 0  # of the first in the queue, so much is sent
        self._queued = 0
        self._paused = self._write_eof = self._sent_fin = False
        self._taken: list[bytes | memoryview] = []
        self._pending: list[bytes] = []
        self._reading = True
        self._eof = self._over = self._told = False

    # -- what arrives ---------------------------------------------------------------------------

    def on_segment(self, buf: memoryview, length: int) -> None:
        """A segment by itself."""
        word, seq, ack_word, stamps = wire.unpack(buf)
        ack = ack_word >> 32
        acked = ack - self._una & MASK32
        if acked > self._flight or seq != self._received or word & UNUSUAL:
            self._on_unusual(word)
            return
        self._echo = stamps >> 32
        self._wnd = (word & 0xFFFF) << SCALE
        self._flight -= acked
        self._una = ack
        size = length - HEADERS
        if size:
            self._received = seq + size & MASK32
            self._taken.append(buf[HEADERS:length])
        if word & CONTROL:
            self.deliver()
            self._on_fin()
        if self._queue:
            self._push()
        if self._eof:
            self._see_whether_over()

    def _on_unusual(self, word: int) -> None:
        if not word & RST:
            raise ValueError("not the next segment")
        self._give_up(ConnectionResetError("the other end has given up"))

    def on_train(self, buf: memoryview, length: int, stride: int) -> None:
        """Many at once, which differ in sequence number and payload only."""
        word, seq, ack_word, stamps = wire.unpack(buf)
        ack = ack_word >> 32
        acked = ack - self._una & MASK32
        if acked > self._flight or seq != self._received or word & CONTROL:
            raise ValueError("not the next segments")
        data = wire.unpack_train(buf, length, stride)
        self._echo = stamps >> 32
        self._wnd = (word & 0xFFFF) << SCALE
        self._flight -= acked
        self._una = ack
        self._received = seq + len(data) & MASK32
        self._taken.append(data)
        if self._queue:
            self._push()

    def acknowledge(self) -> None:
        """Say what has been received, if nothing that left has said it."""
        if self._acknowledged != self._received:
            self._header_only(0)

    def deliver(self) -> None:
        """Hand over what has been taken out of one wake-up's datagrams."""
        if not self._taken:
            return
        data = b"".join(self._taken)
        self._taken.clear()
        if self._reading and not self._pending:
            self._protocol.data_received(data)
        else:
            self._pending.append(data)
            self._window -= len(data)

    # -- the handshake --------------------------------------------------------------------------

    def connect(self) -> None:
        """Send a SYN."""
        self._control(SYN)

    def accept(self, buf: memoryview) -> None:
        """Answer a SYN."""
        self._note(buf)
        self._control(SYN)

    def answered(self, buf: memoryview, protocol: asyncio.BaseProtocol) -> None:
        """The other's SYN, or the acknowledgment of ours, has arrived: it is open."""
        word, _, ack_word, _ = wire.unpack(buf)
        if ack_word >> 32 != self._next:
            raise ValueError("another acknowledgment than that of the SYN")
        self._flight = 0
        self._una = self._next
        if word & SYN:
            self._note(buf)
        self._protocol = protocol
        protocol.connection_made(self)
        self.acknowledge()

    def _note(self, buf: memoryview) -> None:
        word, seq, _, stamps = wire.unpack(buf)
        self._received = seq + 1 & MASK32
        self._echo = stamps >> 32
        self._wnd = (word & 0xFFFF) << SCALE

    # -- the end --------------------------------------------------------------------------------

    def _on_fin(self) -> None:
        self._received = self._received + 1 & MASK32
        self._eof = True
        if self._reading and not self._pending:
            self._deliver_eof()
        self.acknowledge()

    def _deliver_eof(self) -> None:
        if not self._protocol.eof_received():
            self.close()

    def _see_whether_over(self) -> None:
        if self._sent_fin and not self._flight:
            if not self._over:
                self._over = True
                self._on_over()
            if self.closing:
                self._tell(None)

    def _tell(self, exc: Exception | None) -> None:
        if not self._told:
            self._told = True
            self._protocol.connection_lost(exc)

    def tick(self) -> None:
        """Ten times a second: acknowledge what is not, see whether the peer does."""
        if self._protocol is not None:
            self.acknowledge()
        self._stale = self._stale + 1 if self._flight and self._una == self._seen else 0
        self._seen = self._una
        if self._stale > _PATIENCE:
            self._header_only(RST)
            self._give_up(ConnectionError("a datagram was lost, and this is no TCP"))

    def _give_up(self, exc: Exception | None) -> None:
        self._over = self.closing = True
        self._on_over()
        if self._protocol is not None:
            self._tell(exc)

    # -- what leaves ----------------------------------------------------------------------------

    def _header(self, flags: int, count: int) -> bytes:
        """The header of a segment with so many sequence numbers, which are then taken."""
        seq = self._next
        self._next = seq + count & MASK32
        self._flight += count
        self._acknowledged = received = self._received
        return wire.header(flags, self._window, seq, received, monotonic_ns() // _MS, self._echo)

    def _header_only(self, flags: int) -> None:
        data = self._header(flags, 0)
        if self._addr is None:
            self._sock.send(data)
        else:
            self._sock.sendto(data, self._addr)

    def _control(self, flag: int) -> None:
        """A SYN or FIN, which takes a sequence number."""
        self._header_only(flag)
        self._next = self._next + 1 & MASK32
        self._flight += 1

    def _push(self) -> None:
        """Send what is queued, as far as the window allows."""
        mss, burst = self._mss, self._burst
        while self._queued:
            room = self._wnd - self._flight
            count = min(burst, self._queued // mss)
            if (count * mss or self._queued) > room:
                count = room // mss
                if self._flight or not count:
                    break  # until there is room for a whole burst
            if count > 1:
                payloads = self._take(count)
                train = wire.pack(self._header(0, count * mss), payloads)
                self._transmit([train], self._ancillary)
            else:
                size = min(mss, self._queued)
                self._transmit([self._header(0, size), *self._views(size)], ())
        if self._paused and self._queued <= _LOW:
            self._paused = False
            self._protocol.resume_writing()
        if self._write_eof and not self._queued and not self._sent_fin:
            self._sent_fin = True
            self._control(FIN)

    def _transmit(self, pieces: Sequence[Any], ancillary: Any) -> None:
        if self._addr is None:
            self._sock.sendmsg(pieces, ancillary)
        else:
            self._sock.sendmsg(pieces, ancillary, 0, self._addr)

    def _take(self, count: int) -> list[bytes]:
        """The next `count` payloads of the queue, which has as many."""
        size = self._mss
        taken: list[bytes] = []
        while (left := count - len(taken)) > 0:
            fit = min(left, (len(self._queue[0]) - self._at) // size)
            if fit:
                taken += wire.payloads(fit, size).unpack_from(self._queue[0], self._at)
                self._advance(fit * size)
            else:
                taken.append(b"".join(self._views(size)))
        return taken

    def _views(self, size: int) -> list[memoryview]:
        """The next `size` bytes of the queue, which has as many."""
        views = []
        while size > 0:
            view = memoryview(self._queue[0])[self._at : self._at + size]
            size -= len(view)
            views.append(view)
            self._advance(len(view))
        return views

    def _advance(self, size: int) -> None:
        """So many bytes of the first in the queue are sent."""
        self._queued -= size
        self._at += size
        if self._at == len(self._queue[0]):
            self._queue.popleft()
            self._at = 0

    # -- asyncio's calls ------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        size = len(data)
        if size <= MESSAGE and not self._queued and size <= self._wnd - self._flight:
            data = self._header(0, size) + data
            if self._addr is None:
                self._sock.send(data)
            else:
                self._sock.sendto(data, self._addr)
        elif not self._over:
            self._queue.append(data)
            self._queued += size
            self._push()
            if self._queued > _HIGH and not self._paused:
                self._paused = True
                self._protocol.pause_writing()

    def write_eof(self) -> None:
        if not self._write_eof:
            self._write_eof = True
            self._push()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.write_eof()
            if self._over:
                asyncio.get_running_loop().call_soon(self._tell, None)

    def abort(self) -> None:
        if not self._over:
            self._header_only(RST)
            self._give_up(None)

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        if self._pending and self._reading:
            data = b"".join(self._pending)
            self._pending.clear()
            self._window += len(data)
            self._protocol.data_received(data)
            if not self._over:
                self._header_only(0)  # the window has opened
        if self._eof and self._reading:
            self._deliver_eof()
