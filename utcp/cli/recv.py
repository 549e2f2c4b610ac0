"""`utcp recv`: wait for one file from `utcp send`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import hashlib
import os
import ssl
import stat
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from rich.progress import Progress

import utcp
from utcp.cli import files, tls
from utcp.cli.arguments import add_server, listening_line
from utcp.cli.errors import ToolError, say, which
from utcp.cli.loops import run as run_loop
from utcp.cli.worker import Worker
from utcp.config import Config

HELP: Final = (
    "Wait for one file from utcp send. What a broken connection leaves, in NAME.part, is kept, "
    "and the rest waited for."
)

_CONFIG: Final = Config(keepalive=True, keepalive_idle=10, keepalive_interval=5, keepalive_count=4)
"""A sender that has vanished is noticed after half a minute."""
_FAREWELL: Final = 5.0
"""Seconds for the sender to read why it is turned away."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_server(parser)
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="file or directory [the sender's name, here]"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    tls.add_server_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError, ToolError or OSError if anything is wrong."""
    context = tls.server_tls(arguments)
    with files.progress() as bar:
        receiver = Receiver(arguments.output or Path(), arguments.force, bar)
        receiver.check()
        result = run_loop(arguments.loop, receiver.serve(arguments.bind, arguments.port, context))
    print(
        files.summary(
            result.path,
            result.size,
            receiver.received,
            result.seconds,
            result.sha256,
            as_json=arguments.json,
        )
    )


class StorageError(ToolError):
    """The file cannot be stored: waiting for another connection would not help."""


@dataclass(frozen=True, slots=True)
class Result:
    """A file that has arrived whole."""

    path: Path
    size: int
    seconds: float  # since the first byte was asked for
    sha256: str


class Receiver:
    """Takes one file, in one connection after another."""

    def __init__(self, output: Path, force: bool, bar: Progress) -> None:
        self.received = 0  # bytes, over all connections
        self._output = output
        self._force = force
        self._bar = bar
        self._task = bar.add_task("waiting", total=None)
        self._disk = Worker()
        self._since = 0.0
        self._key: tuple[str, int] | None = None  # name and size of what is being received
        self._writer: asyncio.StreamWriter | None = None  # of the connection it comes by
        self._free = asyncio.Lock()
        self._done: asyncio.Future[Result] | None = None

    def check(self) -> None:
        """Raise ToolError if what will come could not be stored, as far as that is known."""
        if not self._output.is_dir():
            self._target("")
            if not self._output.parent.is_dir():
                raise ToolError(f"{self._output.parent}: no such directory")

    async def serve(self, bind: str | None, port: int, context: ssl.SSLContext | None) -> Result:
        """Wait for a file. Raises ToolError if it cannot be stored, OSError."""
        self._done = asyncio.get_running_loop().create_future()
        server = await utcp.start_server(
            self._accept, bind, port, limit=files.LIMIT, ssl=context, config=_CONFIG
        )
        try:
            print(listening_line(server.sockets), file=sys.stderr, flush=True)
            return await self._done
        finally:
            # The sender has had its answer, or it is to hear that there will be none.
            server.close()
            server.abort_clients()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._done is not None
        try:
            result = await self._converse(reader, writer)
            with suppress(OSError):  # the file is there, whether the sender hears of it or not
                await _finish(writer)
        except (OSError, EOFError) as error:
            writer.transport.abort()
            if not self._done.done():
                self._say(f"{which(error)}; waiting for another connection")
        except StorageError as error:
            await _turn_away(reader, writer, str(error))
            if not self._done.done():
                self._done.set_exception(ToolError(str(error)))
        except ToolError as error:
            await _turn_away(reader, writer, str(error))
            self._say(f"a sender was turned away: {error}")
        except BaseException:
            writer.transport.abort()
            raise
        else:
            if not self._done.done():
                self._done.set_result(result)

    def _say(self, text: str) -> None:
        say(f"utcp recv: {text}")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Result:
        assert self._done is not None
        hello = await files.receive_message(reader)
        if files.field(hello, "utcp-file", int) != files.VERSION:
            raise ToolError("another version of the protocol")
        key = (files.field(hello, "name", str), files.field(hello, "size", int))
        if self._writer is not None and key == self._key:
            # The sender has noticed earlier than we that its connection is broken.
            self._writer.transport.abort()
        elif self._writer is not None or self._done.done():
            raise ToolError("busy with another file")
        async with self._free:
            self._key, self._writer = key, writer
            try:
                return await self._receive(reader, writer, self._target(key[0]), key[1])
            finally:
                self._writer = None

    def _target(self, name: str) -> Path:
        """Where to store what the sender calls `name`. Raises ToolError."""
        path = self._output
        if path.is_dir():
            # The name comes from the network: nothing of it may lead elsewhere.
            plain = name.replace("\\", "/").rpartition("/")[2]
            if plain in {"", ".", ".."} or any(map(_is_control, plain)) or not _encodable(plain):
                raise ToolError("that is no name for a file")
            path /= plain
        with _storing(path):
            taken = path.exists()
        if taken and not path.is_file():
            raise StorageError(f"{path}: not a regular file")
        if taken and not self._force:
            raise StorageError(f"{path} is there already (--force replaces it)")
        return path

    async def _receive(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path, size: int
    ) -> Result:
        part = path.with_name(path.name + ".part")
        self._since = self._since or time.monotonic()
        self._bar.update(self._task, description=files.printable(path.name), total=size)
        with _storing(part):
            file = await self._disk.call(_open, part)
        with file:
            with _storing(part):
                have = os.fstat(file.fileno()).st_size
                digest = await self._disk.call(files.hash_start, file, have)
            files.send_message(writer, have=have, sha256=digest.hexdigest())
            answer = await files.receive_message(reader)
            if files.field(answer, "from", int) != have:
                with _storing(part):
                    await self._disk.call(file.truncate, 0)
                    digest = await self._disk.call(files.hash_start, file, 0)
                have = 0
            if have > size:
                raise ToolError("the peer is no utcp send or recv")
            await self._store(reader, file, part, digest, have, size)
            expected = files.field(await files.receive_message(reader), "sha256", str)
            with _storing(part):
                await self._disk.call(_sync, file)
        if digest.hexdigest() != expected:
            part.unlink(missing_ok=True)
            raise StorageError(f"{path}: the digest is wrong")
        with _storing(path):
            part.replace(path)
        files.send_message(writer, done=True)
        return Result(path, size, time.monotonic() - self._since, expected)

    async def _store(
        self,
        reader: asyncio.StreamReader,
        file: BinaryIO,
        part: Path,
        digest: hashlib._Hash,
        position: int,
        size: int,
    ) -> None:
        def take(data: bytes) -> None:
            file.write(data)
            digest.update(data)

        self._bar.update(self._task, completed=position)
        while position < size:
            data = await reader.read(min(files.CHUNK, size - position))
            if not data:
                raise EOFError
            with _storing(part):
                await self._disk.call(take, data)
            position += len(data)
            self.received += len(data)
            self._bar.update(self._task, completed=position)


def _is_control(char: str) -> bool:
    """Whether it does something to a terminal, or to what reads names line by line."""
    return unicodedata.category(char) in {"Cc", "Zl", "Zp"}


def _encodable(name: str) -> bool:
    """Whether the file system's encoding has bytes for it, as not for half a surrogate pair."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    """What the disk refuses is no broken connection."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _open(path: Path) -> BinaryIO:
    """Open or make the file, unless there is something else, or a link that leads elsewhere."""

    def opener(name: str, flags: int) -> int:
        number = os.open(name, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(errno.EINVAL, "not a regular file")
        return number

    return open(path, "r+b", opener=opener)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


async def _finish(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def _turn_away(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reason: str
) -> None:
    """Tell the sender why. Closing with unread data would reset the connection and lose that."""
    with suppress(OSError):
        async with asyncio.timeout(_FAREWELL):
            files.send_message(writer, error=reason)
            while await reader.read(files.CHUNK):
                pass
            await _finish(writer)
    writer.transport.abort()
