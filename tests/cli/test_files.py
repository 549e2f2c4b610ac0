"""`utcp send` and `utcp recv`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from rich.progress import Progress

import utcp
from utcp.cli import files
from utcp.cli.errors import ToolError
from utcp.cli.recv import Receiver

if TYPE_CHECKING:
    from tests.cli.conftest import Start, Tool

LOCAL: Final = "127.0.0.1"
DEEP: Final = b"[" * 50_000 + b"\n"
"""More than Python's JSON can take."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "there" / "some file.bin"
    path.parent.mkdir()
    path.write_bytes(os.urandom(5_000_003))
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    path = tmp_path / "here"
    path.mkdir()
    return path


def receive(tool: Start, here: Path, *options: object) -> tuple[Tool, int]:
    receiver = tool("recv", 0, "--bind", LOCAL, *options, cwd=here)
    return receiver, receiver.port


@pytest.mark.parametrize("size", [0, 1, 5_000_003])
def test_copy(tool: Start, source: Path, here: Path, size: int) -> None:
    source.write_bytes(os.urandom(size))
    receiver, port = receive(tool, here)
    sender = tool("send", source, LOCAL, port)
    assert sender.end() == 0
    assert receiver.end() == 0
    copy = here / source.name
    assert copy.read_bytes() == source.read_bytes()
    assert list(here.iterdir()) == [copy]
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    for tool_out in (sender.out, receiver.out):
        assert digest.encode() in tool_out
        assert f"{size:,} bytes in".encode() in tool_out


def test_json(tool: Start, source: Path, here: Path) -> None:
    receiver, port = receive(tool, here, "--json", "--output", "copy")
    sender = tool("send", source, LOCAL, port, "--json")
    assert sender.end() == receiver.end() == 0
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    for result in (json.loads(sender.out), json.loads(receiver.out)):
        assert result["sha256"] == digest
        assert result["size"] == result["transferred"] == 5_000_003
    assert (here / "copy").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("same", [True, False])
def test_what_is_there_is_not_sent_again(tool: Start, source: Path, here: Path, same: bool) -> None:
    part = here / f"{source.name}.part"
    part.write_bytes(source.read_bytes()[:3_000_000] if same else bytes(3_000_000))
    receiver, port = receive(tool, here)
    sender = tool("send", source, LOCAL, port, "--json")
    assert sender.end() == receiver.end() == 0
    assert json.loads(sender.out)["transferred"] == (2_000_003 if same else 5_000_003)
    assert (here / source.name).read_bytes() == source.read_bytes()
    assert not part.exists()


async def test_broken_connections(tool: Start, source: Path, here: Path) -> None:
    """Between the two, something that breaks each connection after a while, but the last."""
    receiver, port = await asyncio.to_thread(receive, tool, here)
    limits = [1_000_000, 0, 2_000_000, 1 << 30]

    async def meddle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit = limits.pop(0)
        up, down = await utcp.open_connection(LOCAL, port)

        async def back() -> None:
            while data := await up.read(1 << 16):
                writer.write(data)
            writer.close()

        answers = asyncio.create_task(back())
        while limit > 0 and (data := await reader.read(1 << 16)):
            limit -= len(data)
            down.write(data)
            await down.drain()
        if limit > 0:
            down.close()
            await answers
        else:
            answers.cancel()
            down.transport.abort()
            writer.transport.abort()

    async with await utcp.start_server(meddle, LOCAL, 0) as server:
        middle = server.sockets[0].getsockname()[1]
        sender = tool("send", source, LOCAL, middle, "--json")
        assert await asyncio.to_thread(sender.end) == 0, sender.errors
        assert await asyncio.to_thread(receiver.end) == 0, receiver.errors
    assert not limits
    assert _same(here / source.name, source)
    assert len([line for line in sender.errors if "again in" in line]) == 3
    assert len([line for line in receiver.errors if "waiting for another" in line]) >= 1
    # The second megabyte and what was under way when a connection broke, but not the whole file.
    assert json.loads(sender.out)["transferred"] < 3 * 5_000_003


