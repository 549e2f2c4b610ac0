"""What `utcp listen` and `utcp connect` share: a connection joined to standard input and output."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from utcp.cli.errors import about
from utcp.cli.worker import Worker

__all__ = ["Streams", "converse", "streams"]

_CHUNK: Final = 1 << 18
_LIMIT: Final = 1 << 20
"""Bytes that a StreamReader keeps before its peer is slowed down."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def streams(made: Callable[[Streams], None]) -> asyncio.Protocol:
    """A protocol that gives `made` the streams of its connection, once that is made."""
    reader = asyncio.StreamReader(limit=_LIMIT)
    return asyncio.StreamReaderProtocol(reader, lambda *both: made(both))


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy standard input to the connection and the connection to standard output.

    The end of the input ends that direction only. Returns when both have ended, and the peer has
    acknowledged all; raises OSError or EOFError as soon as the connection fails, BrokenPipeError
    if nobody reads standard output, ToolError if standard input or output fails.
    """
    over = asyncio.create_task(writer.wait_closed())
    try:
        await _carry(reader, writer, over)
        writer.close()
        await over
    except BaseException:
        writer.transport.abort()
        raise
    finally:
        over.cancel()
        await asyncio.gather(over, return_exceptions=True)


async def _carry(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, over: asyncio.Task[None]
) -> None:
    """Both directions, until both have ended or the connection is `over` before that."""
    directions = (asyncio.create_task(_outward(sink)), asyncio.create_task(_inward(source)))
    try:
        while not all(task.done() for task in directions):
            waiting = [task for task in (*directions, over) if not task.done()]
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if over.done():
                raise ConnectionResetError
    finally:
        for task in directions:
            task.cancel()
        await asyncio.gather(*directions, return_exceptions=True)


async def _outward(sink: asyncio.StreamWriter) -> None:
    thread = Worker()
    while True:
        with about("standard input"):
            data = await thread.call(os.read, 0, _CHUNK)
        if not data:
            break
        sink.write(data)
        await sink.drain()
    sink.write_eof()


async def _inward(source: asyncio.StreamReader) -> None:
    thread = Worker()
    while data := await source.read(_CHUNK):
        with about("standard output"):
            await thread.call(_write_all, data)


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
