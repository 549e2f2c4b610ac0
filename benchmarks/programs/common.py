"""What several programs need."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.cases import Task
    from benchmarks.contestants import AsyncioContestant
    from benchmarks.side import ServerSide


async def connect(
    contestant: AsyncioContestant, protocol: asyncio.BaseProtocol, port: int, task: Task
) -> None:
    """Connect this protocol."""
    await contestant.create_connection(lambda: protocol, port, task)


async def until_over(side: ServerSide, address: Any) -> None:
    """Say where the server listens, and wait until the clients have done their work."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    side.listening(address, lambda: loop.call_soon_threadsafe(over.set))
    await over.wait()