async def test_what_got_through_before_a_connection_broke_was_sent(
    tool: Start, source: Path
) -> None:
    """Nothing was there before: part of a piece that was under way counts, too."""
    got = 100_000
    data = source.read_bytes()  # noqa: ASYNC240
    begun = False

    async def break_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        await reader.readline()
        have = got if begun else 0
        digest = hashlib.sha256(data[:have]).hexdigest()
        files.send_message(writer, have=have, sha256=digest)
        assert json.loads(await reader.readline()) == {"from": have}
        if not begun:
            begun = True
            await reader.readexactly(got)
            writer.transport.abort()
            return
        await reader.readexactly(5_000_003 - got)
        await reader.readline()
        files.send_message(writer, done=True)
        writer.close()

    async with await utcp.start_server(break_once, LOCAL, 0) as server:
        sender = tool("send", source, *server.sockets[0].getsockname(), "--json")
        assert await asyncio.to_thread(sender.end) == 0, sender.errors
    assert json.loads(sender.out)["transferred"] >= 5_000_003


def test_nothing_is_overwritten(tool: Start, source: Path, here: Path) -> None:
    (here / source.name).write_bytes(b"precious")
    receiver, port = receive(tool, here)
    sender = tool("send", source, LOCAL, port)
    assert sender.end() == receiver.end() == 1
    assert "is there already" in sender.errors[0]
    assert "is there already" in receiver.errors[-1]
    assert (here / source.name).read_bytes() == b"precious"
    receiver, port = receive(tool, here, "--force")
    assert tool("send", source, LOCAL, port).end() == receiver.end() == 0
    assert (here / source.name).read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", ["..", "", "a\nb", "/", "\\", "x/.."])
async def test_names_lead_nowhere_else(tool: Start, here: Path, name: str) -> None:
    receiver, port = await asyncio.to_thread(receive, tool, here)
    answer = await _tell(port, {"utcp-file": 1, "name": name, "size": 1})
    assert "no name for a file" in answer
    assert await asyncio.to_thread(receiver.signal, signal.SIGINT) == 130
    assert not _names(here)


async def test_only_the_last_part_of_a_name_counts(tool: Start, here: Path) -> None:
    _, port = await asyncio.to_thread(receive, tool, here)
    answer = await _tell(port, {"utcp-file": 1, "name": "../../etc/passwd", "size": 1})
    assert json.loads(answer)["have"] == 0
    assert _names(here) == ["passwd.part"]


@pytest.mark.parametrize(
    "words", [b"GET / HTTP/1.1\r\n", b"[]\n", b"{}\n", b'{"utcp-file": 2}\n', DEEP]
)
async def test_strangers_are_turned_away(tool: Start, here: Path, words: bytes) -> None:
    receiver, port = await asyncio.to_thread(receive, tool, here)
    assert b"error" in await _say(port, words)
    assert "turned away" in (await asyncio.to_thread(receiver.says, "turned"))[0] + " away"
    assert receiver.process.poll() is None


