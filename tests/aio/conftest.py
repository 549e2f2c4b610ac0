"""The same tests on kernel TCP and on utcp, on asyncio's loop and on uvloop; nothing may leak."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

import utcp
from utcp.aio.hub import Hub

FAST = utcp.Config(msl=0.02, delayed_ack=0.005)
"""TIME-WAIT is over soon, so that a test can see that nothing is left."""

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


class Net:
    """asyncio's four calls, on kernel TCP or on utcp."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def is_utcp(self) -> bool:
        return self.name == "utcp"

    def skip_on_uvloops_own(self) -> None:
        """Where uvloop's transports over kernel TCP do not do as asyncio's documentation says."""
        if not self.is_utcp and not isinstance(
            asyncio.get_running_loop(), asyncio.SelectorEventLoop
        ):
            pytest.skip("uvloop's own transports do this otherwise")

    async def create_server(self, factory: Any, host: Any = "127.0.0.1", **kwds: Any) -> Any:
        kwds.setdefault("port", 0)
        if self.is_utcp:
            return await utcp.create_server(factory, host, **{"config": FAST} | kwds)
        return await asyncio.get_running_loop().create_server(factory, host, **kwds)

    async def create_connection(self, factory: Any, addr: Any, **kwds: Any) -> Any:
        host, port = addr[:2]
        if self.is_utcp:
            return await utcp.create_connection(factory, host, port, **{"config": FAST} | kwds)
        return await asyncio.get_running_loop().create_connection(factory, host, port, **kwds)

    async def start_server(self, handle: Any, host: Any = "127.0.0.1", **kwds: Any) -> Any:
        kwds.setdefault("port", 0)
        if self.is_utcp:
            return await utcp.start_server(handle, host, **{"config": FAST} | kwds)
        return await asyncio.start_server(handle, host, **kwds)

    async def open_connection(
        self, addr: Any, **kwds: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = addr[:2]
        if self.is_utcp:
            return await utcp.open_connection(host, port, **{"config": FAST} | kwds)
        return await asyncio.open_connection(host, port, **kwds)

    @asynccontextmanager
    async def serving(self, factory: Any, **kwds: Any) -> AsyncIterator[Any]:
        """A server for a protocol; gives its address."""
        server = await self.create_server(factory, **kwds)
        try:
            yield server.sockets[0].getsockname()
        finally:
            server.close()
            await server.wait_closed()

    @asynccontextmanager
    async def handling(self, handle: Any, **kwds: Any) -> AsyncIterator[Any]:
        """A server for a stream handler; gives its address."""
        server = await self.start_server(handle, **kwds)
        try:
            yield server.sockets[0].getsockname()
        finally:
            server.close()
            await server.wait_closed()


def skip_where_interrupts_end_the_loop() -> None:
    """For tests of what a callback leaves behind that lets KeyboardInterrupt or SystemExit out."""
    if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        pytest.skip("uvloop ends its loop in its own way")


@pytest.fixture(params=["tcp", "utcp"])
def net(request: pytest.FixtureRequest) -> Net:
    return Net(request.param)


@pytest.fixture
def tcp_over_udp() -> Net:
    return Net("utcp")


@pytest.fixture(autouse=True)
async def nothing_leaks() -> AsyncIterator[None]:
    """After each test: no task, no timer, no driver, no descriptor that was not there before."""
    before = open_descriptors()
    yield
    loop = asyncio.get_running_loop()
    await quiet(loop)
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    if len(open_descriptors()) > len(before):
        gc.collect()
    await until(lambda: len(open_descriptors()) <= len(before))
    assert not [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()]


def open_descriptors() -> set[str]:
    """The sockets that this process holds open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


async def quiet(loop: asyncio.AbstractEventLoop) -> None:
    """Wait until every socket of utcp in this loop has been closed."""
    hub = Hub.of(loop)
    async with asyncio.timeout(5):
        while hub.drivers:
            hub._news = loop.create_future()
            await hub._news
    hub._news = None


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something has come about; a test that waits in vain times out."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is about plain state
            await asyncio.sleep(0)


@contextmanager
def caught(loop: asyncio.AbstractEventLoop) -> Iterator[list[dict[str, Any]]]:
    """Collect what goes to the loop's exception handler."""
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    try:
        yield contexts
    finally:
        loop.set_exception_handler(None)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, and close when the peer does."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


class Recorder(asyncio.Protocol):
    """Writes down every callback."""

    def __init__(self, keep_open: bool = False) -> None:
        self.calls: list[str] = []
        self.received = bytearray()
        self.keep_open = keep_open
        self.transport: Any = None
        self.exc: BaseException | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        if self.calls[-1] != "data":
            self.calls.append("data")
        self.received += data

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.calls.append("lost")
        self.exc = exc
        self.lost.set_result(None)
