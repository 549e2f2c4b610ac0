"""The rest of asyncio's contract: callbacks that fail, tasks that are cancelled, files, groups."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import utcp
from utcp.aio.client import Attempt

from .certificates import client_context, server_context
from .conftest import (
    FAST,
    Net,
    Recorder,
    caught,
    echo,
    skip_where_interrupts_end_the_loop,
    until,
)
from .test_protocols import Filling, connect, finish, making


@pytest.mark.parametrize("where", ["get_buffer", "buffer_updated"])
async def test_an_error_in_a_buffered_callback_ends_that_connection_only(
    net: Net, where: str
) -> None:
    net.skip_on_uvloops_own()

    class Faulty(Filling):
        exc: BaseException | None = None

        def get_buffer(self, sizehint: int) -> bytearray:
            if where == "get_buffer":
                raise ZeroDivisionError
            return super().get_buffer(sizehint)

        def buffer_updated(self, nbytes: int) -> None:
            raise ZeroDivisionError

        def connection_lost(self, exc: BaseException | None) -> None:
            self.exc = exc
            super().connection_lost(exc)

    made: list[Any] = []
    async with net.serving(making(made, Faulty)) as addr:
        with caught(asyncio.get_running_loop()) as contexts:
            pair = await connect(net, addr, made)
            pair.client.transport.write(b"data")
            await pair.server.lost
        assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]
        assert isinstance(pair.server.exc, ZeroDivisionError)
        assert pair.server.calls == ["made", "lost"]
        pair.client.transport.abort()
        await pair.client.lost


async def test_errors_in_pause_and_resume_writing_are_told_and_end_nothing(net: Net) -> None:
    class Faulty(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            raise ZeroDivisionError

        def resume_writing(self) -> None:
            super().resume_writing()
            raise ZeroDivisionError

    made: list[Any] = []
    async with net.serving(making(made)) as addr:
        with caught(asyncio.get_running_loop()) as contexts:
            pair = await connect(net, addr, made, Faulty)
            pair.server.transport.pause_reading()
            written = 0
            while "pause" not in pair.client.calls:
                pair.client.transport.write(bytes(1 << 18))
                written += 1 << 18
                await asyncio.sleep(0)
            pair.server.transport.resume_reading()
            await until(lambda: "resume" in pair.client.calls)
            await until(lambda: len(pair.server.received) == written)
        assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError] * 2
        await finish(pair.client)
        await pair.server.lost


async def test_an_interrupt_in_a_callback_is_not_swallowed(tcp_over_udp: Net) -> None:
    """Ctrl-C and sys.exit() go through, wherever they strike; the connection goes on."""
    net = tcp_over_udp
    skip_where_interrupts_end_the_loop()
    made: list[Any] = []
    async with net.serving(making(made)) as addr:
        pair = await connect(net, addr, made)
        driver = pair.server.transport._driver
        # The first turn, in which nothing is read, is over then.
        pair.client.transport.write(b"before")
        await until(lambda: pair.server.received == b"before")
        pair.server.received.clear()

        def interrupted(data: bytes) -> None:
            raise SystemExit(3)

        pair.server.data_received = interrupted
        pair.client.transport._conn.write(b"data")
        pair.client.transport._driver.flush()
        with pytest.raises(SystemExit):
            driver._on_readable()
        assert not driver.running
        del pair.server.data_received
        pair.client.transport.write(b"more")
        await until(lambda: pair.server.received == b"more")
        await finish(pair.client)
        await pair.server.lost


async def test_what_connection_made_has_scheduled_runs_before_data_comes(tcp_over_udp: Net) -> None:
    """As with asyncio's own transports: a task that starts TLS gets the first byte of it."""
    net = tcp_over_udp

    class Eager(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            asyncio.get_running_loop().call_soon(self.calls.append, "scheduled")
            self.transport.write(b"data")

    made: list[Eager] = []
    async with net.serving(making(made, Eager)) as addr:
        # The client writes in connection_made as well, so that its data comes with its ACK.
        _, client = await net.create_connection(Eager, addr)
        await until(lambda: client.received and made and made[0].received)
        ours, theirs = client.calls[:], made[0].calls[:]
        client.transport.close()
        await client.lost
        await made[0].lost
    assert ours == theirs == ["made", "scheduled", "data"]


@pytest.mark.parametrize("paused", [False, True])
async def test_pausing_in_connection_made(tcp_over_udp: Net, paused: bool) -> None:
    net = tcp_over_udp

    class Late(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            assert self.transport.is_reading()
            self.transport.pause_reading()
            assert not self.transport.is_reading()
            if not paused:
                self.transport.resume_reading()
                assert self.transport.is_reading()

    made: list[Late] = []

    def factory() -> Late:
        made.append(Late())
        return made[-1]

    async with net.serving(factory) as addr:
        _, client = await net.create_connection(Recorder, addr)
        client.transport.write(b"data")
        await until(lambda: made)
        if paused:
            for _ in range(20):
                await asyncio.sleep(0)
            assert not made[0].received
            made[0].transport.resume_reading()
        await until(lambda: made[0].received == b"data")
        client.transport.close()
        await client.lost
        await made[0].lost


async def test_a_group_of_tasks_of_which_one_fails(net: Net) -> None:
    """The others are cancelled wherever they are, and nothing of theirs is left."""

    async def talk(addr: Any, number: int) -> None:
        reader, writer = await net.open_connection(addr)
        try:
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await reader.readexactly(1000)
                if number == 7:
                    raise ZeroDivisionError
        finally:
            writer.close()

    async with net.handling(echo) as addr:
        failures: tuple[Exception, ...] = ()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(10):
                    group.create_task(talk(addr, number))
        except* ZeroDivisionError as failed:
            failures = failed.exceptions
        assert len(failures) == 1


async def test_timeouts_around_reading(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await reader.read(1)
        writer.write(b"still there")
        assert await reader.readexactly(11) == b"still there"
        writer.write(b"short")
        writer.write_eof()
        with pytest.raises(asyncio.IncompleteReadError) as info:
            await reader.readexactly(10)
        assert info.value.partial == b"short"
        assert reader.at_eof()
        writer.close()
        await writer.wait_closed()


# -- cancelling, at every await --------------------------------------------------------------------


async def stepwise(run: Callable[[], Awaitable[Any]], most: int = 200) -> list[Any]:
    """Do it again and again, cancelled one turn of the loop later each time, until it gets
    through; gives the results of those that were not cancelled."""
    done = []
    for turns in range(most):
        task = asyncio.ensure_future(run())
        for _ in range(turns):
            await asyncio.sleep(0)
        missed = task.done()
        task.cancel()
        try:
            done.append(await task)
        except asyncio.CancelledError:
            continue
        if missed:
            return done
    pytest.fail(f"not through after {most} turns of the loop")


@pytest.mark.parametrize("tls", [False, True])
async def test_cancelling_open_connection(tcp_over_udp: Net, tls: bool) -> None:
    net = tcp_over_udp
    asking: dict[str, Any] = {"ssl": client_context()} if tls else {}
    serving: dict[str, Any] = {"ssl": server_context()} if tls else {}
    async with net.handling(echo, **serving) as addr:
        for _, writer in await stepwise(lambda: net.open_connection(addr, **asking)):
            writer.close()
            await writer.wait_closed()


async def test_cancelling_a_connect_by_name_with_happy_eyeballs(
    tcp_over_udp: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = tcp_over_udp

    async def resolve(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(0)
        return [(2, ("127.0.0.1", addr[1])), (2, ("127.0.0.2", addr[1]))]

    monkeypatch.setattr("utcp.aio.client.resolve", resolve)
    async with net.handling(echo, host="0.0.0.0") as addr:
        opened = await stepwise(lambda: net.open_connection(addr, happy_eyeballs_delay=0.0))
        for _, writer in opened:
            writer.close()
            await writer.wait_closed()


async def test_cancelling_start_server(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    for server in await stepwise(lambda: net.start_server(echo, host=["127.0.0.1", "::1"])):
        server.close()
        await server.wait_closed()


async def test_cancelling_serve_forever_and_wait_closed(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    server = await net.start_server(echo)
    _, writer = await net.open_connection(server.sockets[0].getsockname())
    for turns in range(5):
        serving = asyncio.create_task(server.serve_forever())
        waiting = asyncio.create_task(server.wait_closed())
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in (waiting, serving):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        if turns:
            serving.cancel()
        with contextlib.suppress(asyncio.CancelledError, RuntimeError):
            await serving
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_cancelling_read_drain_and_wait_closed(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    made: list[Recorder] = []
    async with net.serving(making(made)) as addr:
        reader, writer = await net.open_connection(addr)
        await until(lambda: made)
        made[0].transport.pause_reading()
        writer.write(bytes(20 << 20))
        for _ in range(3):
            for wait in (lambda: reader.read(1), writer.drain):
                task = asyncio.ensure_future(wait())
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        made[0].transport.resume_reading()
        await writer.drain()
        writer.close()
        task = asyncio.ensure_future(asyncio.shield(writer.wait_closed()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await made[0].lost
        assert len(made[0].received) == 20 << 20


async def test_a_handler_that_is_cancelled_closes_its_connection(tcp_over_udp: Net) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await reader.read()

    with caught(asyncio.get_running_loop()) as contexts:
        async with tcp_over_udp.handling(handle) as addr:
            reader, writer = await tcp_over_udp.open_connection(addr)
            await until(lambda: tasks)
            tasks[0].cancel()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
    assert not contexts


async def test_the_public_calls_return_what_they_say() -> None:
    server = await utcp.create_server(Recorder, "127.0.0.1", 0, config=FAST)
    assert isinstance(server, asyncio.AbstractServer)
    addr = server.sockets[0].getsockname()
    transport, protocol = await utcp.create_connection(Recorder, *addr, config=FAST)
    assert isinstance(transport, utcp.Transport | asyncio.Transport)
    assert type(protocol) is Recorder
    transport.close()
    await protocol.lost
    server.close()
    await server.wait_closed()


class Woken(Recorder):
    """Wakes a task with its data, and notes when that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.got = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        await self.got.wait()
        self.calls.append("task")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.got.set()


@pytest.mark.parametrize("how", ["close", "write_eof", "abort"])
async def test_what_data_has_woken_runs_before_the_end_is_told(net: Net, how: str) -> None:
    class Brief(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)
            if how == "abort":
                # Else nothing of it would leave.
                asyncio.get_running_loop().call_soon(self.transport.abort)
            else:
                getattr(self.transport, how)()

    async with net.serving(Brief) as addr:
        transport, protocol = await net.create_connection(Woken, addr)
        transport.write(b"question")
        await protocol.lost
        await protocol.task
        calls = [call for call in protocol.calls if call != "made"]
        assert calls[:2] == ["data", "task"]
        assert calls[-1] == "lost"
        assert protocol.received == b"question"


async def test_what_data_has_woken_runs_before_eof_after_a_pause(net: Net) -> None:
    gone = asyncio.Event()

    async def brief(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"data")
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with net.handling(brief) as addr:
        transport, protocol = await net.create_connection(Woken, addr)
        transport.pause_reading()
        await gone.wait()
        transport.resume_reading()
        await protocol.lost
        assert protocol.calls == ["made", "data", "task", "eof", "lost"]


@pytest.mark.parametrize("net", ["utcp"], indirect=True)
async def test_a_refused_connection_leaves_no_cycle(net: Net) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        addr = sock.getsockname()
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            with pytest.raises(ConnectionRefusedError):
                await net.create_connection(asyncio.Protocol, addr)
        await asyncio.sleep(0)
        attempts = [found for found in gc.get_objects() if isinstance(found, Attempt)]
        assert attempts == []
    finally:
        gc.enable()


@pytest.mark.parametrize("net", ["utcp"], indirect=True)
async def test_tls_is_not_begun_on_a_connection_that_was_reset_meanwhile(net: Net) -> None:
    class Brief(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)
            asyncio.get_running_loop().call_soon(self.transport.abort)

    async with net.serving(Brief) as addr:
        transport, protocol = await net.create_connection(Woken, addr)
        transport.write(b"STARTTLS")
        await protocol.task  # woken by the data, with the RST right behind it
        assert transport.is_closing()
        with pytest.raises(ConnectionAbortedError):
            await utcp.start_tls(transport, protocol, client_context(), server_hostname="localhost")
        await protocol.lost
