"""Protocols: the callbacks, their order and number, water marks, and what errors in them do."""

from __future__ import annotations

import array
import asyncio
import ctypes
import mmap
from typing import Any

import pytest

from .conftest import Net, Recorder, caught, until


class Pair:
    """A client's and a server's protocol, connected."""

    def __init__(self, client: Any, server: Any) -> None:
        self.client = client
        self.server = server


async def connect(net: Net, addr: Any, made: list[Any], client: Any = Recorder) -> Pair:
    _, protocol = await net.create_connection(client, addr)
    await until(lambda: made and made[-1].transport)
    return Pair(protocol, made[-1])


def making(made: list[Any], cls: Any = Recorder, **kwds: Any) -> Any:
    def factory() -> Any:
        made.append(cls(**kwds))
        return made[-1]

    return factory


async def finish(*protocols: Any) -> None:
    for protocol in protocols:
        protocol.transport.close()
        await protocol.lost


async def test_callbacks_come_in_order_and_once(net: Net) -> None:
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        pair.client.transport.write(b"question")
        await until(lambda: pair.server.received == b"question")
        pair.server.transport.write(b"answer")
        await until(lambda: pair.client.received == b"answer")
        pair.client.transport.close()
        assert pair.client.transport.is_closing()
        await pair.client.lost
        await pair.server.lost
        assert pair.client.calls == ["made", "data", "lost"]
        assert pair.server.calls == ["made", "data", "eof", "lost"]
        assert pair.client.exc is None
        assert pair.server.exc is None


async def test_eof_closes_unless_the_protocol_says_no(net: Net) -> None:
    made: list[Recorder] = []
    async with net.serving(making(made, keep_open=True)) as addr:
        pair = await connect(net, addr, made)
        pair.client.transport.write_eof()
        await until(lambda: "eof" in pair.server.calls)
        assert not pair.server.transport.is_closing()
        pair.server.transport.write(b"still here")
        await until(lambda: pair.client.received == b"still here")
        assert not pair.client.transport.is_closing()
        pair.server.transport.close()
        await pair.server.lost
        await pair.client.lost
        assert pair.client.calls == ["made", "data", "eof", "lost"]
        assert pair.server.calls == ["made", "eof", "lost"]


async def test_water_marks_are_exact(net: Net) -> None:
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        transport = pair.client.transport
        if net.is_utcp:  # uvloop's own transports begin with others
            assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=50_000, low=1000)
        assert transport.get_write_buffer_limits() == (1000, 50_000)
        pair.server.transport.pause_reading()
        chunk = bytes(10_000)
        written = 0
        while "pause" not in pair.client.calls:
            assert transport.get_write_buffer_size() <= 50_000
            transport.write(chunk)
            written += len(chunk)
            await asyncio.sleep(0)  # uvloop's own transports look once per turn
        assert transport.get_write_buffer_size() > 50_000

        sizes = []
        resume = pair.client.resume_writing

        def resumed() -> None:
            sizes.append(transport.get_write_buffer_size())
            resume()

        pair.client.resume_writing = resumed
        pair.server.transport.resume_reading()
        await until(lambda: "resume" in pair.client.calls)
        assert sizes[0] <= 1000
        await until(lambda: len(pair.server.received) == written)
        assert pair.client.calls == ["made", "pause", "resume"]
        await finish(pair.client)
        await pair.server.lost


@pytest.mark.parametrize(
    ("arguments", "limits"),
    [({}, (16384, 65536)), ({"high": 0}, (0, 0)), ({"low": 10}, (10, 40)), ({"high": 8}, (2, 8))],
)
async def test_limits_have_asyncios_defaults(net: Net, arguments: Any, limits: Any) -> None:
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        pair.client.transport.set_write_buffer_limits(**arguments)
        assert pair.client.transport.get_write_buffer_limits() == limits
        with pytest.raises(ValueError, match=r"high .* must be >= low"):
            pair.client.transport.set_write_buffer_limits(high=1, low=2)
        await finish(pair.client)
        await pair.server.lost


