"""The driver: when datagrams leave, what the timer costs, and that no failed call ends anything."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import structlog

import utcp
from utcp.aio.driver import Driver
from utcp.core.segment import RST
from utcp.udp import LOST, TOO_BIG, WOULD_BLOCK, LinuxUdpSocket, open_socket

from .conftest import FAST, Net, Recorder, caught, echo, until


@pytest.fixture
def net(tcp_over_udp: Net) -> Net:
    return tcp_over_udp


async def test_a_lone_write_leaves_at_once(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        for number in range(3):
            before = writer.get_extra_info("counters").datagrams_out
            writer.write(b"now")
            assert writer.get_extra_info("counters").datagrams_out == before + 1, number
            assert await reader.readexactly(3) == b"now"
        writer.close()
        await writer.wait_closed()


async def test_nothing_is_paced_within_the_host(net: Net) -> None:
    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes([writer.transport._conn.snd.pacer.enabled]))  # type: ignore[attr-defined]
        writer.close()

    async with net.handling(tell) as addr:
        reader, writer = await net.open_connection(addr)
        assert not writer.transport._conn.snd.pacer.enabled  # type: ignore[attr-defined]
        assert await reader.read() == b"\0"
        writer.close()
        await writer.wait_closed()


async def test_a_hundred_small_writes_of_one_turn_are_two_datagrams(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"x")
        await reader.readexactly(1)
        before = writer.get_extra_info("counters").datagrams_out
        for _ in range(100):
            writer.write(b"0123456789")
        await reader.readexactly(1000)
        # The first at once, the rest with the next turn; perhaps an ACK of what came back.
        assert writer.get_extra_info("counters").datagrams_out - before <= 4
        writer.close()
        await writer.wait_closed()


async def test_what_callbacks_write_leaves_in_one_flush(net: Net) -> None:
    class Chatty(Recorder):
        def data_received(self, data: bytes) -> None:
            for _ in range(50):
                self.transport.write(b"answer")

    async with net.serving(Chatty) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"?")
        await reader.readexactly(300)
        assert writer.get_extra_info("tcp_info").segs_in <= 3  # SYN-ACK, ACK, answer
        writer.close()
        await writer.wait_closed()


async def test_the_timer_is_not_set_for_every_ack(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("a method of uvloop's loop cannot be replaced")
    config = utcp.Config(msl=0.02)
    async with net.handling(echo, config=config) as addr:
        reader, writer = await net.open_connection(addr, config=config)
        count = 0
        start = loop.time()
        call_later = loop.call_later

        def counted(*args: Any, **kwds: Any) -> Any:
            nonlocal count
            count += 1
            return call_later(*args, **kwds)

        monkeypatch.setattr(loop, "call_later", counted)
        for _ in range(1000):
            writer.write(b"x")
            await reader.readexactly(1)
        monkeypatch.undo()
        # It fires once per delayed ACK that could have been due, 4 ms or more after the data, on
        # both sides, and is set anew.
        assert count < 20 + 6 * (loop.time() - start) / 0.004
        writer.close()
        await writer.wait_closed()


class FaultySocket(LinuxUdpSocket):
    """Fails now and then, in every way that a socket may without being broken."""

    __slots__ = ("_random",)

    def send(self, addr: Any, data: Any, segment_size: int, tos: int) -> int:
        if not hasattr(self, "_random"):
            self._random = random.Random(7)
        chance = self._random.random()
        if chance < 0.03:
            return LOST
        if chance < 0.13:
            return WOULD_BLOCK
        if chance < 0.2:
            self._network_error(111)
        if chance < 0.21:
            return TOO_BIG
        return super().send(addr, data, segment_size, tos)


async def test_failing_sends_end_no_connection(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = functools.partial(open_socket, implementation=FaultySocket)
    monkeypatch.setattr("utcp.aio.client.open_socket", faulty)
    monkeypatch.setattr("utcp.aio.server.open_socket", faulty)
    config = replace(
        FAST, rto_initial=0.02, rto_min=0.005, rto_max=0.05, max_segment_size=1460, msl=0.2
    )
    data = random.Random(1).randbytes(1 << 20)
    async with net.handling(echo, config=config) as addr:
        reader, writer = await net.open_connection(addr, config=config)

        async def send() -> None:
            for start in range(0, len(data), 10_000):
                writer.write(data[start : start + 10_000])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read() == data
        await sending
        writer.close()
        await writer.wait_closed()


async def test_a_descriptor_closed_behind_our_back_ends_its_connections(net: Net) -> None:
    async with net.serving(functools.partial(Recorder, keep_open=True)) as addr:
        transport, protocol = await net.create_connection(Recorder, addr)
        with caught(asyncio.get_running_loop()) as contexts:
            transport._driver._on_broken(OSError(9, "Bad file descriptor"))
            await protocol.lost
        assert "failed" in contexts[0]["message"]
        assert isinstance(protocol.exc, ConnectionAbortedError)
        for one in transport._driver.hub.drivers:
            for owner in list(one._owners.values()):
                owner.abort()


async def test_nothing_is_logged_unless_asked_for(net: Net, capfd: Any) -> None:
    async with net.handling(echo) as addr:
        _, writer = await net.open_connection(addr)
        writer.close()
        await writer.wait_closed()
    assert capfd.readouterr() == ("", "")
    assert not structlog.is_configured()


@pytest.mark.parametrize("how", ["logging", "structlog"])
async def test_what_is_logged(net: Net, how: str, caplog: Any) -> None:
    seen: list[dict[str, Any]] = []
    if how == "structlog":

        def keep(_: Any, level: str, event: Any) -> Any:
            seen.append(event | {"level": level})
            raise structlog.DropEvent

        structlog.configure(processors=[keep])
    else:
        caplog.set_level(logging.INFO, "utcp")
    try:
        async with net.handling(echo) as addr:
            _, writer = await net.open_connection(addr)
            writer.close()
            await writer.wait_closed()
            await until(lambda: len(seen) + len(caplog.records) == 5)
    finally:
        structlog.reset_defaults()
    if how == "logging":
        seen = [{"event": record.message} | vars(record) for record in caplog.records]
    events = [event["event"] for event in seen]
    assert events[0] == "listening"
    assert sorted(events[1:]) == ["closed", "closed", "established", "established"]
    assert all(event["local"] for event in seen)
    assert {event["peer"] for event in seen if "peer" in event} > {addr}


async def test_malformed_datagrams_are_logged_at_a_bounded_rate(net: Net, caplog: Any) -> None:
    caplog.set_level(logging.WARNING, "utcp")
    loop = asyncio.get_running_loop()
    async with net.serving(Recorder) as addr:
        transport, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=addr
        )
        for size in range(40):
            transport.sendto(b"\x50" + bytes(size % 8))
        _, writer = await net.open_connection(addr)
        writer.close()
        await writer.wait_closed()
        await until(lambda: caplog.records)
        transport.close()
    assert len([record for record in caplog.records if record.message == "malformed"]) == 1


async def test_an_alarm_for_what_has_ended_receives_nothing(net: Net) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"x")
        await reader.readexactly(1)
        driver: Any = writer.transport._driver  # type: ignore[attr-defined]
        # The alarm was set for the probe of that byte, which has arrived.
        received, driver._recv = driver._recv, None
        driver._alarm.cancel()
        driver._on_alarm(0)
        driver._recv = received
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(("length", "most"), [(24, 4), (64, 4), (65, 16), (1200, 16), (1201, 4)])
async def test_a_wake_up_takes_four_datagrams_or_sixteen_messages(
    net: Net, length: int, most: int
) -> None:
    async with net.handling(echo) as addr:
        reader, writer = await net.open_connection(addr)
        writer.write(b"x")
        await reader.readexactly(1)
        driver: Any = writer.transport._driver  # type: ignore[attr-defined]
        driver.sock.buffer[:length] = bytes(length)  # no segment
        received = driver._recv
        counters = writer.get_extra_info("counters")
        before = counters.datagrams_in
        driver._recv = lambda: length
        driver._lone = 0
        driver._take_in()
        driver._recv = received
        assert counters.datagrams_in - before == most
        writer.close()
        await writer.wait_closed()


class BlockedSocket(LinuxUdpSocket):
    """Takes nothing while it is told so, and not the first tries of a RST."""

    __slots__ = ()
    blocked: ClassVar[bool] = False
    refusals: ClassVar[int] = 0

    def send(self, addr: Any, data: Any, segment_size: int, tos: int) -> int:
        kind = type(self)
        head = data if isinstance(data, bytes) else data[0]
        if kind.blocked:
            return WOULD_BLOCK
        if head[1] & RST and kind.refusals:
            kind.refusals -= 1
            return WOULD_BLOCK
        return super().send(addr, data, segment_size, tos)


@pytest.fixture
def blocked_socket(monkeypatch: pytest.MonkeyPatch) -> type[BlockedSocket]:
    opened = functools.partial(open_socket, implementation=BlockedSocket)
    monkeypatch.setattr("utcp.aio.client.open_socket", opened)
    monkeypatch.setattr(BlockedSocket, "blocked", False)
    monkeypatch.setattr(BlockedSocket, "refusals", 0)
    return BlockedSocket


async def test_a_driver_goes_when_what_was_blocked_has_left(
    tcp_over_udp: Net, blocked_socket: type[BlockedSocket]
) -> None:
    net = tcp_over_udp
    async with net.serving(Recorder) as addr:
        transport, _ = await net.create_connection(Recorder, addr)
        driver = transport._driver
        blocked_socket.blocked = True
        transport.write(bytes(1_000_000))
        transport.abort()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not driver.closed
        blocked_socket.blocked = False
        await until(lambda: driver.closed)


async def test_a_reset_that_the_socket_has_no_room_for_leaves_later(
    tcp_over_udp: Net, blocked_socket: type[BlockedSocket]
) -> None:
    net = tcp_over_udp
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with net.serving(factory) as addr:
        transport, _ = await net.create_connection(Recorder, addr)
        driver = transport._driver
        await until(lambda: made)
        blocked_socket.refusals = 4
        transport.abort()
        await until(lambda: driver.closed)
        await until(lambda: made and made[0].lost.done())
        assert isinstance(made[0].exc, ConnectionResetError)


async def test_memory_pressure_by_a_message_sets_the_alarm(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[Driver] = []
    on_readable = Driver._on_readable

    def checked(self: Driver) -> None:
        on_readable(self)
        if not self.closed and self.endpoint.poll_timeout() < self._alarm.at:
            late.append(self)

    class Reader(asyncio.BufferedProtocol):
        """Answers what it reads a part of, and then reads no more."""

        def connection_made(self, transport: Any) -> None:
            self._transport = transport
            self._buffer = bytearray(8)

        def get_buffer(self, sizehint: int) -> bytearray:
            return self._buffer

        def buffer_updated(self, nbytes: int) -> None:
            self._transport.write(b"x")
            if self._buffer[0]:
                self._transport.pause_reading()

    monkeypatch.setattr(Driver, "_on_readable", checked)
    async with net.serving(Reader, config=replace(FAST, max_buffered=600)) as addr:
        reader, writer = await net.open_connection(addr)
        for _ in range(20):
            writer.write(bytes(8))
            await reader.readexactly(1)
        writer.write(b"\1" * 1000)
        await reader.readexactly(1)
        writer.transport.abort()
    assert late == []


async def test_a_write_after_a_reset_that_nobody_has_told_yet_is_a_write_to_what_is_lost(
    net: Net,
) -> None:
    class Answering(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(b"answer")
            self.transport.writelines([b"more", b"of it"])

    made: list[Answering] = []

    def factory() -> Answering:
        made.append(Answering())
        return made[-1]

    with caught(asyncio.get_running_loop()) as errors:
        async with net.serving(factory) as addr:
            transport, _ = await net.create_connection(Recorder, addr)
            await until(lambda: made and made[0].calls)
            # Both in one wake-up of the server.
            transport.write(bytes(3000))
            transport.abort()
            await until(made[0].lost.done)
    assert errors == []
    assert made[0].received == bytes(3000)
    assert isinstance(made[0].exc, ConnectionResetError)
