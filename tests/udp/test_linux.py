"""What Linux adds: bursts, trains, ECN, source addresses, the error queue."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Callable

import pytest

from utcp.udp import (
    SENT,
    Capabilities,
    ErrorReport,
    LinuxUdpSocket,
    Path,
    PortableUdpSocket,
    UdpSocket,
    probe,
)

from .conftest import LINUX, Opener, Receiver

pytestmark = pytest.mark.skipif(not LINUX, reason="needs Linux")

needs_gso = pytest.mark.skipif(
    not (LINUX and probe().segment and probe().gro), reason="this kernel has no UDP GSO and GRO"
)


def plain_socket(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(
        socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM
    )
    sock.bind(address)
    sock.settimeout(5.0)
    return sock


@needs_gso
class TestBursts:
    @pytest.mark.parametrize(
        ("segment_size", "length"),
        [(1448, 44 * 1448), (1448, 43 * 1448 + 1), (1200, 1201), (100, 6400), (1024, 64 * 1000)],
    )
    def test_one_call_each_way(
        self, open_: Opener, receive: Receiver, host: str, segment_size: int, length: int
    ) -> None:
        bound = open_(local_addr=(host, 0))
        connected = open_(remote_addr=bound.sockname)
        data = os.urandom(length)
        assert connected.send((), data, segment_size, 0) == SENT
        assert receive(bound) == data
        assert bound.stride == segment_size
        assert bound.recv() == -1

    def test_stride_of_a_single_datagram_is_zero_again(
        self, open_: Opener, receive: Receiver, host: str
    ) -> None:
        bound = open_(local_addr=(host, 0))
        connected = open_(remote_addr=bound.sockname)
        for data, stride in [(bytes(3000), 1000), (bytes(1000), 0), (bytes(2500), 1000)]:
            connected.send((), data, 1000, 0)
            receive(bound)
            assert bound.stride == stride

    def test_largest_burst(self, open_: Opener, receive: Receiver, host: str) -> None:
        bound = open_(local_addr=(host, 0))
        connected = open_(remote_addr=bound.sockname)
        data = os.urandom(connected.max_burst_bytes)
        assert connected.send((), data, 1448, 2) == SENT
        assert receive(bound) == data

    def test_peer_without_gro_sees_datagrams(self, open_: Opener, host: str) -> None:
        with plain_socket((host, 0)) as peer:
            connected = open_(remote_addr=peer.getsockname())
            connected.send((), b"aaabbbcc", 3, 0)
            assert [peer.recv(10) for _ in range(3)] == [b"aaa", b"bbb", b"cc"]

    def test_burst_of_one_through_a_socket_told_not_to(self, host: str) -> None:
        with plain_socket((host, 0)) as peer:
            raw = plain_socket((host, 0))
            raw.connect(peer.getsockname())
            sock = LinuxUdpSocket(raw, Capabilities())
            assert sock.max_burst_segments == 1
            assert sock.send((), b"aaabb", 3, 2) == SENT
            assert [peer.recv(10) for _ in range(2)] == [b"aaa", b"bb"]
            sock.close()

    def test_unconnected_bursts_with_a_mark(
        self, open_: Opener, receive: Receiver, host: str
    ) -> None:
        one, other = open_(local_addr=(host, 0)), open_(local_addr=(host, 0))
        for tos in (2, 3, 0, 2):
            assert one.send(other.sockname, bytes(5000), 1000, tos) == SENT
            assert len(receive(other)) == 5000
            assert (other.stride, other.ecn, other.addr) == (1000, tos, one.sockname)


class TestWildcard:
    @pytest.mark.parametrize("ours", ["127.0.0.1", "127.0.0.2"])
    @pytest.mark.parametrize("length", [4, 3000])
    def test_answer_comes_from_the_address_asked(
        self, open_: Opener, receive: Receiver, ours: str, length: int
    ) -> None:
        server = open_(local_addr=("0.0.0.0", 0))
        client = open_(remote_addr=(ours, server.sockname[1]))
        client.send((), b"ask", 3, 0)
        assert receive(server) == b"ask"
        assert server.addr == Path(client.sockname, ours)
        assert server.remote(server.addr) == client.sockname
        assert server.local(server.addr) == client.peername
        assert server.send(server.addr, bytes(length), 1000, 2) == SENT
        assert receive(client) == bytes(length)
        assert client.ecn == 2

    @pytest.mark.usefixtures("ipv6")
    @pytest.mark.parametrize("ours", ["::1", "127.0.0.1", "127.0.0.2"])
    def test_dual_stack(self, open_: Opener, receive: Receiver, ours: str) -> None:
        server = open_(local_addr=("::", 0), ipv6_only=False)
        client = open_(remote_addr=(ours, server.sockname[1]))
        for tos in [1] * 3 + [3] * 20:  # both ways of setting it
            client.send((), b"ask", 3, tos)
            assert receive(server) == b"ask"
            assert server.ecn == tos
            mapped = ours if ":" in ours else f"::ffff:{ours}"
            assert isinstance(server.addr, Path)
            assert server.addr.local == server.local(server.addr)[0] == mapped
            assert server.addr.remote[1] == client.sockname[1]
            assert server.send(server.addr, bytes(2500), 1000, tos) == SENT
            assert receive(client) == bytes(2500)
            assert client.ecn == tos

    def test_same_peer_has_the_same_address(self, open_: Opener, receive: Receiver) -> None:
        server = open_(local_addr=("0.0.0.0", 0))
        clients = [open_(remote_addr=("127.0.0.1", server.sockname[1])) for _ in range(2)]
        seen = []
        for client in clients * 2:
            client.send((), b"x", 1, 0)
            receive(server)
            seen.append(server.addr)
        assert seen[0] is seen[2]
        assert seen[1] is seen[3]
        assert len(set(seen)) == 2

    def test_memory_is_bounded(self, open_: Opener, receive: Receiver) -> None:
        server = open_(local_addr=("0.0.0.0", 0))
        assert isinstance(server, LinuxUdpSocket)
        client = open_(remote_addr=("127.0.0.1", server.sockname[1]))
        client.send((), b"x", 1, 0)
        receive(server)
        first = server.addr
        for port in range(5000):
            server._learn_path(("192.0.2.1", port))
        assert len(server._paths) <= 4096
        client.send((), b"x", 1, 0)
        receive(server)
        assert server.addr == first
        for size in range(1, 2000):
            server.send(first, bytes(2 * size), size, 0)
        assert len(server._ancillaries) <= 1024

    def test_plain_address_will_do_to_send(self, open_: Opener, receive: Receiver) -> None:
        server = open_(local_addr=("0.0.0.0", 0))
        peer = open_(local_addr=("127.0.0.1", 0))
        assert server.send(peer.sockname, b"hello", 5, 0) == SENT
        assert receive(peer) == b"hello"
        peer.send(peer.addr, b"back", 4, 0)
        assert receive(server) == b"back"
        assert server.addr == server.address_of(peer.sockname)
        assert server.path_mtu(server.addr) > 60_000

    @pytest.mark.usefixtures("ipv6")
    def test_address_of_ipv6_is_complete(self, open_: Opener) -> None:
        server = open_(local_addr=("::", 0))
        assert server.address_of(("0::1", 9)) == Path(("::1", 9, 0, 0), "::1")

    def test_error_names_the_path(
        self, open_: Opener, wait_for_error: Callable[[UdpSocket], None]
    ) -> None:
        server = open_(local_addr=("0.0.0.0", 0))
        with plain_socket(("127.0.0.1", 0)) as peer:
            gone = peer.getsockname()
        path = Path(gone, "127.0.0.2")
        assert server.send(path, b"quote me", 8, 0) == SENT
        wait_for_error(server)
        assert server.errors() == [ErrorReport(path, True, 0, b"quote me")]

    def test_source_address_that_is_not_ours(self, open_: Opener) -> None:
        server = open_(local_addr=("0.0.0.0", 0))
        segments = server.max_burst_segments
        assert server.send(Path(("127.0.0.1", 9), "192.0.2.77"), bytes(3000), 1000, 0) != SENT
        assert server.max_burst_segments == segments  # GSO is not to blame


class TestErrorQueue:
    def test_unconnected_socket_learns_who_is_gone(
        self, open_: Opener, host: str, wait_for_error: Callable[[UdpSocket], None]
    ) -> None:
        sock = open_(local_addr=(host, 0))
        alive = open_(local_addr=(host, 0))
        with plain_socket((host, 0)) as peer:
            gone = peer.getsockname()
        sock.send(gone, b"0123456789", 10, 0)
        wait_for_error(sock)
        assert sock.send(alive.sockname, b"x", 1, 0) == SENT
        assert alive.recv() == 1
        assert sock.has_errors
        assert sock.errors() == [ErrorReport(gone, True, 0, b"0123456789")]

    def test_loop_does_not_spin_once_drained(self, open_: Opener, host: str) -> None:
        with plain_socket((host, 0)) as peer:
            gone = peer.getsockname()
        sock = open_(remote_addr=gone)
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        for _ in range(3):
            sock.send((), b"x", 1, 0)
            sock.send((), b"y", 1, 0)
        assert poll.poll(5000)[0][1] & select.POLLERR
        while sock.recv() >= 0:
            pass
        assert sock.has_errors
        assert len(sock.errors()) == 6
        assert poll.poll(0) == []

    def test_flood_is_cut_short(self, open_: Opener, host: str) -> None:
        with plain_socket((host, 0)) as peer:
            gone = peer.getsockname()
        sock = open_(remote_addr=gone)
        for _ in range(100):
            sock.send((), b"x", 1, 0)
        first = sock.errors()
        assert sock.has_errors
        assert len(first) + len(sock.errors()) == 100
        assert not sock.has_errors

    @pytest.mark.usefixtures("ipv6")
    def test_ipv4_peer_of_a_dual_stack_socket(
        self, open_: Opener, wait_for_error: Callable[[UdpSocket], None]
    ) -> None:
        with plain_socket(("127.0.0.1", 0)) as peer:
            port = peer.getsockname()[1]
        server = open_(local_addr=("::", 0), ipv6_only=False)
        path = server.address_of(("::ffff:127.0.0.1", port))
        assert server.send(path, b"quote me", 8, 0) == SENT
        wait_for_error(server)
        assert server.errors() == [ErrorReport(path, True, 0, b"quote me")]

    @pytest.mark.parametrize(
        ("code", "origin", "kind", "report"),
        [
            (errno.EMSGSIZE, 2, 3, ErrorReport(("192.0.2.1", 7), False, 1280, b"q")),
            (errno.EHOSTUNREACH, 2, 3, ErrorReport(("192.0.2.1", 7), False, 0, b"q")),
            (errno.ENOPROTOOPT, 2, 3, ErrorReport(("192.0.2.1", 7), True, 0, b"q")),
            (errno.EMSGSIZE, 1, 0, None),  # local: send() has said it
            (0, 4, 0, None),  # a time stamp
        ],
    )
    def test_messages_of_the_queue(
        self, open_: Opener, code: int, origin: int, kind: int, report: ErrorReport | None
    ) -> None:
        sock = open_(local_addr=("127.0.0.1", 0))
        assert isinstance(sock, LinuxUdpSocket)
        extended = code.to_bytes(4, sys.byteorder) + bytes([origin, kind, 4, 0])
        extended += (1280).to_bytes(4, sys.byteorder) + bytes(4 + 16)
        assert sock._read_error(b"q", [(0, 11, extended)], ("192.0.2.1", 7)) == report

    @pytest.mark.parametrize(
        ("origin", "kind", "code", "hard"),
        [
            (2, 3, 1, False),  # host unreachable
            (2, 3, 9, True),  # prohibited: network, host, communication
            (2, 3, 10, True),
            (2, 3, 13, True),
            (2, 11, 0, False),  # time exceeded
            (3, 1, 0, False),  # no route
            (3, 1, 1, True),  # prohibited
            (3, 1, 5, True),  # by a policy
            (3, 3, 1, False),
        ],
    )
    def test_a_firewall_that_says_no(
        self, open_: Opener, origin: int, kind: int, code: int, hard: bool
    ) -> None:
        sock = open_(local_addr=("127.0.0.1", 0))
        assert isinstance(sock, LinuxUdpSocket)
        extended = errno.EHOSTUNREACH.to_bytes(4, sys.byteorder) + bytes([origin, kind, code, 0])
        report = ErrorReport(("192.0.2.1", 7), hard, 0, b"q")
        message = (0, 11, extended + bytes(4 + 4 + 16))
        assert sock._read_error(b"q", [message], ("192.0.2.1", 7)) == report

    @pytest.mark.parametrize(
        ("code", "report"),
        [
            (errno.EMSGSIZE, None),
            (errno.ECONNREFUSED, ErrorReport(("192.0.2.1", 7), True, 0, b"")),
        ],
    )
    def test_messages_that_quote_nothing_change_no_mtu(
        self, open_: Opener, code: int, report: ErrorReport | None
    ) -> None:
        sock = open_(local_addr=("127.0.0.1", 0))
        assert isinstance(sock, LinuxUdpSocket)
        extended = code.to_bytes(4, sys.byteorder) + bytes([2, 3, 4, 0])
        extended += (1280).to_bytes(4, sys.byteorder) + bytes(4 + 16)
        assert sock._read_error(b"", [(0, 11, extended)], ("192.0.2.1", 7)) == report


class TestStatistics:
    def test_drops_are_counted(self, host: str) -> None:
        raw = plain_socket((host, 0))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        bound = LinuxUdpSocket(raw)
        assert bound.dropped == 0
        sender = PortableUdpSocket(plain_socket((host, 0)))
        for _ in range(50):
            sender.send(bound.sockname, bytes(1000), 1000, 0)
        kept = 0
        while bound.recv() >= 0:
            kept += 1
        assert bound.dropped == 50 - kept > 0
        bound.close()
        sender.close()
        assert bound.dropped == 0