async def test_paused_reading_delivers_nothing_until_resumed(net: Net) -> None:
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        transport = pair.server.transport
        transport.pause_reading()
        transport.pause_reading()  # once more does no harm
        assert not transport.is_reading()
        pair.client.transport.write(bytes(100_000))
        pair.client.transport.write_eof()
        echo_made: list[Recorder] = []
        async with net.serving(making(echo_made)) as other:  # time passes while others talk
            second = await connect(net, other, echo_made)
            second.client.transport.write(b"tick")
            await until(lambda: second.server.received == b"tick")
            await finish(second.client)
            await second.server.lost
        assert pair.server.calls == ["made"]
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        assert pair.server.calls == ["made"]
        await pair.server.lost
        await pair.client.lost
        assert pair.server.calls == ["made", "data", "eof", "lost"]
        assert len(pair.server.received) == 100_000


async def test_writing_after_the_end_is_no_error(net: Net, caplog: Any) -> None:
    net.skip_on_uvloops_own()
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        transport = pair.client.transport
        await finish(pair.client)
        await pair.server.lost
        for _ in range(10):
            transport.write(b"into the void")
        transport.close()
        transport.abort()
        assert pair.client.calls == ["made", "lost"]
        with pytest.raises(TypeError):
            transport.write("text")
    warned = [record for record in caplog.records if "socket.send()" in record.message]
    assert warned


async def test_write_wants_bytes(net: Net) -> None:
    net.skip_on_uvloops_own()
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        for wrong in ("text", 5, None, [b"list"]):
            with pytest.raises(TypeError):
                pair.client.transport.write(wrong)
        pair.client.transport.write(b"")
        pair.client.transport.write(memoryview(b"1234")[1:3])
        await until(lambda: pair.server.received == b"23")
        await finish(pair.client)
        await pair.server.lost


async def test_writelines_takes_any_buffer(net: Net) -> None:
    net.skip_on_uvloops_own()
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        transport = pair.client.transport
        for wrong in (["text"], [b"good", 5], "text", b"numbers"):
            with pytest.raises(TypeError):
                transport.writelines(wrong)
        numbers = array.array("d", [1.5, 2.5])
        growing = bytearray(b"growing")
        with mmap.mmap(-1, 16) as mapped:
            mapped[:] = b"sixteen bytes..."
            transport.writelines([b"header", numbers, mapped, (ctypes.c_char * 3)(), growing])
        expected = b"header" + numbers.tobytes() + b"sixteen bytes..." + bytes(3) + b"growing"
        growing.clear()  # nothing holds on to what was given
        await until(lambda: len(pair.server.received) == len(expected))
        assert pair.server.received == expected
        await finish(pair.client)
        await pair.server.lost


@pytest.mark.parametrize("where", ["connection_made", "data_received", "eof_received"])
async def test_an_error_in_a_callback_ends_that_connection_only(net: Net, where: str) -> None:
    class Faulty(Recorder):
        pass

    def fail(self: Any, *args: Any) -> None:
        if where == "connection_made":
            self.calls.append("made")
            self.transport = args[0]
        raise ZeroDivisionError(where)

    faulty: list[Any] = []
    made: list[Recorder] = []

    def factory() -> Any:
        if faulty:
            return making(made)()
        setattr(Faulty, where, fail)
        return making(faulty, Faulty)()

    loop = asyncio.get_running_loop()
    async with net.serving(factory) as addr:
        with caught(loop) as contexts:
            _, client = await net.create_connection(Recorder, addr)
            client.transport.write(b"data")
            client.transport.write_eof()
            await until(lambda: contexts)
            assert isinstance(contexts[0]["exception"], ZeroDivisionError)
            other = await connect(net, addr, made)
            other.client.transport.write(b"alive")
            await until(lambda: other.server.received == b"alive")
            await finish(other.client)
            await other.server.lost
            if where != "connection_made":
                await faulty[0].lost
                assert isinstance(faulty[0].exc, ZeroDivisionError)
            elif not net.is_utcp:
                faulty[0].transport.abort()
            await until(faulty[0].lost.done)
            assert (faulty[0].exc is None) == (where == "connection_made")
            client.transport.abort()
            await client.lost


