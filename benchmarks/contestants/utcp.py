"""utcp with its defaults."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import utcp
from benchmarks.cases import Task, Way
from benchmarks.contestants import (
    HOST,
    AsyncioContestant,
    ProtocolFactory,
    StreamCallback,
    Streams,
)

_TIMESTAMPS = 12  # bytes of each segment that the MSS counts and the payload does not have


class Utcp(AsyncioContestant):
    name = "utcp"
    title = "utcp"
    encrypts = False

    def ways(self, task: Task) -> Sequence[Way]:
        return task.ways

    async def create_server(self, factory: ProtocolFactory, task: Task) -> tuple[object, int]:
        server = await utcp.create_server(
            factory, HOST, 0, config=_config(task.segment), backlog=max(100, task.connections)
        )
        return server, server.sockets[0].getsockname()[1]

    async def create_connection(self, factory: ProtocolFactory, port: int, task: Task) -> None:
        await utcp.create_connection(factory, HOST, port, config=_config(task.segment))

    async def start_server(self, callback: StreamCallback, task: Task) -> tuple[object, int]:
        server = await utcp.start_server(
            callback, HOST, 0, config=_config(task.segment), backlog=max(100, task.connections)
        )
        return server, server.sockets[0].getsockname()[1]

    async def open_connection(self, port: int, task: Task) -> Streams:
        return await utcp.open_connection(HOST, port, config=_config(task.segment))


@cache
def _config(segment: int) -> utcp.Config:
    """One for all connections, as programs have it: it is checked when it is made."""
    return utcp.Config(max_segment_size=segment + _TIMESTAMPS if segment else 0)


CONTESTANT = Utcp()
