"""`utcp echo` and `utcp bench`."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import utcp
from utcp.cli.bench import next_tick
from utcp.cli.benchwire import PREFIX

if TYPE_CHECKING:
    from tests.cli.conftest import Start, Tool

LOCAL: Final = "127.0.0.1"


@pytest.fixture
def echo(tool: Start) -> Tool:
    return tool("echo", 0, "--bind", LOCAL)


@pytest.mark.parametrize("question", [b"", b"hello", b"\x00", b"\x00utcp-bench/2 {}\n"])
async def test_echo(echo: Tool, question: bytes) -> None:
    """Also of what begins like an order of bench."""
    reader, writer = await utcp.open_connection(LOCAL, echo.port)
    writer.write(question)
    writer.write_eof()
    assert await reader.read() == question
    writer.close()
    await writer.wait_closed()


def test_much_is_echoed(tool: Start, echo: Tool) -> None:
    question = os.urandom(5_000_003)
    client = tool("connect", LOCAL, echo.port)
    assert client.end(question) == 0
    assert client.out == question
    echo.says(r"closed after .* 5 MB in, 5 MB out, .* segments resent")
    assert echo.signal(signal.SIGINT) == 130


@pytest.mark.parametrize("mode", ["up", "down", "echo"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_bench(tool: Start, echo: Tool, mode: str, loop: str) -> None:
    bench = tool("bench", LOCAL, echo.port, "--mode", mode, "--loop", loop, "--json",
                 "--seconds", "0.5", "--interval", "0.2", "--streams", "2")  # fmt: skip
    assert bench.end() == 0
    result = json.loads(bench.out)
    assert result["mode"] == mode
    assert result["streams"] == 2
    assert result["bytes"] > 0
    assert result["seconds"] >= 0.5
    assert result["cwnd"] > 0
    assert result["rtt_us"] > 0
    assert result["retransmitted"] >= 0
    assert len(result["intervals"]) >= 3
    echo.says("closed after")
    assert echo.signal(signal.SIGTERM) == 0


@pytest.mark.parametrize("mode", ["up", "down", "echo"])
def test_tls(tool: Start, certificate: Path, mode: str) -> None:
    echo = tool("echo", 0, "--bind", LOCAL, "--tls", "--cert", certificate)
    port = echo.port
    bench = tool("bench", "localhost", port, "--mode", mode, "--size", "5M", "--streams", 2,
                 "--tls", "--cafile", certificate, "--json")  # fmt: skip
    assert bench.end() == 0
    assert json.loads(bench.out)["bytes"] == 10 << 20
    echo.says("closed after")
    wary = tool("bench", "localhost", port, "--tls")
    assert wary.end() == 1
    assert len(wary.errors) == 1
    assert "bad certificate" in wary.errors[0]
    echo.says("TLS failed")
    assert echo.signal(signal.SIGTERM) == 0


@pytest.mark.parametrize("mode", ["up", "down", "echo"])
def test_size(tool: Start, echo: Tool, mode: str) -> None:
    bench = tool("bench", LOCAL, echo.port, "--size", "3MB", "--mode", mode)
    assert bench.end() == 0
    lines = bench.out.decode().splitlines()
    assert lines[0].split() == ["seconds", "carried", "rate", "RTT", "cwnd", "resent"]
    assert re.fullmatch(rf"{mode}: 3 MB in .* RTT .* ms, \S+ segments resent", lines[-1]) or (
        mode == "echo" and lines[-1].startswith("echo: 3 MB in ")
    )


@pytest.mark.parametrize(
    ("elapsed", "tick"), [(0.0, 0.2), (0.199999, 0.4), (0.2, 0.4), (0.2001, 0.4), (2.85, 3.0)]
)
def test_rows_are_never_empty(elapsed: float, tick: float) -> None:
    """Whoever comes too late for some rows makes one of them; too early by a hair is in time."""
    assert next_tick(elapsed, 0.2) == pytest.approx(tick)


def test_live_table(tool: Start, echo: Tool) -> None:
    """On a terminal."""
    master, slave = pty.openpty()
    bench = tool("bench", LOCAL, echo.port, "--seconds", "0.5", "--interval", "0.1", stdout=slave)
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 1 << 16):
            shown += data
    except OSError:  # Linux says EIO when the other side is closed
        pass
    os.close(master)
    assert bench.end() == 0
    assert b"\x1b[" in shown
    assert b"cwnd" in shown
    assert b"bit/s" in shown


async def test_bench_with_a_stranger(tool: Start) -> None:
    """An echo server that knows nothing of bench."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async with await utcp.start_server(answer, LOCAL, 0) as server:
        port = server.sockets[0].getsockname()[1]
        for mode in ("up", "down"):
            bench = tool("bench", LOCAL, port, "--size", "3MB", "--mode", mode, "--timeout", "1",
                         "--seconds", "1")  # fmt: skip
            assert await asyncio.to_thread(bench.end) == 1
            assert len(bench.errors) == 1
            assert "not utcp echo" in bench.errors[0]


@pytest.mark.parametrize(
    "order",
    [
        b"[" * 50_000,
        b"7",
        b'{"mode": "down", "seconds": 1, "size": 1e400}',
        b'{"mode": "down", "seconds": 1' + b"0" * 400 + b', "size": 1}',
        b'{"mode": "down", "seconds": NaN, "size": 1}',
    ],
    ids=lambda order: order[-30:].decode(),
)
async def test_orders_that_make_no_sense(echo: Tool, order: bytes) -> None:
    port = await asyncio.to_thread(lambda: echo.port)
    reader, writer = await utcp.open_connection(LOCAL, port)
    writer.write(PREFIX + order + b"\n")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert await asyncio.to_thread(echo.signal, signal.SIGTERM) == 0  # and no traceback


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end(tool: Start, echo: Tool, number: int) -> None:
    bench = tool("bench", LOCAL, echo.port, "--seconds", "60", "--interval", "0.1")
    while bench.out.count(b"\n") < 3:
        assert bench.process.poll() is None
    assert bench.signal(number) == 128 + number
    assert not bench.errors
    echo.says("connection reset by peer")
    assert echo.signal(number) == 0


def test_ctrl_c(tool: Start, echo: Tool) -> None:
    bench = tool("bench", LOCAL, echo.port, "--seconds", "60", "--interval", "0.1")
    while bench.out.count(b"\n") < 3:
        assert bench.process.poll() is None
    assert bench.signal(signal.SIGINT) == 130
    assert bench.errors == ["interrupted"]
    echo.says("connection reset by peer")
    assert echo.signal(signal.SIGINT) == 130
