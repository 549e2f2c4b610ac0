"""Addresses, Diffserv field and time to live: what TCP asks of IP (RFC 9293 §3.8.2, §3.9.2).

A plain UDP socket, as a peer or in the middle, sees what is on the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

import utcp
from utcp.testing import MS, SECOND, LinkConfig, Sink, Source, encode_segment, pair
from utcp.testing.segment_view import ACK, SYN, SegmentView

HOST: Final = "127.0.0.1"
PATIENCE: Final = 10.0
IP_RECVTTL: Final = 12  # linux/in.h
SYN_DATAGRAM: Final = encode_segment(SYN, 1000)


@dataclass
class Datagram:
    """What a plain socket has received."""

    data: bytes
    sender: Any
    tos: int
    ttl: int

    @property
    def segment(self) -> SegmentView:
        return SegmentView(self.data)


class Plain:
    """A plain UDP socket that tells TOS and TTL of what it receives."""

    def __init__(self, host: str = HOST) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        self.port = self.socket.getsockname()[1]

    async def receive(self) -> Datagram:
        """The next datagram. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.socket, readable.set)
        try:
            async with asyncio.timeout(PATIENCE):
                await readable.wait()
        finally:
            loop.remove_reader(self.socket)
        data, ancillary, _, sender = self.socket.recvmsg(65_535, 256)
        values = {kind: int.from_bytes(value[:1]) for _, kind, value in ancillary}
        return Datagram(data, sender, values[socket.IP_TOS], values[socket.IP_TTL])


@pytest.fixture
def plain() -> Iterator[Plain]:
    peer = Plain()
    with peer.socket:
        yield peer


@contextlib.asynccontextmanager
async def connecting(port: int, config: utcp.Config, **options: Any) -> Any:
    """A connection attempt that goes on during the block, and is cancelled then."""
    attempt = asyncio.ensure_future(
        utcp.create_connection(asyncio.Protocol, HOST, port, config=config, **options)
    )
    try:
        yield
    finally:
        attempt.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await attempt


@pytest.mark.rfc("MUST-43")
async def test_a_local_address_can_be_given(plain: Plain) -> None:
    async with connecting(plain.port, utcp.Config(), local_addr=("127.0.0.9", 0)):
        syn = await plain.receive()
    assert syn.sender[0] == "127.0.0.9"


@pytest.mark.rfc("MUST-44", "MUST-45")
async def test_without_one_ip_chooses_before_the_syn_and_it_stays() -> None:
    served: asyncio.Queue[Any] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.put_nowait(writer.get_extra_info("sockname"))
        writer.write(await reader.read())
        writer.close()
        await writer.wait_closed()

    async with await utcp.start_server(serve, "0.0.0.0", 0) as server:
        port = server.sockets[0].getsockname()[1]
        # The server has every address; it answers from the one that the client has chosen,
        # and the client, which hears nothing else, gets the answer.
        reader, writer = await utcp.open_connection("127.0.0.3", port)
        assert writer.get_extra_info("sockname")[0] not in {"0.0.0.0", ""}
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        assert await served.get() == ("127.0.0.3", port)
        writer.close()
        await writer.wait_closed()


@pytest.mark.rfc("MUST-46")
@pytest.mark.parametrize("host", ["224.0.0.1", "255.255.255.255", "127.255.255.255", "ff02::1"])
async def test_open_to_a_broadcast_or_multicast_address_is_refused(host: str) -> None:
    attempt = asyncio.ensure_future(utcp.open_connection(host, 7007))
    await asyncio.wait([attempt], timeout=1)
    assert attempt.done(), "it was tried"
    with pytest.raises(OSError, match=r"."):
        await attempt


@pytest.mark.rfc("MUST-57")
async def test_a_syn_to_a_broadcast_address_is_discarded(plain: Plain) -> None:
    server = await utcp.create_server(asyncio.Protocol, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    plain.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    plain.socket.sendto(SYN_DATAGRAM, ("127.255.255.255", port))
    # One to the server itself is answered, and it is the only one that is.
    plain.socket.sendto(encode_segment(SYN, 5000), (HOST, port))
    answer = (await plain.receive()).segment
    assert answer.flags & (SYN | ACK) == SYN | ACK
    assert answer.ack32 == 5001
    server.close()
    await server.wait_closed()


@pytest.mark.rfc("MUST-48", "SHLD-22")
async def test_the_diffserv_field_goes_to_ip_as_it_is(plain: Plain) -> None:
    async with connecting(plain.port, utcp.Config(dscp=46)):
        assert (await plain.receive()).tos >> 2 == 46


@pytest.mark.rfc("MUST-49")
async def test_the_time_to_live_can_be_set(plain: Plain) -> None:
    async with connecting(plain.port, utcp.Config(ttl=7)):
        assert (await plain.receive()).ttl == 7


@pytest.mark.rfc("SHLD-21")
async def test_the_diffserv_field_can_change_during_a_connection(plain: Plain) -> None:
    connection = asyncio.ensure_future(utcp.open_connection(HOST, plain.port))
    syn = await plain.receive()
    assert syn.tos >> 2 == 0
    syn_ack = encode_segment(SYN | ACK, 3000, syn.segment.seq32 + 1)
    plain.socket.sendto(syn_ack, syn.sender)
    _, writer = await connection
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 10 << 2)
    writer.write(b"hello")
    while (datagram := await plain.receive()).segment.payload != b"hello":
        assert datagram.tos >> 2 == 0
    assert datagram.tos >> 2 == 10
    writer.transport.abort()


@pytest.mark.rfc("SHLD-20")
def test_an_application_that_ignores_soft_errors_is_not_disturbed() -> None:
    """A report is one bit among the events: who does not look at it has turned it off."""
    world = pair(seed=1, link=LinkConfig(delay_ns=10 * MS))
    client, server = world.connect()
    world.a.run(Source(client, 50_000))
    world.b.run(Sink(server, 50_000, finish="close"))
    world.a.node.unreachable(world.now, client.addr, hard=False)
    assert client.soft_error
    world.run_until(lambda: world.finished, limit_ns=60 * SECOND)
