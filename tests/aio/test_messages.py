"""Messages, which go to their application at once, and what may come in between."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from utcp.core.events import READABLE
from utcp.core.timers import DELAYED_ACK, NEVER
from utcp.udp import WOULD_BLOCK

from .conftest import Net, Recorder, skip_where_interrupts_end_the_loop, until
from .test_protocols import Filling, Pair, finish, making


class Asked(Recorder):
    """Answers, unless it is asked to be quiet."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if data != b"quiet":
            self.transport.write(data)


async def join(net: Net, addr: Any, made: list[Any], client: Any = Recorder) -> Pair:
    """One more connection."""
    count = len(made) + 1
    _, protocol = await net.create_connection(client, addr)
    await until(lambda: len(made) == count and made[-1].transport)
    return Pair(protocol, made[-1])


async def converse(pair: Any, times: int = 6) -> None:
    """Until both sides take what comes for messages."""
    for _ in range(times):
        before = len(pair.client.received)
        pair.client.transport.write(b"question")
        await until(partial(heard, pair, before + 8))
    assert pair.server.transport._conn.calm


def heard(pair: Any, size: int) -> bool:
    """Whether the client has got so many bytes."""
    return len(pair.client.received) == size


async def test_a_message_while_the_socket_has_no_room_is_acknowledged(tcp_over_udp: Net) -> None:
    net = tcp_over_udp
    made: list[Any] = []
    async with net.serving(making(made, Asked)) as addr:
        first = await join(net, addr, made)
        second = await join(net, addr, made)
        for pair in (first, second):
            await converse(pair)
        driver = first.server.transport._driver
        send = driver._send
        driver._send = lambda *_: WOULD_BLOCK
        second.client.transport.write(b"question")
        await until(lambda: driver._stuck is not None)
        first.client.transport.write(b"quiet")
        await until(lambda: first.server.received.endswith(b"quiet"))
        driver._send = send
        await until(lambda: driver._stuck is None)
        conn = first.server.transport._conn
        assert conn.timers[DELAYED_ACK] < NEVER or conn.rcv.last_ack_sent == conn.rcv.rcv_nxt
        await until(lambda: len(second.client.received) == 7 * 8)
        for pair in (first, second):
            await finish(pair.client)
            await pair.server.lost


@pytest.mark.parametrize("kind", [Recorder, Filling], ids=["protocol", "buffered"])
async def test_a_message_is_acknowledged_after_an_interrupt(
    tcp_over_udp: Net, kind: type[Any]
) -> None:
    net = tcp_over_udp
    skip_where_interrupts_end_the_loop()
    made: list[Any] = []
    async with net.serving(making(made, kind)) as addr:
        pair = await join(net, addr, made)
        client, server = pair.client.transport, pair.server.transport
        for _ in range(4):
            client.write(b"note")
            await until(lambda: client._conn.buffered == 0)
        await until(lambda: server._conn.calm)

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        name = "data_received" if kind is Recorder else "buffer_updated"
        setattr(pair.server, name, interrupted)
        client._conn.write(b"note")
        client._driver.flush()
        with pytest.raises(KeyboardInterrupt):
            server._driver._on_readable()
        delattr(pair.server, name)
        again = client._conn.total_retrans
        conn = server._conn
        # Who runs the loop on finds it acknowledged, or waiting for it: in the next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert conn.timers[DELAYED_ACK] < NEVER or conn.rcv.last_ack_sent == conn.rcv.rcv_nxt
        await until(lambda: client._conn.buffered == 0)
        assert client._conn.total_retrans == again
        await finish(pair.client)
        await pair.server.lost


async def test_what_is_written_leaves_after_an_interrupt(tcp_over_udp: Net) -> None:
    """Of a wake-up that no datagram has caused."""
    net = tcp_over_udp
    skip_where_interrupts_end_the_loop()
    made: list[Any] = []
    async with net.serving(making(made)) as addr:
        pair = await join(net, addr, made)
        client, server = pair.client.transport, pair.server.transport
        server.pause_reading()
        client.write(b"question")
        await until(lambda: server._conn.readable)
        await until(lambda: client._conn.buffered == 0)
        before = len(pair.client.received)

        def interrupted(data: bytes) -> None:
            raise KeyboardInterrupt

        pair.server.data_received = interrupted
        server._paused = False
        server._conn.signal(READABLE)
        server._conn.write(b"answer")
        with pytest.raises(KeyboardInterrupt):
            server._driver.wake_up()
        del pair.server.data_received
        await until(lambda: pair.client.received[before:] == b"answer")
        await finish(pair.client)
        await pair.server.lost


async def test_a_message_for_another_connection_leaves_too(tcp_over_udp: Net) -> None:
    """As in a chat: what one says goes to the other, and both to the same server."""
    net = tcp_over_udp
    made: list[Any] = []

    class Passing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            for other in made:
                if other is not self:
                    other.transport.write(data)

    async with net.serving(making(made, Passing)) as addr:
        pairs = [await join(net, addr, made) for _ in range(3)]
        for turn in range(30):
            speaker = turn % 3
            pairs[speaker].client.transport.write(b"%02d" % turn)
            for number, pair in enumerate(pairs):
                said = [b"%02d" % said for said in range(turn + 1) if said % 3 != number]
                await until(partial(heard, pair, 2 * len(said)))
                assert pair.client.received == b"".join(said)
        for pair in pairs:
            await finish(pair.client)
            await pair.server.lost


async def test_a_protocol_that_pauses_in_a_message_gets_the_next_one_later(
    tcp_over_udp: Net,
) -> None:
    net = tcp_over_udp
    made: list[Any] = []
    async with net.serving(making(made, Asked)) as addr:
        pair = await join(net, addr, made)
        await converse(pair)
        server = pair.server.transport
        server.pause_reading()
        pair.client.transport.write(b"waits")
        await until(lambda: server._conn.readable == 5)
        pair.client.transport.write(b"too")
        await until(lambda: server._conn.readable == 8)
        assert pair.server.received == b"question" * 6
        server.resume_reading()
        await until(partial(heard, pair, 6 * 8 + 8))
        assert pair.client.received == b"question" * 6 + b"waitstoo"
        await converse(pair)
        await finish(pair.client)
        await pair.server.lost
