"""The floor: bare segments, with a header for each in Python, and nothing else. It is no TCP.

`benchmarks.bare` says what is in it. A client's sockets are used again, one connection after the
other. It takes part in what the goals ask; where the receive buffer of the socket is small, a
thousand requests at once would not fit, and nothing is sent again.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from benchmarks.bare.port import ClientPort, ServerPort, Watch
from benchmarks.cases import PROTOCOL, Task, Way
from benchmarks.contestants import (
    HOST,
    AsyncioContestant,
    ProtocolFactory,
    StreamCallback,
    Streams,
)

_TASKS: Final = {
    "bulk/up/loopback": (PROTOCOL, Way("uvloop", "streams"), Way("asyncio", "streams")),
    "bulk/up/1448": (PROTOCOL, Way("uvloop", "streams")),
    "bulk/down/1448": (PROTOCOL,),
    "echo/64": (PROTOCOL, Way("uvloop", "streams"), Way("asyncio", "protocol")),
    "requests/1": (PROTOCOL,),
    "requests/100": (PROTOCOL,),
    "connections/churn": (PROTOCOL,),
}


class Bare(AsyncioContestant):
    name = "bare"
    title = "bare segments (no TCP)"
    encrypts = False

    def __init__(self) -> None:
        self._watch = Watch()
        self._free: defaultdict[int, list[ClientPort]] = defaultdict(list)

    def missing(self) -> str:
        return "" if sys.platform == "linux" else "UDP_SEGMENT is Linux's"

    def ways(self, task: Task) -> Sequence[Way]:
        return _TASKS.get(task.name, ())

    async def create_server(self, factory: ProtocolFactory, task: Task) -> tuple[object, int]:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((HOST, 0))
        return ServerPort(self._watch, sock, task.segment, factory), sock.getsockname()[1]

    async def create_connection(self, factory: ProtocolFactory, port: int, task: Task) -> None:
        free = self._free[port]
        client = free.pop() if free else ClientPort(self._watch, (HOST, port), task.segment)
        await client.connect(factory, lambda: free.append(client))

    async def start_server(self, callback: StreamCallback, task: Task) -> tuple[object, int]:
        def factory() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), callback)

        return await self.create_server(factory, task)

    async def open_connection(self, port: int, task: Task) -> Streams:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        await self.create_connection(lambda: protocol, port, task)
        return reader, asyncio.StreamWriter(protocol._transport, protocol, reader, loop)  # type: ignore[attr-defined]


CONTESTANT = Bare()
