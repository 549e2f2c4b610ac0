"""TLS: the standard library's, and so over utcp whatever it is over kernel TCP."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import ssl
from typing import Any

import pytest

from .certificates import authority, client_context, server_context
from .conftest import Net, Recorder, caught, echo, until
from .test_protocols import Filling, making

MIB = 1 << 20


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def talk(net: Net, addr: Any, **kwds: Any) -> None:
    reader, writer = await net.open_connection(addr, ssl=client_context(), **kwds)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    await close(writer)


async def test_both_sides_know_what_was_agreed(net: Net) -> None:
    infos: list[dict[str, Any]] = []
    keys = ("sslcontext", "ssl_object", "peercert", "cipher", "compression", "sockname")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        infos.append({key: writer.get_extra_info(key) for key in keys})
        await echo(reader, writer)

    serving, asking = server_context(), client_context()
    async with net.handling(handle, ssl=serving) as addr:
        reader, writer = await net.open_connection(addr, ssl=asking)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        infos.append({key: writer.get_extra_info(key) for key in keys})
        assert writer.get_extra_info("peername") == addr
        assert writer.get_extra_info("nothing", 5) == 5
        assert not writer.can_write_eof()
        with pytest.raises(NotImplementedError):
            writer.write_eof()
        await close(writer)
    server, client = infos
    assert server["sslcontext"] is serving
    assert client["sslcontext"] is asking
    assert client["cipher"] == server["cipher"]
    assert client["cipher"][1] == client["ssl_object"].version() == "TLSv1.3"
    assert ("IP Address", "127.0.0.1") in client["peercert"]["subjectAltName"]
    assert server["peercert"] is None
    assert server["sockname"] == addr


async def test_big_transfers_in_both_directions_at_once(net: Net) -> None:
    data = random.Random(1).randbytes(4 * MIB)
    digest = hashlib.sha256(data).digest()

    async def send(writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(data), 100_001):
            writer.write(data[start : start + 100_001])
            await writer.drain()

    async def transfer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sending = asyncio.create_task(send(writer))
        assert hashlib.sha256(await reader.readexactly(len(data))).digest() == digest
        await sending

    done = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await transfer(reader, writer)
        assert await reader.read() == b""
        await close(writer)
        done.set_result(None)

    async with net.handling(handle, ssl=server_context()) as addr:
        reader, writer = await net.open_connection(addr, ssl=client_context())
        await transfer(reader, writer)
        await close(writer)
        await done


async def test_a_reader_that_does_not_read_stops_the_drain_of_the_sender(net: Net) -> None:
    read = asyncio.Event()
    total = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal total
        await read.wait()
        while data := await reader.read(MIB):
            total += len(data)
        await close(writer)

    async with net.handling(handle, ssl=server_context()) as addr:
        _, writer = await net.open_connection(addr, ssl=client_context())
        chunk = bytes(MIB)
        sent = 0
        for _ in range(100):
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
        await close(writer)
        await until(lambda: total == sent)


@pytest.mark.parametrize("fault", ["wrong name", "unknown authority"])
async def test_a_bad_certificate_is_refused_and_the_server_lives_on(net: Net, fault: str) -> None:
    async with net.handling(echo, ssl=server_context()) as addr:
        if fault == "wrong name":
            kwds: dict[str, Any] = {"ssl": client_context(), "server_hostname": "example.org"}
        else:
            kwds = {"ssl": ssl.create_default_context()}
        with pytest.raises(ssl.SSLCertVerificationError):
            await net.open_connection(addr, **kwds)
        await talk(net, addr)


async def test_the_name_of_the_server_may_be_another_than_its_address(net: Net) -> None:
    async with net.handling(echo, ssl=server_context("example.org")) as addr:
        await talk(net, addr, server_hostname="example.org")


async def test_ssl_true_means_the_authorities_of_the_system(net: Net) -> None:
    async with net.handling(echo, ssl=server_context()) as addr:
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            await net.open_connection(addr, ssl=True)


async def test_alpn(net: Net) -> None:
    chosen: list[str | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await close(writer)

    async with net.handling(handle, ssl=server_context(alpn=("h2", "http/1.1"))) as addr:
        for offered, agreed in ((("http/1.1", "h2"), "h2"), (("other",), None), ((), None)):
            reader, writer = await net.open_connection(addr, ssl=client_context(alpn=offered))
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
            assert await reader.read() == b""
            await close(writer)
    assert chosen == ["h2", None, None]


async def test_client_certificates(net: Net) -> None:
    names: list[Any] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names.append(writer.get_extra_info("peercert")["subjectAltName"])
        await echo(reader, writer)

    context = server_context()
    authority().configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with net.handling(handle, ssl=context) as addr:
        reader, writer = await net.open_connection(addr, ssl=client_context(name="me.example"))
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await close(writer)
        assert names == [(("DNS", "me.example"),)]
        # TLS 1.3 has finished the handshake of the client before its certificate is looked at.
        reader, writer = await net.open_connection(addr, ssl=client_context())
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            assert await reader.read() == b""
        writer.transport.abort()
    assert len(names) == 1


@pytest.mark.parametrize("end", ["close", "truncated", "aborted"])
async def test_the_end(net: Net, end: str) -> None:
    if end != "close":
        net.skip_on_uvloops_own()
    outcome = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ready")
        try:
            outcome.set_result(await reader.read())
        except ConnectionError as exc:
            outcome.set_result(exc)
        writer.close()

    async with net.handling(handle, ssl=server_context()) as addr:
        reader, writer = await net.open_connection(addr, ssl=client_context())
        await reader.readexactly(5)
        writer.write(b"all")
        if end == "close":
            await close(writer)
        elif end == "truncated":
            writer.transport._ssl_protocol._transport.close()  # type: ignore[attr-defined]
        else:
            writer.transport.abort()
        if end == "aborted" and net.is_utcp:
            assert isinstance(await outcome, ConnectionResetError)
        else:
            assert await outcome == b"all"


async def test_everything_written_before_close_arrives(net: Net) -> None:
    total = 0
    over = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal total
        while data := await reader.read(MIB):
            total += len(data)
        await close(writer)
        over.set()

    async with net.handling(handle, ssl=server_context()) as addr:
        _, writer = await net.open_connection(addr, ssl=client_context())
        for _ in range(20):
            writer.write(bytes(MIB))
        await close(writer)
        await over.wait()
    assert total == 20 * MIB


async def test_a_handshake_that_takes_too_long(net: Net) -> None:
    async with net.handling(echo) as addr:  # it sends the hello back, and no more
        pass

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with net.handling(silence) as addr:
        with pytest.raises(ConnectionAbortedError, match="handshake"):
            await net.open_connection(addr, ssl=client_context(), ssl_handshake_timeout=0.05)
    async with net.handling(echo, ssl=server_context(), ssl_handshake_timeout=0.05) as addr:
        reader, writer = await net.open_connection(addr)
        try:
            assert not await reader.read()  # a kernel's socket that is closed says FIN
        except ConnectionResetError:
            assert net.is_utcp
        writer.transport.abort()


async def test_a_peer_that_does_not_answer_the_close(net: Net) -> None:
    net.skip_on_uvloops_own()
    free = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ready")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.transport._ssl_protocol._transport.pause_reading()  # type: ignore[attr-defined]
        await free.wait()
        writer.transport.abort()

    async with net.handling(handle, ssl=server_context()) as addr:
        reader, writer = await net.open_connection(
            addr, ssl=client_context(), ssl_shutdown_timeout=0.05
        )
        await reader.readexactly(5)
        writer.close()
        with pytest.raises(TimeoutError, match="SSL shutdown timed out"):
            await writer.wait_closed()
        free.set()


async def test_what_is_held_back_when_the_peer_ends_first_still_gets_out(tcp_over_udp: Net) -> None:
    """SSLProtocol closes its transport, and writes the rest when that resumes writing."""
    net = tcp_over_udp
    total = 8 * MIB
    full = asyncio.Event()
    over = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = server_context().wrap_bio(incoming, outgoing, server_side=True)

        async def call(function: Any) -> Any:
            while True:
                try:
                    return function()
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    data = await reader.read(65_536)
                    assert data, "TCP has ended, and TLS has not"
                    incoming.write(data)

        await call(tls.do_handshake)
        writer.write(outgoing.read())
        await full.wait()
        received = 0
        with contextlib.suppress(ssl.SSLWantReadError):
            while data := tls.read(65_536):  # what came along with the handshake
                received += len(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        writer.write(outgoing.read())
        try:
            with contextlib.suppress(ssl.SSLZeroReturnError):
                while data := await call(lambda: tls.read(65_536)):
                    received += len(data)
        except BaseException as exc:
            over.set_exception(exc)
        else:
            over.set_result(received)
        writer.close()

    async with net.handling(handle, ssl=None) as addr:
        reader, writer = await net.open_connection(addr, ssl=client_context())
        for _ in range(8):
            writer.write(bytes(total // 8))
        assert writer.transport.get_write_buffer_size()
        full.set()
        assert await reader.read() == b""
        assert await over == total
        await close(writer)


async def test_no_tls_at_all(net: Net) -> None:
    async with net.handling(echo, ssl=server_context()) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        await talk(net, addr)


async def test_the_peer_goes_away_during_the_handshake(net: Net) -> None:
    def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with net.handling(handle) as addr:
        with pytest.raises(ConnectionResetError):
            await net.open_connection(addr, ssl=client_context())


@pytest.mark.parametrize("turns", range(1, 12))
async def test_cancelling_a_connect_leaves_nothing(net: Net, turns: int) -> None:
    net.skip_on_uvloops_own()
    async with net.handling(echo, ssl=server_context()) as addr:
        task = asyncio.create_task(net.open_connection(addr, ssl=client_context()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            _, writer = await task
        except asyncio.CancelledError:
            pass
        else:
            await close(writer)
        await talk(net, addr)


async def test_a_time_out_during_the_handshake_leaves_nothing(net: Net) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()

    async with net.handling(silence) as addr:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await net.open_connection(addr, ssl=client_context())


@pytest.mark.parametrize("cls", [Recorder, Filling])
async def test_callbacks_come_in_order_and_once(net: Net, cls: Any) -> None:
    made: list[Any] = []
    async with net.serving(making(made, cls), ssl=server_context()) as addr:
        transport, client = await net.create_connection(Recorder, addr, ssl=client_context())
        transport.write(b"question")
        await until(lambda: made and made[0].received == b"question")
        assert made[0].transport.get_protocol() is made[0]
        made[0].transport.write(b"answer")
        await until(lambda: client.received == b"answer")
        transport.close()
        assert transport.is_closing()
        await client.lost
        await made[0].lost
    # TLS knows no half-close: the answer to our end is the peer's.
    assert client.calls in (["made", "data", "eof", "lost"], ["made", "data", "lost"])
    assert [call for call in made[0].calls if call != "data"] == ["made", "eof", "lost"]


@pytest.mark.parametrize("where", ["connection_made", "data_received"])
async def test_an_error_in_a_callback_ends_that_connection_only(net: Net, where: str) -> None:
    net.skip_on_uvloops_own()
    made: list[Any] = []

    class Faulty(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            if where == "connection_made":
                raise ZeroDivisionError

        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    async with net.serving(making(made, Faulty), ssl=server_context()) as addr:
        with caught(asyncio.get_running_loop()) as contexts:
            transport, client = await net.create_connection(Recorder, addr, ssl=client_context())
            transport.write(b"data")
            await client.lost
            await made[0].lost
        assert isinstance(contexts[0]["exception"], ZeroDivisionError)
        assert isinstance(made[0].exc, ZeroDivisionError)


async def test_closing_all_clients_of_a_server_closes_tls_in_order(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    server = await net.start_server(echo, ssl=server_context())
    transport, client = await net.create_connection(
        Recorder, server.sockets[0].getsockname(), ssl=client_context()
    )
    transport.write(b"x")
    await until(lambda: client.received == b"x")
    below = transport._ssl_protocol
    server.close()
    server.close_clients()
    await client.lost
    await server.wait_closed()
    assert client.calls == ["made", "data", "eof", "lost"]
    # Not truncated: the end of TLS came, before that of TCP.
    assert not below._eof_received
