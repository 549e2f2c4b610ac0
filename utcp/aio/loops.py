"""An event loop whose connections go over utcp, for frameworks that open and serve by themselves.

A framework that calls `loop.create_connection` and `loop.create_server`, and takes no transport
from outside, needs nothing but this loop. uvicorn is given it as `--loop utcp:new_event_loop`,
anything else as `asyncio.Runner(loop_factory=utcp.new_event_loop)`. asyncio.open_connection and
asyncio.start_server use it as well.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio.sslproto import _SSLProtocolTransport
from typing import TYPE_CHECKING, Any

from utcp.aio.client import create_connection
from utcp.aio.override import override
from utcp.aio.sendfile import sendfile
from utcp.aio.server import create_server
from utcp.aio.tls import start_tls
from utcp.aio.transport import Transport
from utcp.config import Config

__all__ = ["new_event_loop"]

if TYPE_CHECKING:
    _Base = asyncio.AbstractEventLoop
else:
    _Base = object


def new_event_loop(
    base: type[asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop,
    *,
    config: Config | None = None,
) -> asyncio.AbstractEventLoop:
    """A new event loop of a subclass of `base`, with TCP connections that go over utcp.

    `base` may be `uvloop.Loop`. `config` holds for every connection. Connections and servers on
    a given stream socket (`sock=`), pipes and Unix sockets are those of `base`.
    """
    loop = type(f"Utcp{base.__name__}", (_OverUtcp, base), {"utcp_config": config})()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    return loop


class _OverUtcp(_Base):
    """The calls of an event loop that make connections."""

    utcp_config: Config | None = None

    @override
    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **kwds: Any
    ) -> Any:
        if _is_stream(kwds.get("sock")):
            return await super().create_connection(protocol_factory, host, port, **kwds)
        kwds.setdefault("config", self.utcp_config)
        return await create_connection(protocol_factory, host, port, **kwds)

    @override
    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **kwds: Any
    ) -> Any:
        if _is_stream(kwds.get("sock")):
            return await super().create_server(protocol_factory, host, port, **kwds)
        kwds.setdefault("config", self.utcp_config)
        return await create_server(protocol_factory, host, port, **kwds)

    @override
    async def start_tls(self, transport: Any, protocol: Any, sslcontext: Any, **kwds: Any) -> Any:
        # TLS of the standard library's kind is on a transport of ours, if `base` is uvloop's.
        if isinstance(transport, Transport | _SSLProtocolTransport):
            return await start_tls(transport, protocol, sslcontext, **kwds)
        return await super().start_tls(transport, protocol, sslcontext, **kwds)

    @override
    async def sendfile(
        self, transport: Any, file: Any, offset: int = 0, count: int | None = None,
        *, fallback: bool = True,
    ) -> int:  # fmt: skip
        if isinstance(transport, Transport | _SSLProtocolTransport):
            return await sendfile(transport, file, offset, count, fallback=fallback)
        return await super().sendfile(transport, file, offset, count, fallback=fallback)


def _is_stream(sock: Any) -> bool:
    return sock is not None and sock.type == socket.SOCK_STREAM
