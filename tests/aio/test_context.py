"""In which context (`contextvars`) callbacks run: in their connection's own."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .conftest import Net, Recorder, echo, until
from .test_lifetime import SLOW, forget_all
from .test_protocols import Pair, connect, finish, making

USER: ContextVar[str] = ContextVar("USER", default="nobody")


class Noting(Recorder):
    """Notes whose context each callback runs in, and goes on as what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.users: list[str] = []

    def data_received(self, data: bytes) -> None:
        self.users.append(USER.get())
        USER.set(data.decode())
        super().data_received(data)

    def eof_received(self) -> bool:
        self.users.append(USER.get())
        return super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.users.append(USER.get())
        super().connection_lost(exc)


async def tell(pair: Pair, name: str) -> None:
    pair.server.received.clear()
    pair.client.transport.write(name.encode())
    await until(lambda: pair.server.received == name.encode())


async def test_what_one_sets_no_other_sees(net: Net) -> None:
    net.skip_on_uvloops_own()
    made: list[Any] = []
    async with net.serving(making(made, Noting)) as addr:
        pairs = []
        for _ in range(2):
            pairs.append(await connect(net, addr, made))
            made.clear()
        for told in ("ann", "bob"):
            for pair, name in zip(pairs, (told, told.upper()), strict=True):
                await tell(pair, name)
        seen = [pair.server.users[:] for pair in pairs]
        for pair in pairs:
            await finish(pair.client)
            await pair.server.lost
    assert seen == [["nobody", "ann"], ["nobody", "ANN"]]
    assert USER.get() == "nobody"


async def test_with_utcp_all_of_one_run_in_one(tcp_over_udp: Net) -> None:
    # asyncio's own differ: a reader that was paused goes on in the context of who resumed it.
    net = tcp_over_udp
    made: list[Any] = []
    async with net.serving(making(made, Noting)) as addr:
        pair = await connect(net, addr, made)
        await tell(pair, "ann")
        USER.set("test")
        pair.server.transport.pause_reading()
        pair.client.transport.write(b"bob")
        pair.client.transport.write_eof()
        await until(lambda: pair.server.transport._eof_read)
        pair.server.transport.resume_reading()
        await pair.server.lost
        await finish(pair.client)
    assert pair.server.users == ["nobody", "ann", "bob", "bob"]


async def test_of_a_socket_that_is_used_again_it_is_the_new_user(tcp_over_udp: Net) -> None:
    net = tcp_over_udp

    async def visit(name: str, addr: Any) -> tuple[Any, list[str]]:
        USER.set(name)
        transport, protocol = await net.create_connection(Noting, addr, config=SLOW)
        transport.write(b"x")
        await until(lambda: protocol.received == b"x")
        transport.close()
        await protocol.lost
        return transport.get_extra_info("sockname"), protocol.users[:1]

    async with net.handling(echo, config=SLOW) as addr:
        names, seen = set(), []
        for name in ("one", "two", "three"):
            local, users = await asyncio.create_task(visit(name, addr))
            seen.append(users)
            names.add(local)
            await asyncio.sleep(0.01)  # until the clock of the timestamps has moved on
    forget_all()
    assert seen == [["one"], ["two"], ["three"]]
    assert len(names) == 1


async def test_who_keeps_itself_there_is_not_kept(tcp_over_udp: Net) -> None:
    me: ContextVar[object] = ContextVar("me")
    net = tcp_over_udp
    made: list[Any] = []

    class Selfish(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            me.set(self)

    async def visit(addr: Any) -> Callable[[], object]:
        pair = await connect(net, addr, made)
        await tell(pair, "data")
        await finish(pair.client)
        await pair.server.lost
        made.clear()
        return weakref.ref(pair.server)

    async with net.serving(making(made, Selfish)) as addr:
        gc.disable()
        try:
            server = await asyncio.create_task(visit(addr))
            await until(lambda: server() is None)
        finally:
            gc.enable()


async def test_of_a_server_on_such_a_socket_it_is_the_new_server(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    seen: list[str] = []

    class Greeting(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            seen.append(USER.get())
            self.transport.close()

    async def serve(name: str, port: int) -> Any:
        USER.set(name)
        return await net.create_server(Greeting, port=port, config=SLOW)

    port = 0
    for name in ("one", "two"):
        server = await asyncio.create_task(serve(name, port))
        port = server.sockets[0].getsockname()[1]
        reader, writer = await net.open_connection(("127.0.0.1", port), config=SLOW)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    forget_all()
    assert seen == ["one", "two"]
