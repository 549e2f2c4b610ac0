"""What `utcp send` and `utcp recv` say to each other, and the file work that both do.

    sender      {"utcp-file": 1, "name": "x.iso", "size": 700}
    receiver    {"have": 300, "sha256": "..."}     of the part that an earlier attempt has left
    sender      {"from": 300}                      or 0, if its file does not begin like that
    sender      400 bytes
    sender      {"sha256": "..."}                  of the whole file
    receiver    {"done": true}                     or, instead of any answer, {"error": "..."}

Messages are JSON, one to a line. No direction is ended early, so this works over TLS too.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from utcp.cli.errors import ToolError
from utcp.cli.objects import parse_object
from utcp.cli.sizes import format_amount

__all__ = [
    "CHUNK",
    "LIMIT",
    "VERSION",
    "field",
    "hash_start",
    "printable",
    "progress",
    "receive_message",
    "send_message",
    "summary",
]

_T = TypeVar("_T")

CHUNK: Final = 1 << 20
LIMIT: Final = 4 << 20
"""Bytes that a StreamReader keeps before its peer is slowed down; also of a message."""
VERSION: Final = 1


def send_message(writer: asyncio.StreamWriter, **fields: object) -> None:
    """Queue one message."""
    writer.write(json.dumps(fields).encode() + b"\n")


async def receive_message(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next message. Raises ToolError if the peer reports an error or does not speak this."""
    try:
        message = parse_object(await reader.readuntil(b"\n"))
    except (ValueError, asyncio.LimitOverrunError):
        raise ToolError("the peer is no utcp send or recv") from None
    if "error" in message:
        raise ToolError(f"the peer says: {printable(str(message['error']))[:500]}")
    return message


def printable(text: str) -> str:
    """For a terminal: without what it would obey, or could not show."""
    return "".join(char if char.isprintable() else "?" for char in text)


def field(message: dict[str, Any], name: str, kind: type[_T]) -> _T:
    """The field `name` of a message. Raises ToolError if it is not there or not of that kind."""
    value: Any = message.get(name)
    # For Python, true is an int too.
    if type(value) is not kind or (isinstance(value, int) and value < 0):
        raise ToolError("the peer is no utcp send or recv")
    return value


def hash_start(file: BinaryIO, size: int) -> hashlib._Hash:
    """The digest of the first `size` bytes; the file is left standing there."""
    digest = hashlib.sha256()
    file.seek(0)
    while data := file.read(min(CHUNK, size)):
        digest.update(data)
        size -= len(data)
    return digest


def progress() -> Progress:
    """A bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def summary(
    path: Path, size: int, moved: int, seconds: float, digest: str, *, as_json: bool
) -> str:
    """The result of a copy: `moved` of its `size` bytes went over the network this time."""
    if as_json:
        result = {
            "file": str(path),
            "size": size,
            "transferred": moved,
            "seconds": round(seconds, 6),
            "sha256": digest,
        }
        return json.dumps(result)
    rate = format_amount(moved / seconds) if seconds > 0 else "0 B"
    resumed = f" ({size - moved:,} were there already)" if moved < size else ""
    if moved > size:
        resumed = f" ({moved - size:,} of them twice)"
    return f"{path}: {size:,} bytes{resumed} in {seconds:.2f} s, {rate}/s\nSHA-256 {digest}"
