"""UDP sockets, the connections on them, and the one timer of all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Any, Final

from benchmarks.bare.connection import MESSAGE, Connection
from benchmarks.bare.wire import HEADERS, SYN, unpack

Factory = Callable[[], asyncio.BaseProtocol]
Address = tuple[str, int]

UDP_GRO: Final = 104
# As many datagrams are taken in one wake-up.
_BUFFERS: Final = tuple(memoryview(bytearray(1 << 16)) for _ in range(4))
_ANCILLARY_SPACE: Final = 256
_WANTED: Final = 4 << 20  # bytes of the socket's receive buffer
_WINDOW: Final = 2 << 20  # bytes at most
_LARGEST: Final = 65_000 - HEADERS
_TICK: Final = 0.1
_INT: Final = Struct("=i")


class Watch:
    """Looks at all connections of a process ten times a second."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        """Look at this one, too."""
        self.connections.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for connection in list(self.connections):
            connection.tick()
        if self.connections:
            self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)


class Port:
    """A socket that is read when there is something to read."""

    def __init__(self, watch: Watch, sock: socket.socket, segment: int) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WANTED)
        allowed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.sock = sock
        self.watch = watch
        self.mss = segment or _LARGEST
        # The kernel charges a burst with up to twice its size, and nothing here is sent again.
        self.window = min(_WINDOW, allowed // 3)
        self.connections: dict[Any, Connection] = {}
        self._seen: list[Any] = []
        self._stride = 0
        asyncio.get_running_loop().add_reader(sock.fileno(), self._on_readable)

    def on_stranger(self, addr: Address, buf: memoryview) -> None:
        """What is in the buffer comes from nobody we know."""
        raise NotImplementedError

    def _on_readable(self) -> None:
        received = None
        for buf in _BUFFERS:
            try:
                length, ancillary, _, addr = self.sock.recvmsg_into((buf,), _ANCILLARY_SPACE)
            except OSError:
                break  # nothing is there, or the other end has gone
            if ancillary != self._seen:
                self._read_ancillary(ancillary)
            connection = self.connections.get(addr)
            if connection is None:
                self.on_stranger(addr, buf)
                connection = self.connections.get(addr)
                if connection is None or length == HEADERS:
                    continue
            if length <= MESSAGE:
                # The answer is on its way already, and seldom is there more.
                connection.on_segment(buf, length)
                connection.deliver()
                break
            if connection is not received:
                if received is not None:
                    received.deliver()
                    received.acknowledge()
                received = connection
            if length > self._stride > 0:
                connection.on_train(buf, length, self._stride)
            else:
                connection.on_segment(buf, length)
        if received is not None:
            received.deliver()
            received.acknowledge()

    def _read_ancillary(self, ancillary: list[Any]) -> None:
        self._seen = ancillary
        self._stride = 0
        for _, kind, value in ancillary:
            if kind == UDP_GRO:
                self._stride = _INT.unpack(value)[0]


class ServerPort(Port):
    """Where a server listens."""

    def __init__(self, watch: Watch, sock: socket.socket, segment: int, factory: Factory) -> None:
        super().__init__(watch, sock, segment)
        self._factory = factory
        self._opening: dict[Address, Connection] = {}

    def on_stranger(self, addr: Address, buf: memoryview) -> None:
        if unpack(buf)[0] & SYN:
            over = partial(self._over, addr)
            connection = Connection(self.sock, addr, self.mss, self.window, over)
            self._opening[addr] = connection
            connection.accept(buf)
        elif (found := self._opening.pop(addr, None)) is not None:
            self.connections[addr] = found
            self.watch.add(found)
            found.answered(buf, self._factory())

    def _over(self, addr: Address) -> None:
        self.watch.connections.discard(self.connections.pop(addr))


class ClientPort(Port):
    """For one connection after the other to the same server."""

    def __init__(self, watch: Watch, addr: Address, segment: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(addr)
        super().__init__(watch, sock, segment)
        self._addr = addr

    async def connect(self, factory: Factory, on_over: Callable[[], None]) -> None:
        """Open a connection; `on_over` when the next one may be opened."""
        self._opened = asyncio.get_running_loop().create_future()
        self._factory = factory
        self._on_over = on_over
        self._opening = Connection(self.sock, None, self.mss, self.window, self._over)
        self.watch.add(self._opening)
        self._opening.connect()
        await self._opened

    def on_stranger(self, addr: Address, buf: memoryview) -> None:
        if not self._opened.done():
            self.connections[addr] = self._opening
            self._opening.answered(buf, self._factory())
            self._opened.set_result(None)

    def _over(self) -> None:
        self.watch.connections.discard(self._opening)
        self.connections.clear()
        if not self._opened.done():
            self._opened.set_exception(ConnectionError("a datagram was lost, and this is no TCP"))
        self._on_over()
