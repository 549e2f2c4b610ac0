"""The hub: one per event loop, it keeps the sockets that outlive their transports.

A connection that its application has closed still has a FIN handshake to finish, and then
TIME-WAIT. Here its driver waits for that, as a small thing in a pool: no transport, no task, and
nothing that keeps the loop running. From the pool

- connecting to the same peer again takes a socket whose TIME-WAIT may be cut short (RFC 6191), so
  that thousands of short connections need a handful of descriptors;
- a server that binds an address again takes the closed server's socket;
- the oldest goes when there are too many.

When the loop ends (`asyncio.run`, `uvloop.run`, `asyncio.Runner` call shutdown_asyncgens then)
the hub waits, a second at most for the handlers that it has cancelled, and at most `Config.linger`
for what was written to be acknowledged, and closes every socket. An asynchronous generator that the
loop knows is the only hook into that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import weakref
from collections.abc import AsyncGenerator, Hashable
from itertools import islice
from time import monotonic_ns
from typing import Any, Final

from utcp.aio.alarm import Alarms
from utcp.aio.driver import Driver
from utcp.aio.owner import unfinished
from utcp.config import Config
from utcp.core import Endpoint
from utcp.udp import UdpSocket

__all__ = ["Hub"]

# Lingering sockets of clients to keep; and how many while peers do not close their side.
_POOL: Final = 64
_POOL_MOST: Final = 256
# Lingering sockets to one peer that are asked whether they can be used again.
_TRIES: Final = 8
# Seconds that the end of the loop waits for a peer's FIN when all of ours is acknowledged: a peer
# that closes in answer shall not find the socket gone.
_PEER_FIN: Final = 1.0
# Seconds that the end of the loop waits for handlers that it has cancelled.
_HANDLERS: Final = 1.0
# One for the process: a port that is used again goes on with the numbers of its last user.
_SECRET: Final = os.urandom(32)

_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]


class Hub:
    """Every driver of one event loop. Get it with `Hub.of`."""

    __slots__ = (
        "__weakref__",
        "_generator",
        "_news",
        "_pool",
        "_servers",
        "alarms",
        "closing",
        "drivers",
        "loop",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.drivers: set[Driver] = set()
        self.alarms = Alarms(loop)
        self.closing = False
        self._pool: dict[Driver, Hashable] = {}  # lingering clients, oldest first, and their keys
        self._servers: dict[Hashable, Driver] = {}
        self._news: asyncio.Future[None] | None = None
        self._generator = self._until_shutdown()
        # Runs to the first yield without waiting for anything, which makes it known to the loop.
        with contextlib.suppress(StopIteration):
            self._generator.asend(None).send(None)

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop) -> Hub:
        """The hub of the running loop."""
        with _lock:  # every thread may run a loop
            hub = _hubs.get(loop)
            if hub is None:
                for other in [old for old in _hubs if old.is_closed()]:
                    _hubs.pop(other).drop()
                _hubs[loop] = hub = Hub(loop)
        return hub

    # -- drivers --------------------------------------------------------------------------------

    def open(self, sock: UdpSocket, config: Config) -> Driver:
        """A driver for `sock`, which it owns from now on."""
        try:
            path_mtu = sock.path_mtu(sock.peername) if sock.peername is not None else 1500
            endpoint = Endpoint(
                config,
                _SECRET,
                local=sock.sockname,
                ipv6=sock.family == socket.AF_INET6,
                path_mtu=path_mtu,
                host_of=sock.host,
            )
            # The kernel reports twice the size and charges each datagram its bookkeeping.
            endpoint.burst_capacity = sock.rcvbuf // 2
            endpoint.await_data = True
            endpoint.max_burst_bytes = sock.max_burst_bytes
            endpoint.max_burst_segments = sock.max_burst_segments
            return Driver(self, sock, endpoint, config)
        except BaseException:
            sock.close()
            raise

    def remove(self, driver: Driver) -> None:
        """Forget a driver that is closed."""
        self.drivers.discard(driver)
        self._pool.pop(driver, None)
        key = _name(driver.sockname)
        if self._servers.get(key) is driver:
            del self._servers[key]
        self.progress()

    # -- lingering clients ----------------------------------------------------------------------

    def linger(self, driver: Driver) -> None:
        """Keep a driver that nobody owns until its connections and TIME-WAIT records are over."""
        if driver.client_key is None or driver in self._pool:
            return
        self._pool[driver] = driver.client_key
        if len(self._pool) > _POOL:
            # Not all of them: of many whose peers are silent none can go, and each comes here.
            self.evict(hard=len(self._pool) > _POOL_MOST, among=_POOL)

    def evict(self, *, hard: bool, among: int | None = None) -> bool:
        """Close the oldest lingering socket, and say whether there was one; only so many of the
        oldest are looked at.

        With `hard` also one whose peer has not closed yet, else only one in TIME-WAIT.
        """
        oldest = list(islice(self._pool, among))
        for driver in oldest:
            if not driver.endpoint.connections():
                driver.give_up()
                return True
        if not hard:
            return False
        for driver in oldest:
            if not unfinished(driver.endpoint)[0]:
                driver.give_up()
                return True
        return False

    def take(self, key: Hashable) -> Driver | None:
        """A lingering driver that may connect to the same peer again (RFC 6191), or None."""
        tries = 0
        for driver, its_key in self._pool.items():
            if its_key == key:
                peer = driver.sock.peername
                if driver.endpoint.can_reuse(monotonic_ns(), peer):
                    del self._pool[driver]
                    driver.loose = False
                    return driver
                tries += 1
                if tries == _TRIES:
                    break
        return None

    # -- servers --------------------------------------------------------------------------------

    def add_server(self, driver: Driver) -> None:
        """Remember which address a server's driver is bound to."""
        self._servers[_name(driver.sockname)] = driver

    def adopt(self, sockname: Any, config: Config) -> Driver | None:
        """The driver that a closed server has left bound to `sockname`, if it can serve again."""
        driver = self._servers.get(_name(sockname))
        if driver is None or driver.server is not None:
            return None
        if driver.config == config:
            driver.loose = False
            return driver
        if not driver.endpoint.connections():
            driver.close()  # only TIME-WAIT records: the new settings get a new socket
        return None

    # -- the end of the loop --------------------------------------------------------------------

    async def _until_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._shut_down()

    async def _shut_down(self) -> None:
        """Let written data get out, for a bounded time, then close every socket."""
        loop = self.loop
        self.closing = True
        start = loop.time()
        try:
            servers = [driver.server for driver in self.drivers if driver.server is not None]
            handlers = [task for server in servers for task in server.handlers]
            for driver in list(self.drivers):
                driver.shut_down()
            if handlers:
                # The loop has cancelled every task before this: they have come in since.
                for task in handlers:
                    task.cancel()
                await asyncio.wait(handlers, timeout=_HANDLERS)
            while (until := self._wait_until(start)) > loop.time():
                self._news = loop.create_future()
                timer = loop.call_at(until, self.progress)
                try:
                    await self._news
                finally:
                    timer.cancel()
        finally:
            for driver in list(self.drivers):
                driver.give_up()
            with _lock:
                _hubs.pop(loop, None)

    def _wait_until(self, start: float) -> float:
        """The time until which it is worth waiting, in the loop's seconds."""
        until = 0.0
        for driver in self.drivers:
            ours, theirs = unfinished(driver.endpoint)
            if ours:
                until = max(until, start + driver.config.linger)
            elif theirs:
                until = max(until, start + min(driver.config.linger, _PEER_FIN))
        return until

    def progress(self) -> None:
        """Something has ended: look again whether all has."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def drop(self) -> None:
        """Close the sockets of a loop that was closed without shutdown_asyncgens."""
        for driver in self.drivers:
            driver.closed = True
            driver.sock.close()
        self.drivers.clear()


_hubs = weakref.WeakKeyDictionary()
_lock: Final = threading.Lock()


def _name(sockname: Any) -> Hashable:
    # Host, port and scope; flow information names no address.
    return (sockname[0], sockname[1], *sockname[3:])
