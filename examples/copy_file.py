"""Copy one file from here to there, with progress.

    python examples/copy_file.py receive --port 7008 copy.iso
    python examples/copy_file.py send --host 192.0.2.7 --port 7008 original.iso

The sender says first how long the file is and sends its SHA-256 at the end; the receiver writes
to a file beside the target, and renames it only when the digest is right and answers so.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import hashlib
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

import utcp

CHUNK: Final = 1 << 18
LENGTH: Final = struct.Struct(">Q")
COPIED: Final = b"copied\n"


async def send(path: Path, host: str, port: int) -> None:
    """Send `path`. Raises OSError if the copy is not known to be complete."""
    reader, writer = await utcp.open_connection(host, port)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file, progress() as bar:
            length = os.fstat(file.fileno()).st_size
            task = bar.add_task(f"sending {path.name}", total=length)
            writer.write(LENGTH.pack(length))
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                writer.write(chunk)
                await writer.drain()
                bar.advance(task, len(chunk))
        writer.write(digest.digest())
        writer.write_eof()
        if await reader.read() != COPIED:
            raise ConnectionError("the receiver did not get it whole")
    finally:
        writer.close()
    await writer.wait_closed()


async def receive(path: Path, host: str, port: int) -> None:
    """Wait for one sender and store what it sends as `path`."""
    arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    # Opened before anybody connects: what cannot be stored should not be sent.
    with beside(path) as (file, part):

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if arrived.done():
                    raise ConnectionError("one file is all that is taken")
                await store(reader, file)
                part.replace(path)
                writer.write(COPIED)
                writer.close()
                await writer.wait_closed()
            except (OSError, EOFError) as error:
                writer.transport.abort()
                if not arrived.done():
                    arrived.set_exception(error)
            else:
                arrived.set_result(None)

        async with await utcp.start_server(serve, host, port) as server:
            host, port = server.sockets[0].getsockname()[:2]
            print(f"waiting on {host} port {port}", flush=True)
            await arrived


@contextmanager
def beside(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file beside `path`, to be renamed to it; removed at the end if it was not."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        try:
            yield file, part
        finally:
            part.unlink(missing_ok=True)


async def store(reader: asyncio.StreamReader, file: BinaryIO) -> None:
    """Read length, bytes and digest."""
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    digest = hashlib.sha256()
    left = length
    with progress() as bar:
        task = bar.add_task("receiving", total=length)
        while left:
            chunk = await reader.read(min(CHUNK, left))
            if not chunk:
                raise EOFError(f"{left:,} of {length:,} bytes are missing")
            digest.update(chunk)
            file.write(chunk)
            left -= len(chunk)
            bar.advance(task, len(chunk))
        file.flush()
    if await reader.readexactly(digest.digest_size) != digest.digest():
        raise EOFError("the digest is wrong")


def progress() -> Progress:
    """A bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    return Progress(*columns, TransferSpeedColumn(), console=Console(stderr=True))


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Copy a file over utcp.")
    parser.add_argument("mode", choices=["send", "receive"])
    parser.add_argument("path", type=Path, help="the file to send, or the name to store it under")
    parser.add_argument("--host", default="127.0.0.1", help="[%(default)s]")
    parser.add_argument("--port", type=port, default=7008, help="[%(default)s]")
    arguments = parser.parse_args()
    work = send if arguments.mode == "send" else receive
    try:
        asyncio.run(work(arguments.path, arguments.host, arguments.port))
    except KeyboardInterrupt:
        return 130
    except (OSError, EOFError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
