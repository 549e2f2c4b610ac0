"""TLS that ends one direction at a time, between two protocols."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

import utcp
from tests.aio.certificates import client_context, server_context
from utcp.cli.secured import Secured

LOCAL = "127.0.0.1"


class App(asyncio.Protocol):
    """Keeps what it is told."""

    keep_open = True
    pause = False

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.data = bytearray()
        self.ended = loop.create_future()
        self.lost = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Secured)
        self.transport = transport
        if self.pause:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        assert self.transport.is_reading()
        assert not self.ended.done()
        self.data += data

    def eof_received(self) -> bool:
        assert self.transport.is_reading()
        self.ended.set_result(None)
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Slow(App):
    pause = True


class Closing(App):
    keep_open = False


@asynccontextmanager
async def pair(
    client: type[App], server: type[App], context: Callable[[], ssl.SSLContext] = client_context
) -> AsyncIterator[tuple[App, App]]:
    accepted: asyncio.Future[App] = asyncio.get_running_loop().create_future()

    def accept() -> App:
        accepted.set_result(server())
        return accepted.result()

    serving = await utcp.create_server(
        lambda: Secured(accept, server_context(), server_side=True), LOCAL, 0
    )
    async with serving:
        own = client()
        _, secured = await utcp.create_connection(
            lambda: Secured(lambda: own, context(), server_hostname="localhost"),
            *serving.sockets[0].getsockname(),
        )
        await secured.done()
        yield own, await accepted


async def test_each_direction_ends_alone() -> None:
    async with pair(App, App) as (one, two):
        one.transport.write(b"question")
        one.transport.write_eof()
        with pytest.raises(RuntimeError):
            one.transport.write(b"more")
        await two.ended
        assert two.data == b"question"
        answer = bytes(range(256)) * 10_000
        two.transport.write(answer)
        two.transport.close()
        await one.ended
        assert one.data == answer
        one.transport.close()
        assert await one.lost is None
        assert await two.lost is None


async def test_closing_first_resets_nothing() -> None:
    """The peer's close_notify comes after our close(), and is no data to a closed socket."""
    async with pair(App, Closing) as (one, two):
        one.transport.write(b"bye")
        one.transport.close()
        assert one.transport.is_closing()
        assert await two.lost is None
        assert two.data == b"bye"
        assert await one.lost is None


async def test_who_has_paused_is_told_nothing() -> None:
    async with pair(App, Slow) as (one, two):
        one.transport.write(b"x" * 100_000)
        one.transport.write_eof()
        two.transport.write(b"still")
        two.transport.write_eof()  # looks into what has come
        await one.ended
        assert not two.data
        two.transport.resume_reading()
        await two.ended
        assert two.data == b"x" * 100_000
        two.transport.close()
        one.transport.close()
        assert await two.lost is None


async def test_an_end_that_tls_has_not_announced() -> None:
    async with pair(App, App) as (one, two):
        one.transport._transport.write_eof()
        assert isinstance(await two.lost, EOFError)
        await one.lost


async def test_what_is_no_record() -> None:
    async with pair(App, App) as (one, two):
        one.transport._transport.write(b"GET / HTTP/1.0\r\n\r\n")
        assert isinstance(await two.lost, ssl.SSLError)
        assert isinstance(await one.lost, ssl.SSLError)  # the alert


async def test_an_alert_is_no_end_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if something else makes it look for data before the connection is over."""
    async with pair(App, App) as (one, two):
        secured = one.transport
        fail = secured._fail

        def fail_and_look(error: Exception) -> None:
            fail(error)
            secured._deliver()

        monkeypatch.setattr(secured, "_fail", fail_and_look)
        secured._transport.write(b"GET / HTTP/1.0\r\n\r\n")
        assert isinstance(await one.lost, ssl.SSLError)
        assert not one.ended.done()
        await two.lost


async def test_abort() -> None:
    async with pair(App, App) as (one, two):
        one.transport.abort()
        assert await one.lost is None
        assert isinstance(await two.lost, ConnectionResetError)


async def test_a_certificate_of_somebody_else() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        async with pair(App, App, ssl.create_default_context):
            pytest.fail("a stranger is trusted")


async def test_tls_1_2() -> None:
    def older() -> ssl.SSLContext:
        context = client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    async with pair(App, App, older) as (one, two):
        two.transport.write_eof()
        await one.ended
        one.transport.write(b"after the other has ended")
        one.transport.close()
        await two.ended
        assert two.data == b"after the other has ended"
        two.transport.close()
        assert await one.lost is None
        assert await two.lost is None
