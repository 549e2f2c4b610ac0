"""The main attacks again, over real UDP sockets, against a server that runs on asyncio."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import utcp
from tests.attack.foe import ACK, FIN, PSH, RST, SYN
from utcp.testing import SegmentView, encode_segment

CONFIG = utcp.Config(msl=0.02, delayed_ack=0.005)


class Wire:
    """A UDP socket, and whoever makes up segments on it. Numbers are relative, as for `Foe`."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.connect(server)
        self.iss = 0

    async def send(self, flags: int, seq: int, ack: int = 0, data: bytes = b"") -> None:
        segment = encode_segment(flags, seq, ack + self.iss, 65_535, [], data)
        await asyncio.get_running_loop().sock_sendall(self.sock, segment)

    async def receive(self) -> SegmentView:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65_536)
        return SegmentView(data)

    async def open(self) -> None:
        await self.send(SYN, 0)
        self.iss = (await self.receive()).seq32
        await self.send(ACK, 1, 1)

    async def bytes_back(self, end: int) -> bytes:
        """What the server sends, without gaps, up to the relative number `end`."""
        got = bytearray()
        while len(got) < end - 1:
            segment = await self.receive()
            at = segment.seq32 - self.iss - 1
            if at <= len(got) and segment.payload:
                got[at:] = segment.payload
        return bytes(got)


@asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[str, int]]:
    """Sends back what comes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await utcp.start_server(handle, "127.0.0.1", 0, config=CONFIG)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await server.wait_closed()


async def test_guesses_and_rewrites_change_nothing() -> None:
    rng = random.Random(5)
    async with echo_server() as addr:
        wire = Wire(addr)
        with wire.sock:
            await wire.open()
            await wire.send(PSH | ACK, 4, 1, b"DEF")
            for _ in range(300):
                guess = rng.randrange(100, 1 << 32)
                await wire.send(rng.choice((RST, RST | ACK, SYN, SYN | ACK)), guess, 1)
                await wire.send(PSH | ACK, guess, 1 << 30, b"injected")
            await wire.send(PSH | ACK, 4, 1, b"xxx")
            await wire.send(PSH | ACK, 1, 1, b"ABCxxx")
            assert await wire.bytes_back(7) == b"ABCDEF"
            await wire.send(RST, 7)


async def test_thousands_of_holes_do_not_keep_others_waiting() -> None:
    async with echo_server() as addr:
        wire = Wire(addr)
        with wire.sock:
            await wire.open()
            for n in range(5000):
                await wire.send(PSH | ACK, 2 * n + 2, 1, b"x")
                if n % 500 == 0:
                    reader, writer = await utcp.open_connection(*addr, config=CONFIG)
                    writer.write(b"honest")
                    assert await reader.readexactly(6) == b"honest"
                    writer.close()
                    await writer.wait_closed()
            await wire.send(RST, 1)


async def test_strays_are_answered_with_less_and_no_more_than_the_limit() -> None:
    async with echo_server() as addr:
        wire = Wire(addr)
        with wire.sock:
            for n in range(1000):
                await wire.send(FIN | ACK, n, 77, b"stray")
            # Whoever comes after them is served; by then the strays have been dealt with.
            _, writer = await utcp.open_connection(*addr, config=CONFIG)
            counters = writer.get_extra_info("counters")
            assert counters.connections_opened == 1
            writer.close()
            await writer.wait_closed()
            sizes = []
            while True:
                try:
                    sizes.append(len(wire.sock.recv(65_536)))
                except BlockingIOError:
                    break
            # One second's worth, or those of a second one that began meanwhile, and so on.
            assert 0 < len(sizes) < 1000
            assert set(sizes) == {12}
