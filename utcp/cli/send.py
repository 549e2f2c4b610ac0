"""`utcp send`: copy a file to where `utcp recv` waits, and go on after a broken connection."""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from rich.progress import Progress, TaskID

import utcp
from utcp.cli import files, tls
from utcp.cli.arguments import add_peer, connect_config, format_address, parse_count
from utcp.cli.errors import ToolError, about, say, which
from utcp.cli.loops import run as run_loop
from utcp.cli.worker import Worker
from utcp.config import Config

HELP: Final = (
    "Copy a file to where utcp recv waits. After a broken connection it goes on where it was."
)

_PATIENCE: Final = 30.0
"""Seconds without an acknowledgment after which a connection is broken."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE")
    add_peer(parser)
    parser.add_argument(
        "--retries",
        type=parse_count,
        default=10,
        metavar="N",
        help="connect again so often, without progress, after the connection broke [%(default)s]",
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    tls.add_client_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError, ToolError or OSError if anything is wrong."""
    context = tls.client_tls(arguments)
    config = connect_config(arguments.timeout, user_timeout=_PATIENCE)
    path: Path = arguments.file
    with about(str(path)):
        # A pipe would hold up open(), and has no size; a directory is what open() says best.
        if not (path.is_file() or path.is_dir()) and path.exists():
            raise ToolError(f"{path}: not a regular file")
        file = path.open("rb")
    with file, files.progress() as bar:
        size = os.fstat(file.fileno()).st_size
        task = bar.add_task(files.printable(path.name), total=size)
        sender = Sender(file, path.name, size, bar, task)
        peer = Peer(arguments.host, arguments.port, context, config)
        seconds = run_loop(arguments.loop, _send(sender, peer, arguments.retries))
    print(files.summary(path, size, sender.sent, seconds, sender.digest, as_json=arguments.json))


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to connect to, and how."""

    host: str
    port: int
    context: ssl.SSLContext | None
    config: Config


async def _send(sender: Sender, peer: Peer, retries: int) -> float:
    """Try until it is done; returns the seconds it took. Raises ToolError."""
    start = time.monotonic()
    failures = 0
    pause = _FIRST_PAUSE
    while True:
        before = sender.sent
        try:
            await sender.attempt(peer)
        except (OSError, EOFError) as error:
            if sender.sent > before:
                failures, pause = 0, _FIRST_PAUSE
            name = format_address((peer.host, peer.port))
            # Nobody there from the beginning is an error of the call, not a broken connection.
            if not sender.connected or failures == retries:
                raise ToolError(f"{name}: {which(error)}") from None
            failures += 1
            text = f"{name}: {which(error)}; again in {pause:g} s"
            say(f"utcp send: {text}")
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)
        else:
            return time.monotonic() - start


class Sender:
    """A file on its way."""

    def __init__(self, file: BinaryIO, name: str, size: int, bar: Progress, task: TaskID) -> None:
        self.connected = False
        self.sent = 0  # bytes, over all attempts
        self.digest = ""  # of the whole file, at the end
        self._file = file
        self._name = name
        self._size = size
        self._bar = bar
        self._task = task
        self._position: int | None = None  # up to where an earlier attempt has counted
        self._disk = Worker()

    async def attempt(self, peer: Peer) -> None:
        """Send what the peer lacks. Raises OSError or EOFError if the connection breaks."""
        reader, writer = await utcp.open_connection(
            peer.host,
            peer.port,
            limit=files.LIMIT,
            ssl=peer.context,
            happy_eyeballs_delay=0.25,
            config=peer.config,
        )
        self.connected = True
        try:
            files.send_message(
                writer, **{"utcp-file": files.VERSION, "name": self._name, "size": self._size}
            )
            start = await files.receive_message(reader)
            body = asyncio.create_task(self._send_rest(writer, start))
            self.digest = await _until_answered(body, reader)
        except BaseException:
            writer.transport.abort()
            raise
        writer.close()
        await writer.wait_closed()

    async def _send_rest(self, writer: asyncio.StreamWriter, start: dict[str, Any]) -> str:
        """Send what the peer does not have, then the digest of the whole file, which is returned.

        What the peer has counts only if the file begins with the same bytes.
        """
        have = files.field(start, "have", int)
        digest = await self._disk.call(files.hash_start, self._file, min(have, self._size))
        if have > self._size or digest.hexdigest() != files.field(start, "sha256", str):
            have = 0
            digest = await self._disk.call(files.hash_start, self._file, 0)
        files.send_message(writer, **{"from": have})
        self._bar.update(self._task, completed=have)
        if self._position is not None:
            # Of the piece that was under way when the connection broke, this has got through.
            self.sent += max(0, have - self._position)
        self._position = position = have
        while position < self._size:
            with about(self._name):
                data = await self._disk.call(self._read, min(files.CHUNK, self._size - position))
            if not data:
                raise ToolError(f"{self._name} has become shorter meanwhile")
            position += len(data)
            hashing = asyncio.ensure_future(self._disk.call(digest.update, data))
            writer.write(data)
            await writer.drain()
            await hashing
            self.sent += len(data)
            self._position = position
            self._bar.update(self._task, completed=position)
        files.send_message(writer, sha256=digest.hexdigest())
        return digest.hexdigest()

    def _read(self, limit: int) -> bytes:
        return self._file.read(limit)


async def _until_answered(body: asyncio.Task[str], reader: asyncio.StreamReader) -> str:
    """The result of `body`, once the peer has confirmed it. Raises ToolError if it objects."""
    answer = asyncio.create_task(files.receive_message(reader))
    try:
        await asyncio.wait((body, answer), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            # Before the end it is an objection, or no answer at all but a broken connection.
            answer.result()
        digest = await body
        files.field(await answer, "done", bool)
        return digest
    finally:
        body.cancel()
        answer.cancel()
        await asyncio.gather(body, answer, return_exceptions=True)
