"""The two contestants behind the same four calls, so that nothing else differs."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final

import utcp

HOST: Final = "127.0.0.1"

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
StreamCallback = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Contestant(ABC):
    """A way to open connections whose MSS is at most `mss` (0: as the path allows)."""

    def __init__(self, mss: int) -> None:
        self.mss = mss

    @abstractmethod
    async def create_server(self, factory: ProtocolFactory) -> asyncio.AbstractServer: ...

    @abstractmethod
    async def create_connection(self, factory: ProtocolFactory, port: int) -> None: ...

    @abstractmethod
    async def start_server(self, callback: StreamCallback) -> asyncio.AbstractServer: ...

    @abstractmethod
    async def open_connection(self, port: int) -> Streams: ...


class Utcp(Contestant):
    """utcp with its defaults."""

    def __init__(self, mss: int) -> None:
        super().__init__(mss)
        self.config = utcp.Config(max_segment_size=mss)

    async def create_server(self, factory: ProtocolFactory) -> asyncio.AbstractServer:
        return await utcp.create_server(factory, HOST, 0, config=self.config)

    async def create_connection(self, factory: ProtocolFactory, port: int) -> None:
        await utcp.create_connection(factory, HOST, port, config=self.config)

    async def start_server(self, callback: StreamCallback) -> asyncio.AbstractServer:
        return await utcp.start_server(callback, HOST, 0, config=self.config)

    async def open_connection(self, port: int) -> Streams:
        return await utcp.open_connection(HOST, port, config=self.config)


class KernelTcp(Contestant):
    """The kernel's TCP through asyncio's own calls, with its defaults."""

    async def create_server(self, factory: ProtocolFactory) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        return await loop.create_server(factory, sock=self._listening())

    async def create_connection(self, factory: ProtocolFactory, port: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(factory, sock=await self._connected(port))

    async def start_server(self, callback: StreamCallback) -> asyncio.AbstractServer:
        return await asyncio.start_server(callback, sock=self._listening())

    async def open_connection(self, port: int) -> Streams:
        return await asyncio.open_connection(sock=await self._connected(port))

    def _socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if self.mss:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, self.mss)
        return sock

    def _listening(self) -> socket.socket:
        sock = self._socket()
        sock.bind((HOST, 0))
        return sock

    async def _connected(self, port: int) -> socket.socket:
        sock = self._socket()
        await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
        return sock


def contestant(name: str, mss: int) -> Contestant:
    """The contestant called `name`."""
    return Utcp(mss) if name == "utcp" else KernelTcp(mss)


def port_of(server: asyncio.AbstractServer) -> int:
    """The port that a server of either kind listens on."""
    port: int = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    return port