async def test_a_stranger_who_listens(tool: Start, source: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(DEEP)
        await reader.read()
        writer.close()

    async with await utcp.start_server(answer, LOCAL, 0) as server:
        sender = tool("send", source, *server.sockets[0].getsockname())
        assert await asyncio.to_thread(sender.end) == 1
        assert sender.errors == ["utcp send: the peer is no utcp send or recv"]


async def test_a_name_that_is_too_long_is_said(tool: Start, here: Path) -> None:
    receiver, port = await asyncio.to_thread(receive, tool, here)
    answer = await _tell(port, {"utcp-file": 1, "name": "x" * 300, "size": 1})
    assert "File name too long" in answer
    assert await asyncio.to_thread(receiver.wait) == 1
    assert "File name too long" in receiver.errors[-1]


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_part_that_is_something_else(tool: Start, source: Path, here: Path, kind: str) -> None:
    """Somebody has put it there: nothing is written elsewhere, and nothing waits for a reader."""
    part = here / f"{source.name}.part"
    precious = here.parent / "precious"
    precious.write_bytes(b"precious")
    if kind == "link":
        part.symlink_to(precious)
    else:
        os.mkfifo(part)
    receiver, port = receive(tool, here)
    sender = tool("send", source, LOCAL, port)
    assert sender.end() == receiver.end() == 1
    assert precious.read_bytes() == b"precious"
    assert len(receiver.errors) == 2
    assert receiver.errors[1].startswith(f"utcp recv: {part.name}: ")
    assert not receiver.errors[1].endswith("None")


def test_an_output_that_is_something_else(tool: Start, here: Path) -> None:
    """Not even --force replaces a pipe, or a device, by a file."""
    os.mkfifo(here / "pipe")
    receiver = tool("recv", 0, "--bind", LOCAL, "--output", "pipe", "--force", cwd=here)
    assert receiver.wait() == 1
    assert receiver.errors == ["utcp recv: pipe: not a regular file"]
    assert (here / "pipe").is_fifo()
    assert _names(here) == ["pipe"]


@pytest.mark.parametrize(
    "name", ["4.16\u202fPM.png", "a\u00a0b", "\u5831\u544a\u3000.txt", "caf\udce9"]
)
def test_names_may_have_any_space(here: Path, name: str) -> None:
    with Progress(disable=True) as bar:
        assert Receiver(here, False, bar)._target(name) == here / name


@pytest.mark.parametrize("char", ["\n", "\x1b", "\x9b", "\0", "\u2028", "\u2029", "\ud800"])
def test_names_with_what_a_terminal_obeys_or_no_disk_takes(here: Path, char: str) -> None:
    with Progress(disable=True) as bar, pytest.raises(ToolError, match="no name for a file"):
        Receiver(here, False, bar)._target(f"a{char}b")


def test_a_name_that_standard_output_cannot_encode(tool: Start, here: Path) -> None:
    source = here.parent / "caf\u00e9 \udce9.txt"
    source.write_bytes(b"content")
    ascii_only = "export PYTHONIOENCODING=ascii"
    receiver = tool("recv", 0, "--bind", LOCAL, cwd=here, before=ascii_only)
    sender = tool("send", source, LOCAL, receiver.port, before=ascii_only)
    assert sender.end() == 0, sender.errors
    assert receiver.end() == 0, receiver.errors
    assert b"caf\\xe9 \\udce9.txt" in sender.out
    assert b"caf\\xe9 \\udce9.txt" in receiver.out
    assert (here / source.name).read_bytes() == b"content"


def test_what_was_sent_twice(source: Path) -> None:
    """The text says so; a negative number would not."""
    text = files.summary(source, 100, 130, 1.0, "0", as_json=False)
    assert "100 bytes (30 of them twice) in" in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end(tool: Start, here: Path, number: int) -> None:
    receiver, _ = receive(tool, here)
    assert receiver.signal(number) == 128 + number
    assert len(receiver.errors) == 1


def test_ctrl_c_while_waiting(tool: Start, here: Path) -> None:
    receiver, _ = receive(tool, here)
    assert receiver.signal(signal.SIGINT) == 130
    assert receiver.errors[1:] == ["interrupted"]


async def test_ctrl_c_keeps_the_part(tool: Start, here: Path) -> None:
    """It does not wait for the rest either, and the sender hears of it."""
    receiver, port = await asyncio.to_thread(receive, tool, here)
    reader, writer = await utcp.open_connection(LOCAL, port)
    files.send_message(writer, **{"utcp-file": 1, "name": "x", "size": 100})
    await reader.readline()
    files.send_message(writer, **{"from": 0})
    writer.write(b"x" * 50)
    await writer.drain()
    assert await asyncio.to_thread(receiver.signal, signal.SIGINT) == 130
    assert receiver.errors[1:] == ["interrupted"]
    assert _names(here) == ["x.part"]
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_who_says_nothing_holds_up_nobody(tool: Start, source: Path, here: Path) -> None:
    receiver, port = await asyncio.to_thread(receive, tool, here)
    _, writer = await utcp.open_connection(LOCAL, port)
    sender = tool("send", source, LOCAL, port)
    assert await asyncio.to_thread(sender.end) == 0
    assert await asyncio.to_thread(receiver.wait) == 0
    assert _same(here / source.name, source)
    writer.close()


@pytest.mark.parametrize("trusted", [True, False])
def test_tls(tool: Start, source: Path, here: Path, certificate: Path, trusted: bool) -> None:
    receiver, port = receive(tool, here, "--tls", "--cert", certificate)
    trust = ("--cafile", certificate) if trusted else ()
    sender = tool("send", source, "localhost", port, "--tls", *trust)
    if trusted:
        assert sender.end() == receiver.end() == 0
        assert (here / source.name).read_bytes() == source.read_bytes()
    else:
        assert sender.end() == 1
        assert len(sender.errors) == 1
        assert ": bad certificate: self-signed certificate" in sender.errors[0]
        assert receiver.signal(signal.SIGINT) == 130


def _same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def _tell(port: int, message: dict[str, object]) -> str:
    return (await _say(port, json.dumps(message).encode() + b"\n")).decode()


async def _say(port: int, words: bytes) -> bytes:
    """The first line of the answer."""
    reader, writer = await utcp.open_connection(LOCAL, port)
    writer.write(words)
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer
