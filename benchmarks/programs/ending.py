"""The end of a server's work, as its event loop sees it."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.side import ServerSide


async def until_over(side: ServerSide, address: Any) -> None:
    """Say where the server listens, and wait until the clients have done their work."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    side.listening(address, lambda: loop.call_soon_threadsafe(over.set))
    await over.wait()