@pytest.mark.parametrize("error", [ConnectionResetError(104, "upstream"), ValueError("faulty")])
async def test_an_oserror_in_a_callback_is_told_to_connection_lost_only(
    net: Net, error: Exception
) -> None:
    class Proxy(Recorder):
        def data_received(self, data: bytes) -> None:
            raise error

    made: list[Recorder] = []
    async with net.serving(making(made, Proxy)) as addr:
        with caught(asyncio.get_running_loop()) as contexts:
            pair = await connect(net, addr, made)
            pair.client.transport.write(b"data")
            await pair.server.lost
            pair.client.transport.abort()
            await pair.client.lost
        assert pair.server.exc is error
        told = [] if isinstance(error, OSError) else [error]
        assert [context["exception"] for context in contexts] == told


async def test_an_error_in_connection_lost_is_reported(net: Net) -> None:
    class Faulty(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)
            raise ZeroDivisionError

    made: list[Recorder] = []
    with caught(asyncio.get_running_loop()) as contexts:
        async with net.serving(making(made)) as addr:
            pair = await connect(net, addr, made, Faulty)
            await finish(pair.client)
            await pair.server.lost
            await until(lambda: contexts)
    assert isinstance(contexts[0]["exception"], ZeroDivisionError)


class Filling(asyncio.BufferedProtocol):
    """Takes what comes into its own buffer of 1,000 bytes."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)
        self.received = bytearray()
        self.calls: list[str] = []
        self.transport: Any = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert 0 < nbytes <= 1000
        self.received += self.buffer[:nbytes]

    def eof_received(self) -> None:
        self.calls.append("eof")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.calls.append("lost")
        self.lost.set_result(None)


class Duck:
    """No subclass of anything, as uvloop allows."""

    __init__ = Filling.__init__
    connection_made = Filling.connection_made
    get_buffer = Filling.get_buffer
    buffer_updated = Filling.buffer_updated
    eof_received = Filling.eof_received
    connection_lost = Filling.connection_lost


@pytest.mark.parametrize("cls", [Filling, Duck])
async def test_buffered_protocol(net: Net, cls: Any) -> None:
    loop = asyncio.get_running_loop()
    if cls is Duck and not net.is_utcp and isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("asyncio's own transports look for the class only")
    made: list[Any] = []
    data = bytes(range(256)) * 400
    async with net.serving(making(made, cls)) as addr:
        pair = await connect(net, addr, made)
        pair.client.transport.write(data)
        pair.client.transport.write_eof()
        await pair.server.lost
        await pair.client.lost
        assert pair.server.received == data
        assert pair.server.calls == ["made", "eof", "lost"]


async def test_an_empty_buffer_is_an_error(net: Net) -> None:
    class Empty(Filling):
        def get_buffer(self, sizehint: int) -> bytearray:
            return bytearray()

    made: list[Any] = []
    async with net.serving(making(made, Empty)) as addr:
        with caught(asyncio.get_running_loop()) as contexts:
            pair = await connect(net, addr, made)
            pair.client.transport.write(b"data")
            await pair.server.lost
            assert isinstance(contexts[0]["exception"], RuntimeError)
            pair.client.transport.abort()
            await pair.client.lost


async def test_the_protocol_may_change_kind_in_mid_stream(net: Net) -> None:
    class Switching(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.next = Filling()
            self.next.transport = self.transport
            self.transport.set_protocol(self.next)

    made: list[Any] = []
    async with net.serving(making(made, Switching)) as addr:
        pair = await connect(net, addr, made)
        pair.client.transport.write(b"first")
        await until(lambda: pair.server.received == b"first")
        assert pair.server.transport.get_protocol() is pair.server.next
        pair.client.transport.write(b"second")
        await until(lambda: pair.server.next.received == b"second")
        back = Recorder()
        back.calls.append("made")
        pair.server.transport.set_protocol(back)
        pair.client.transport.write(b"third")
        await until(lambda: back.received == b"third")
        await finish(pair.client)
        await back.lost
        assert back.calls == ["made", "data", "eof", "lost"]
        assert pair.server.calls == ["made", "data"]


async def test_nothing_is_called_after_abort(net: Net) -> None:
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        pair.server.transport.write(bytes(100_000))
        await until(lambda: pair.client.received)
        pair.client.transport.abort()
        before = len(pair.client.received)
        await pair.client.lost
        assert pair.client.calls == ["made", "data", "lost"]
        assert pair.client.exc is None
        assert len(pair.client.received) == before
        await pair.server.lost
        assert isinstance(pair.server.exc, OSError | None)
