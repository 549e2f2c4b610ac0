"""Streams: whatever asyncio's own do over kernel TCP, they do over utcp."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import socket
import struct
from typing import Any

import pytest

import utcp

from .conftest import Net, echo, until

MIB = 1 << 20


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


async def test_echo(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        for size in (1, 64, 1448, 1449, 70_000):
            writer.write(noise(size))
            assert await reader.readexactly(size) == noise(size)
        writer.close()
        await writer.wait_closed()


async def test_big_transfers_in_both_directions_at_once(net: Net) -> None:
    data = noise(8 * MIB)
    answer = noise(8 * MIB, seed=2)
    seen = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.write_eof()
        seen.set_result(hashlib.sha256(await reader.read()).digest())
        writer.close()
        await writer.wait_closed()

    async with net.handling(handle) as addr:
        reader, writer = await net.open_connection(addr)
        for start in range(0, len(data), 50_001):
            writer.write(data[start : start + 50_001])
            await writer.drain()
        writer.write_eof()
        assert hashlib.sha256(await reader.read()).digest() == hashlib.sha256(answer).digest()
        assert await seen == hashlib.sha256(data).digest()
        writer.close()
        await writer.wait_closed()


async def test_half_close_leaves_the_other_direction_open(net: Net) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        for word in (b"you ", b"said ", question):
            writer.write(word)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with net.handling(handle) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"hello")
        assert writer.can_write_eof()
        writer.write_eof()
        with pytest.raises(RuntimeError):
            writer.write(b"more")
        assert await reader.read() == b"you said hello"
        writer.close()
        await writer.wait_closed()


async def test_a_reader_that_does_not_read_stops_the_drain_of_the_sender(net: Net) -> None:
    read = asyncio.Event()
    total = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal total
        await read.wait()
        while data := await reader.read(MIB):
            total += len(data)
        writer.close()
        await writer.wait_closed()

    async with net.handling(handle) as addr:
        _, writer = await net.open_connection(addr)
        chunk = bytes(256 * 1024)
        sent = 0
        for _ in range(400):
            writer.write(chunk)
            sent += len(chunk)
            try:
                async with asyncio.timeout(0.3):
                    await writer.drain()
            except TimeoutError:
                break
        else:
            pytest.fail("100 MiB went to a reader that reads nothing")
        read.set()
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await until(lambda: total == sent)


async def test_each_side_learns_both_names(net: Net) -> None:
    names: dict[str, Any] = {}

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names["local"] = writer.get_extra_info("sockname")
        names["peer"] = writer.get_extra_info("peername")
        writer.close()
        await writer.wait_closed()

    async with net.handling(handle) as addr:
        reader, writer = await net.open_connection(addr)
        assert writer.get_extra_info("peername") == addr
        assert await reader.read() == b""
        assert names == {"local": addr, "peer": writer.get_extra_info("sockname")}
        assert writer.get_extra_info("nothing") is None
        assert writer.get_extra_info("nothing", 5) == 5
        writer.close()
        await writer.wait_closed()


async def test_a_server_on_all_addresses_says_which_one_was_used(net: Net) -> None:
    names = []

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names.append(writer.get_extra_info("sockname"))
        writer.close()
        await writer.wait_closed()

    async with net.handling(handle, host="0.0.0.0") as addr:
        for host in ("127.0.0.1", "127.0.0.2"):
            reader, writer = await net.open_connection((host, addr[1]))
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        assert names == [("127.0.0.1", addr[1]), ("127.0.0.2", addr[1])]


async def test_ipv6(net: Net) -> None:
    async with net.handling(echo, host="::1") as addr:
        assert len(addr) == 4
        reader, writer = await net.open_connection(addr)
        assert writer.get_extra_info("peername") == addr
        writer.write(b"six")
        assert await reader.readexactly(3) == b"six"
        writer.close()
        await writer.wait_closed()


async def test_many_connections_at_once(net: Net) -> None:
    async with net.handling(echo) as addr:

        async def talk(number: int) -> bytes:
            reader, writer = await net.open_connection(addr)
            writer.write(noise(20_000, number))
            writer.write_eof()
            data = await reader.read()
            writer.close()
            await writer.wait_closed()
            return data

        answers = await asyncio.gather(*(talk(number) for number in range(50)))
        assert answers == [noise(20_000, number) for number in range(50)]


async def test_a_handler_may_be_a_plain_function(net: Net) -> None:
    writers = []

    def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"plain")
        writer.close()
        writers.append(writer)

    async with net.handling(handle) as addr:
        reader, writer = await net.open_connection(addr)
        assert await reader.read() == b"plain"
        writer.close()
        await writer.wait_closed()
        await writers[0].wait_closed()


async def test_connecting_to_a_closed_port_is_refused_at_once(net: Net) -> None:
    async with net.handling(echo) as addr:
        pass
    with pytest.raises(ConnectionRefusedError) as info:
        async with asyncio.timeout(1):
            await net.open_connection(addr)
    assert info.value.errno


async def test_abort_resets_the_peer(net: Net) -> None:
    failure: list[BaseException] = []
    reached = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        try:
            await reader.read()
        except OSError as exc:
            failure.append(exc)
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()

    async with net.handling(handle) as addr:
        _, writer = await net.open_connection(addr)
        await reached.wait()
        if not net.is_utcp:
            # A kernel sends RST only if told so, or if something was left unread.
            option = struct.pack("ii", 1, 0)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        writer.transport.abort()
        await writer.wait_closed()
        await until(lambda: failure)
    assert isinstance(failure[0], ConnectionResetError)


async def test_writes_of_one_turn_arrive_in_order(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        for number in range(500):
            writer.write(b"%04d" % number)
        writer.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
        writer.write_eof()
        want = b"".join(b"%04d" % number for number in range(500)) + b"abc"
        assert await reader.read() == want
        writer.close()
        await writer.wait_closed()


async def test_a_buffer_may_be_changed_after_it_was_written(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        data = bytearray(b"before")
        writer.write(b"1")  # leaves at once, so that the next one waits
        writer.write(data)
        writer.write(memoryview(data))
        data[:] = b"behind"
        assert await reader.readexactly(13) == b"1beforebefore"
        writer.close()
        await writer.wait_closed()


async def test_a_limit_of_the_reader_holds(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr, limit=100)
        writer.write(bytes(1000) + b"\n")
        with pytest.raises((ValueError, asyncio.LimitOverrunError)):
            await reader.readline()
        writer.transport.abort()
        await writer.wait_closed()


async def test_a_reset_that_was_caught_is_not_reported() -> None:
    """In whichever order the garbage collector takes the protocol and its future."""
    loop = asyncio.get_running_loop()
    told: list[str] = []
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    over = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(1))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        protocol: Any = writer._protocol  # type: ignore[attr-defined]
        protocol._closed = loop.create_future()  # the old one goes before the protocol
        over.set()

    async with await utcp.start_server(handle, "127.0.0.1", 0) as server:
        reader, writer = await utcp.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        await reader.readexactly(1)
        writer.transport.abort()
        await over.wait()
        gc.collect()
    assert not told
