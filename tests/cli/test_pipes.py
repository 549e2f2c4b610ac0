"""Standard output that nobody reads any more, as after `utcp ... | head`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from .conftest import Start

NOBODY_READS = 141  # as a shell shows a program that SIGPIPE has ended


@pytest.fixture
def nobody() -> Iterator[int]:
    """The writing end of a pipe that has no reading end."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


def test_help(tool: Start, nobody: int) -> None:
    process = tool("bench", "--help", stdout=nobody)
    assert process.wait() in {0, NOBODY_READS}  # argparse may have noticed, and says nothing
    assert not process.errors


def test_demo(tool: Start, nobody: int) -> None:
    process = tool("demo", "--size", "1K", stdout=nobody)
    assert process.wait() == NOBODY_READS
    assert not process.errors


def test_bench(tool: Start) -> None:
    """The reader goes in the middle of it; the server's connection ends, too."""
    server = tool("echo", 0, "--bind", "127.0.0.1")
    read, write = os.pipe()
    process = tool(
        "bench", "127.0.0.1", server.port, "--seconds", 60, "--interval", 0.05, stdout=write
    )
    os.close(write)
    with open(read, "rb") as pipe:
        assert b"seconds" in pipe.readline()
    assert process.wait() == NOBODY_READS
    assert not process.errors
    server.says("connection reset by peer after")


@pytest.mark.parametrize("reader", ["listen", "connect"])
def test_netcat(tool: Start, nobody: int, reader: str) -> None:
    """The peer learns that nobody has got its bytes."""
    outputs = {reader: {"stdout": nobody}}
    server = tool("listen", 0, "--bind", "127.0.0.1", **outputs.get("listen", {}))
    client = tool("connect", "127.0.0.1", server.port, **outputs.get("connect", {}))
    muted, peer = (server, client) if reader == "listen" else (client, server)
    peer.write(b"x" * 1000)
    assert muted.wait() == NOBODY_READS
    assert len(muted.errors) == (reader == "listen")  # that it listens, and nothing else
    assert peer.wait() == 1
    assert "connection reset by peer" in peer.errors[-1]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_from_the_beginning(tool: Start, loop: str, closed: str) -> None:
    """No socket takes the place of what is closed, and nothing else goes where bytes should."""
    server = tool("listen", 0, "--bind", "127.0.0.1", "--loop", loop)
    client = tool("connect", "127.0.0.1", server.port, "--loop", loop, redirections=closed)
    with suppress(BrokenPipeError):
        client.end_input(b"outward")
    server.end_input(b"inward")
    bad = {"<&-": "standard input", ">&-": "standard output"}
    status = client.wait()
    server.wait()
    if closed == "2>&-":
        assert (status, client.out, server.out) == (0, b"inward", b"outward")
    else:
        assert status == 1
        expected = f"utcp connect: {bad[closed]}: Bad file descriptor" if closed in bad else ""
        assert client.errors == ([expected] if expected else [])


def test_nobody_hears_errors(tool: Start) -> None:
    """They do not go to standard output instead."""
    failing = tool("connect", "127.0.0.1", 1, redirections="2>&-")
    assert failing.end() == 1
    assert failing.out == b""
