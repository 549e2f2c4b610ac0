"""What `utcp listen` and `utcp connect` share: a connection joined to standard input and output."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Final, Protocol

from utcp.cli.errors import about
from utcp.cli.tls import TlsStream
from utcp.cli.worker import Worker

__all__ = ["CHUNK", "LIMIT", "converse"]

CHUNK: Final = 1 << 18
LIMIT: Final = 1 << 20
"""Bytes that a StreamReader keeps before its peer is slowed down."""


class _Source(Protocol):
    async def read(self, limit: int, /) -> bytes: ...


class _Sink(Protocol):
    def write(self, data: bytes, /) -> None: ...
    async def drain(self) -> None: ...
    def write_eof(self) -> None: ...


async def converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    tls: TlsStream | None = None,
) -> None:
    """Copy standard input to the connection and the connection to standard output.

    With `tls` the handshake comes first. The end of the input ends that direction only.
    Returns when both have ended, and the peer has acknowledged all; raises OSError or EOFError as
    soon as the connection fails, ToolError if standard input or output does.
    """
    over = asyncio.create_task(writer.wait_closed())
    try:
        if tls is not None:
            await tls.handshake()
        await _carry(tls or reader, tls or writer, over)
        writer.close()
        await over
    except ssl.SSLError:
        writer.close()  # after the alert that tells the peer why
        raise
    except BaseException:
        writer.transport.abort()
        raise
    finally:
        over.cancel()
        await asyncio.gather(over, return_exceptions=True)


async def _carry(source: _Source, sink: _Sink, over: asyncio.Task[None]) -> None:
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


async def _outward(sink: _Sink) -> None:
    thread = Worker()
    while True:
        with about("standard input"):
            data = await thread.call(os.read, 0, CHUNK)
        if not data:
            break
        sink.write(data)
        await sink.drain()
    sink.write_eof()


async def _inward(source: _Source) -> None:
    thread = Worker()
    while data := await source.read(CHUNK):
        with about("standard output"):
            await thread.call(_write_all, data)


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
