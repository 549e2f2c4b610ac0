"""Socket options whose effect is more than a setting: the same on kernel TCP and on utcp."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from dataclasses import replace
from typing import Any

import pytest

from .conftest import FAST, Net, Recorder, echo

TCP = socket.IPPROTO_TCP
SOL = socket.SOL_SOCKET
RESET = struct.pack("ii", 1, 0)


def sock_of(transport: asyncio.BaseTransport) -> Any:
    return transport.get_extra_info("socket")


async def test_closing_resets_if_told_not_to_linger(net: Net) -> None:
    accepted: asyncio.Future[Recorder] = asyncio.get_running_loop().create_future()

    def accept() -> Recorder:
        accepted.set_result(Recorder())
        return accepted.result()

    async with net.serving(accept) as addr:
        transport, protocol = await net.create_connection(Recorder, addr)
        peer = await accepted
        sock = sock_of(transport)
        assert sock.getsockopt(SOL, socket.SO_LINGER, 8) == struct.pack("ii", 0, 0)
        sock.setsockopt(SOL, socket.SO_LINGER, RESET)
        assert sock.getsockopt(SOL, socket.SO_LINGER, 8) == RESET
        transport.close()
        assert transport.is_closing()
        await protocol.lost
        assert protocol.exc is None
        await peer.lost
        assert isinstance(peer.exc, ConnectionResetError)


async def test_lingering_for_some_time_is_closing_in_order(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        sock_of(writer.transport).setsockopt(SOL, socket.SO_LINGER, struct.pack("ii", 1, 5))
        writer.write(b"x" * 100_000)
        writer.write_eof()
        assert await reader.read() == b"x" * 100_000
        writer.close()
        await writer.wait_closed()


async def test_congestion_control(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        sock = sock_of(writer.transport)
        for name in (b"reno", b"cubic"):
            sock.setsockopt(TCP, socket.TCP_CONGESTION, name)
            assert sock.getsockopt(TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == name
            writer.write(bytes(300_000))
            await reader.readexactly(300_000)
        with pytest.raises(OSError, match="No such file") as info:
            sock.setsockopt(TCP, socket.TCP_CONGESTION, b"none such")
        assert info.value.errno == errno.ENOENT
        writer.close()
        await writer.wait_closed()


async def test_buffer_sizes(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        sock = sock_of(writer.transport)
        for name in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(SOL, name, 32_768)
            assert sock.getsockopt(SOL, name) in {32_768, 65_536}  # Linux doubles what it is told
            sock.setsockopt(SOL, name, 1)
            assert sock.getsockopt(SOL, name) > 1000
            sock.setsockopt(SOL, name, 32_768)
        writer.write(bytes(200_000))
        assert await reader.readexactly(200_000) == bytes(200_000)
        writer.close()
        await writer.wait_closed()


async def test_a_large_receive_buffer_for_a_peer_without_window_scaling(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    config = replace(FAST, window_scaling=False)

    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock_of(writer.transport).setsockopt(SOL, socket.SO_RCVBUF, 1 << 20)
        await echo(reader, writer)

    async with net.handling(large) as addr:
        reader, writer = await net.open_connection(addr, config=config)
        writer.write(bytes(300_000))
        assert await reader.readexactly(300_000) == bytes(300_000)
        writer.close()
        await writer.wait_closed()


async def test_a_small_send_buffer_makes_the_writer_wait_sooner(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    go = asyncio.Event()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        await reader.read()
        writer.close()

    async with net.handling(later) as addr:
        transport, protocol = await net.create_connection(Recorder, addr)
        sock_of(transport).setsockopt(SOL, socket.SO_SNDBUF, 16_384)
        transport.write(bytes(100_000))
        assert transport.get_write_buffer_size() >= 100_000 - 16_384
        go.set()
        transport.write_eof()
        await protocol.lost


async def test_quick_acknowledgments(net: Net) -> None:
    async with net.handling(echo) as addr:
        _, writer = await net.open_connection(addr)
        sock = sock_of(writer.transport)
        for value in (1, 0):
            sock.setsockopt(TCP, socket.TCP_QUICKACK, value)
            assert sock.getsockopt(TCP, socket.TCP_QUICKACK) == value
        writer.close()
        await writer.wait_closed()


async def test_values_of_the_wrong_kind(net: Net) -> None:
    async with net.handling(echo) as addr:
        _, writer = await net.open_connection(addr)
        sock = sock_of(writer.transport)
        with pytest.raises(OSError, match="Invalid argument"):
            sock.setsockopt(SOL, socket.SO_LINGER, 1)
        with pytest.raises(OSError, match="Invalid argument"):
            sock.setsockopt(TCP, socket.TCP_NODELAY, b"1")
        assert sock.family is socket.AF_INET
        assert sock.type is socket.SOCK_STREAM
        writer.close()
        await writer.wait_closed()
