"""A file over a transport: loop.sendfile, which uvloop lacks, and utcp.sendfile everywhere."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import pytest

import utcp

from .certificates import client_context, server_context
from .conftest import FAST, Net, Recorder, until
from .test_protocols import connect, finish, making

SIZE = 1 << 20


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as opened:
        opened.write(bytes(range(256)) * (SIZE // 256))
        yield opened


async def send(net: Net, transport: Any, *arguments: Any) -> int:
    loop = asyncio.get_running_loop()
    if net.is_utcp:
        return await utcp.sendfile(transport, *arguments)
    return await loop.sendfile(transport, *arguments)


async def test_all_of_it(net: Net, file: IO[bytes]) -> None:
    net.skip_on_uvloops_own()
    made: list[Any] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        pair.client.transport.write(b"before")
        assert await send(net, pair.client.transport, file) == SIZE
        pair.client.transport.write(b"after")
        assert file.tell() == SIZE
        assert pair.client.transport.is_reading()
        await until(lambda: len(pair.server.received) == SIZE + 11)
        file.seek(0)
        assert pair.server.received == b"before" + file.read() + b"after"
        pair.server.transport.write(b"answer")
        await until(lambda: pair.client.received == b"answer")
        await finish(pair.client)
        await pair.server.lost


async def test_a_closed_file_leaves_the_transport_as_it_was(net: Net, file: IO[bytes]) -> None:
    net.skip_on_uvloops_own()
    made: list[Any] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        file.close()
        with pytest.raises(ValueError, match="closed file"):
            await send(net, pair.client.transport, file)
        pair.client.transport.write(b"after")
        await until(lambda: pair.server.received == b"after")
        pair.server.transport.write(b"answer")
        await until(lambda: pair.client.received == b"answer")
        await finish(pair.client)
        await pair.server.lost


@pytest.mark.parametrize(
    ("offset", "count", "sent"),
    [(10, None, SIZE - 10), (0, 5, 5), (1000, 400_000, 400_000), (SIZE - 3, 10, 3), (SIZE, 1, 0)],
)
async def test_a_part_of_it(
    net: Net, file: IO[bytes], offset: int, count: int | None, sent: int
) -> None:
    net.skip_on_uvloops_own()
    made: list[Any] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        assert await send(net, pair.client.transport, file, offset, count) == sent
        await until(lambda: len(pair.server.received) == sent)
        assert not sent or file.tell() == offset + sent
        file.seek(offset)
        assert pair.server.received == file.read(sent)
        await finish(pair.client)
        await pair.server.lost


async def test_a_file_that_is_in_memory(net: Net) -> None:
    net.skip_on_uvloops_own()
    made: list[Any] = []
    file = io.BytesIO(bytes(SIZE))
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        assert await send(net, pair.client.transport, file, 1) == SIZE - 1
        assert file.tell() == SIZE
        await until(lambda: len(pair.server.received) == SIZE - 1)
        await finish(pair.client)
        await pair.server.lost


async def test_nothing_else_is_written_meanwhile(net: Net, file: IO[bytes]) -> None:
    net.skip_on_uvloops_own()
    made: list[Any] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        pair.server.transport.pause_reading()
        transport = pair.client.transport
        sending = asyncio.create_task(send(net, transport, file))
        await asyncio.sleep(0)
        if not sending.done():
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                transport.write(b"x")
        if net.is_utcp:
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                transport.write_eof()
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                await utcp.sendfile(transport, file)
        pair.server.transport.resume_reading()
        await sending
        transport.write_eof()
        await pair.server.lost
        await pair.client.lost
        assert len(pair.server.received) == SIZE


async def test_cancelled_or_cut_off_the_protocol_goes_on_as_before(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    made: list[Any] = []
    with tempfile.TemporaryFile() as file:
        file.truncate(64 << 20)
        async with net.serving(making(made)) as addr:
            pair = await connect(net, addr, made)
            pair.server.transport.pause_reading()
            client = pair.client

            def stuck() -> bool:
                info = client.transport.get_extra_info("tcp_info")
                return bool(client.transport._protocol_paused and info.snd_wnd == 0)

            sending = asyncio.create_task(utcp.sendfile(client.transport, file))
            await until(stuck)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            sent = file.tell()
            assert 0 < sent < 64 << 20
            assert client.transport.get_protocol() is client
            assert client.transport.is_reading()
            assert client.calls == ["made", "pause"]
            client.transport.write(b"end")
            pair.server.transport.resume_reading()
            await until(lambda: len(pair.server.received) == sent + 3)
            assert client.calls == ["made", "pause", "resume"]

            pair.server.transport.pause_reading()
            sending = asyncio.create_task(utcp.sendfile(client.transport, file, sent))
            await until(stuck)
            pair.server.transport.abort()
            with pytest.raises(ConnectionError):
                await sending
            await client.lost
            assert sent < file.tell() < 64 << 20
            assert client.calls == ["made", "pause", "resume", "lost"]


async def test_over_tls_and_by_a_loop_of_utcps(file: IO[bytes]) -> None:
    base = type(asyncio.get_running_loop())

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        made: list[Any] = []
        for serving, asking in (
            ({}, {}),
            ({"ssl": server_context()}, {"ssl": client_context(), "server_hostname": "localhost"}),
        ):
            server = await loop.create_server(making(made), "127.0.0.1", 0, **serving)
            port = server.sockets[0].getsockname()[1]
            transport, protocol = await loop.create_connection(
                Recorder, "127.0.0.1", port, **asking
            )
            if asking:
                with pytest.raises(RuntimeError, match="fallback is disabled"):
                    await loop.sendfile(transport, file, fallback=False)
                assert await loop.sendfile(transport, file) == SIZE
            else:
                assert await loop.sendfile(transport, file, fallback=False) == SIZE
            await until(lambda: len(made[-1].received) == SIZE)
            transport.close()
            await protocol.lost
            with pytest.raises(RuntimeError, match="closing"):
                await loop.sendfile(transport, file)
            server.close()
            await server.wait_closed()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: utcp.new_event_loop(base, config=FAST)) as runner:
            runner.run(main())

    await asyncio.to_thread(run)


async def test_arguments_that_make_no_sense(net: Net, file: IO[bytes]) -> None:
    net.skip_on_uvloops_own()
    made: list[Any] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        transport = pair.client.transport
        for error, arguments in (
            (ValueError, (file, -1)),
            (ValueError, (file, 0, 0)),
            (TypeError, (file, "1")),
            (TypeError, (file, 0, 1.5)),
        ):
            with pytest.raises(error):
                await send(net, transport, *arguments)
        if net.is_utcp:
            with pytest.raises(ValueError, match="binary"), tempfile.TemporaryFile("w+") as text:
                await send(net, transport, text)
            with pytest.raises(RuntimeError, match="not supported"):
                await utcp.sendfile(asyncio.WriteTransport(), file)
        await finish(pair.client)
        await pair.server.lost
