"""What a wake-up costs with everything that asyncio users have around it, but no kernel.

The driver, a transport and a protocol are real. The event loop only takes note of what is asked of
it, the socket hands out what was recorded and throws away what is sent, and the clock stands still
while the driver runs.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from benchmarks.micro.pair import CLIENT, ENTROPY, SERVER, WARM, Pair, WakeUp
from utcp import Config
from utcp.aio import driver, outlet
from utcp.aio.alarm import Alarms
from utcp.aio.driver import Driver
from utcp.aio.server import Server
from utcp.core import Endpoint, Transmit
from utcp.udp import SENT, UdpSocket

if TYPE_CHECKING:
    from utcp.aio.hub import Hub


class Idle:
    """An event loop that never does anything by itself."""

    def __init__(self) -> None:
        self.readable: Callable[[], object] = int
        self.timer: Callable[[], object] = int
        self.soon: list[Callable[[], object]] = []

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        self.readable = callback

    def remove_reader(self, fd: int) -> bool:
        return True

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        self.timer = partial(callback, *args)
        return self

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        self.soon.append(partial(callback, *args))
        return self

    def cancel(self) -> None:
        """Of what `call_later` and `call_soon` returned."""

    def get_debug(self) -> bool:
        return False


class Silent:
    """What the driver needs of a UDP socket, without one."""

    def __init__(self, addr: tuple[str, int]) -> None:
        self.addr = addr
        self.sockname = SERVER
        self.peername = None
        self.family = socket.AF_INET
        self.buffer = memoryview(b"")
        self.stride = self.ecn = 0
        self.has_errors = False
        self.rcvbuf = self.sndbuf = 425_984
        self.arrivals: list[Transmit] = []
        self.bytes_out = 0

    def fileno(self) -> int:
        return 3

    def recv(self) -> int:
        if not self.arrivals:
            return -1
        burst = self.arrivals.pop()
        self.buffer = memoryview(burst.data)
        self.stride = burst.segment_size if len(burst.data) > burst.segment_size else 0
        self.ecn = burst.tos & 3
        return len(burst.data)

    def send(self, addr: object, data: bytes, segment_size: int, tos: int) -> int:
        self.bytes_out += len(data)
        return SENT

    def keep(self) -> None:
        pass

    def reuse(self) -> None:
        pass

    def errors(self) -> list[Any]:
        return []

    def path_mtu(self, addr: object) -> int:
        return 1500

    def local(self, addr: object) -> tuple[str, int]:
        return SERVER

    def remote(self, addr: object) -> tuple[str, int]:
        return self.addr

    def close(self) -> None:
        pass


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Sink(asyncio.Protocol):
    """Looks at nothing."""

    def data_received(self, data: bytes) -> None:
        pass


class Served:
    """A server's driver that goes through what the server of a recorded pair went through."""

    def __init__(self, pair: Pair, factory: Callable[[], asyncio.Protocol]) -> None:
        self._clock = SimpleNamespace(now=0)
        # No lambda, which would cost what the real one does not.
        for module in (driver, outlet):
            vars(module)["monotonic_ns"] = partial(getattr, self._clock, "now")
        self._loop = Idle()
        loop = cast("asyncio.AbstractEventLoop", self._loop)
        self._sock = Silent(CLIENT)
        endpoint = Endpoint(Config(), ENTROPY)
        sock = cast("UdpSocket", self._sock)
        hub = SimpleNamespace(loop=loop, drivers=set(), alarms=Alarms(loop), closing=False)
        self._driver = Driver(cast("Hub", hub), sock, endpoint, Config())
        self._server = Server(loop, [self._driver], factory, 100)
        self._server.listen()
        self._log = pair.server.log
        self._marks = [mark[1] for mark in pair.marks]
        self._expected = pair.server.bytes_out
        self._at = 0
        self.run(WARM)

    def run(self, turns: int) -> None:
        """Go through so many more turns."""
        start = self._marks[self._at - 1] if self._at else 0
        self._at += turns
        end = self._marks[self._at - 1]
        for event in self._log[start:end]:
            self._wake(event)
        if end == len(self._log):
            assert self._sock.bytes_out == self._expected, "the replay went another way"

    def close(self) -> None:
        """End without a warning that something was left open."""
        self._server.abort_clients()
        while self._loop.soon:
            self._loop.soon.pop(0)()

    def _wake(self, event: WakeUp) -> None:
        loop = self._loop
        self._clock.now = event.now
        # Once they have been received, they have been received: the log is gone through once.
        self._sock.arrivals = event.arrivals
        if event.arrivals:
            loop.readable()
        if event.timed:
            loop.timer()
        while loop.soon:
            loop.soon.pop(0)()


def prepare(size: int, steps: int, *, echo: bool) -> Callable[[int], None]:
    """Ready for so many messages of `size` bytes, answered or not."""
    pair = Pair(1500, echo=echo)
    pair.connect()
    for _ in range(WARM - 1 + steps):
        pair.turn(bytes(size))
    return Served(pair, Echo if echo else Sink).run
