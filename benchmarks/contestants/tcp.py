"""The kernel's TCP through asyncio's own calls, with its defaults."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from benchmarks.cases import Task, Way
from benchmarks.contestants import (
    HOST,
    AsyncioContestant,
    ProtocolFactory,
    StreamCallback,
    Streams,
)

_TIMESTAMPS = 12
_BACKLOG = 4096


class KernelTcp(AsyncioContestant):
    name = "tcp"
    title = "kernel TCP"
    encrypts = False

    def ways(self, task: Task) -> Sequence[Way]:
        return task.ways if task.question != "memory" else ()

    async def create_server(self, factory: ProtocolFactory, task: Task) -> tuple[object, int]:
        sock = _listening(task)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(factory, sock=sock, backlog=_BACKLOG)
        return server, sock.getsockname()[1]

    async def create_connection(self, factory: ProtocolFactory, port: int, task: Task) -> None:
        loop = asyncio.get_running_loop()
        if task.segment:
            await loop.create_connection(factory, sock=await _connected(port, task))
        else:
            await loop.create_connection(factory, HOST, port)

    async def start_server(self, callback: StreamCallback, task: Task) -> tuple[object, int]:
        sock = _listening(task)
        server = await asyncio.start_server(callback, sock=sock, backlog=_BACKLOG)
        return server, sock.getsockname()[1]

    async def open_connection(self, port: int, task: Task) -> Streams:
        if task.segment:
            return await asyncio.open_connection(sock=await _connected(port, task))
        return await asyncio.open_connection(HOST, port)


def _listening(task: Task) -> socket.socket:
    sock = _socket(task)
    sock.bind((HOST, 0))
    return sock


async def _connected(port: int, task: Task) -> socket.socket:
    sock = _socket(task)
    await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
    return sock


def _socket(task: Task) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    if task.segment:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, task.segment + _TIMESTAMPS)
    return sock


CONTESTANT = KernelTcp()
