"""open_connection and start_server: asyncio's reader, which copies less here, and its writer, whose
start_tls works on every loop."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl as stdlib_ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from utcp.aio.client import create_connection
from utcp.aio.override import override
from utcp.aio.reader import StreamReader
from utcp.aio.server import Server, create_server
from utcp.aio.tls import start_tls
from utcp.config import Config

__all__ = ["StreamWriter", "open_connection", "start_server"]

_LIMIT: Final = 2**16
_ClientConnected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


class _StreamReaderProtocol(asyncio.StreamReaderProtocol):
    """asyncio's, which keeps the garbage collector from reporting an end that nobody waited for,
    but only if it is the first to go: with what caught the error it is in a cycle."""

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        closed: asyncio.Future[None] = self._closed  # type: ignore[attr-defined]
        if closed.done() and not closed.cancelled():
            closed.exception()


class StreamWriter(asyncio.StreamWriter):
    """asyncio's writer; only `start_tls` differs, in that it works on uvloop too."""

    @override
    async def start_tls(
        self,
        sslcontext: stdlib_ssl.SSLContext,
        *,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        """Upgrade the connection to TLS; as asyncio's, in the role that the connection had.

        Raises ssl.SSLError, ConnectionError or whatever else ended the handshake. Then, and when
        it is cancelled, the connection is over.
        """
        streams: Any = self  # their parts have no public names
        protocol = streams._protocol
        await self.drain()
        secured = await start_tls(
            self.transport,  # type: ignore[arg-type]
            protocol,
            sslcontext,
            server_side=protocol._client_connected_cb is not None,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
        )
        streams._transport = protocol._transport = secured
        protocol._over_ssl = True  # eof_received returns False then, as TLS wants it
        if streams._reader is not None:
            streams._reader._transport = secured  # it pauses and resumes reading


async def open_connection(
    host: str | None = None,
    port: int | str | None = None,
    *,
    limit: int = _LIMIT,
    ssl: Any = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: socket.socket | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
    config: Config | None = None,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, and return a reader and a writer; as asyncio.open_connection.

    `limit` is the reader's buffer limit in bytes; everything else is `create_connection`'s.
    """
    loop = asyncio.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = _StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(
        lambda: protocol,
        host,
        port,
        ssl=ssl,
        family=family,
        proto=proto,
        flags=flags,
        sock=sock,
        local_addr=local_addr,
        server_hostname=server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
        happy_eyeballs_delay=happy_eyeballs_delay,
        interleave=interleave,
        all_errors=all_errors,
        config=config,
    )
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: _ClientConnected,
    host: str | Iterable[str] | None = None,
    port: int | str | None = None,
    *,
    limit: int = _LIMIT,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: Any = None,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    keep_alive: bool | None = None,
    start_serving: bool = True,
    config: Config | None = None,
) -> Server:
    """Serve, with a reader and a writer for each connection; as asyncio.start_server.

    `client_connected_cb` is a function or a coroutine function, which then runs in a task of its
    own. `limit` is the readers' buffer limit in bytes; everything else is `create_server`'s.
    """
    loop = asyncio.get_running_loop()
    handlers: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio's protocol has made the writer itself; ours differs in a method only.
        writer.__class__ = StreamWriter
        handling = client_connected_cb(reader, writer)
        if asyncio.iscoroutine(handling):
            task = loop.create_task(handling)
            handlers.add(task)
            task.add_done_callback(handlers.discard)
            task.add_done_callback(functools.partial(_handled, loop, writer))

    def factory() -> asyncio.StreamReaderProtocol:
        reader = StreamReader(limit=limit, loop=loop)
        return _StreamReaderProtocol(reader, connected, loop=loop)

    server = await create_server(
        factory,
        host,
        port,
        family=family,
        flags=flags,
        sock=sock,
        backlog=backlog,
        ssl=ssl,
        reuse_address=reuse_address,
        reuse_port=reuse_port,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
        keep_alive=keep_alive,
        start_serving=start_serving,
        config=config,
    )
    server.handlers = handlers
    return server


def _handled(
    loop: asyncio.AbstractEventLoop, writer: asyncio.StreamWriter, task: asyncio.Task[None]
) -> None:
    """A handler has ended. If it failed, say so; in that case and if it was cancelled, close.

    As asyncio since Python 3.12. That of Python 3.11 reports each cancelled handler as an error.
    """
    if task.cancelled():
        writer.close()
        return
    exc = task.exception()
    if exc is not None:
        loop.call_exception_handler(
            {
                "message": "Unhandled exception in client_connected_cb",
                "exception": exc,
                "transport": writer.transport,
            }
        )
        writer.close()
