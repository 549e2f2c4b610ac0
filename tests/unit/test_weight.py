"""An idle connection weighs little: ten thousand of them are no burden."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Final

from utcp import Config
from utcp.core import Endpoint, State

COUNT: Final = 200
MOST: Final = 5600
"""Bytes for a connection in the core, as Python counts them. What asyncio needs comes on top."""


def test_a_connection_that_has_been_used_and_is_idle() -> None:
    server = Endpoint(Config(), entropy=bytes(16))
    server.listen(backlog=2 * COUNT)
    used(server, COUNT, first=0)  # tables grow with it that are there for the others
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        used(server, COUNT, first=COUNT)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert (after - before) / COUNT < MOST


def used(server: Endpoint, count: int, first: int) -> None:
    """Open connections to `server`, send something there and back."""
    for number in range(first, first + count):
        client = Endpoint(Config(), entropy=bytes(16))
        name = f"client {number}"
        connection = client.connect(now=0, addr="server")
        connection.write(b"question")
        exchange(client, server, name)
        accepted = server.poll_ready()
        assert accepted is not None
        assert accepted.read() == b"question"
        accepted.write(b"answer")
        exchange(client, server, name)
        assert connection.read() == b"answer"
        assert server.state(name) is State.ESTABLISHED


def exchange(client: Endpoint, server: Endpoint, name: str) -> None:
    """All that the two have to say within half a second."""
    for now in range(0, 500_000_000, 50_000_000):
        for sender, sent_by, receiver in ((client, name, server), (server, "server", client)):
            sender.handle_timeout(now)
            while (burst := sender.poll_transmit(now)) is not None:
                receiver.receive(now, sent_by, burst.data, len(burst.data), burst.segment_size)
