"""What every kind of UDP socket must do, on IPv4 and IPv6."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable

import pytest

from utcp.udp import (
    DEFAULT_MTU,
    LOST,
    SENT,
    TOO_BIG,
    ErrorReport,
    Path,
    UdpSocket,
    open_socket,
)

from .conftest import LINUX, Opener, Receiver

Kind = type[UdpSocket]


@pytest.fixture
def pair(open_: Opener, implementation: Kind, host: str) -> tuple[UdpSocket, UdpSocket]:
    """A socket connected to a bound one."""
    bound = open_(local_addr=(host, 0), implementation=implementation)
    connected = open_(remote_addr=bound.sockname, implementation=implementation)
    return connected, bound


def closed_port(host: str) -> tuple[str, int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        return (host, sock.getsockname()[1])


def unreachable(open_: Opener, kind: Kind, host: str) -> tuple[UdpSocket, tuple[str, int]]:
    """A socket, and an address that the kernel refuses to send to from there."""
    if ":" in host:
        sock = open_(local_addr=(host, 0), ipv6_only=True, implementation=kind)
        return sock, ("::ffff:198.51.100.1", 9)
    return open_(local_addr=(host, 0), implementation=kind), ("198.51.100.1", 9)


class TestBothWays:
    def test_there_and_back(self, pair: tuple[UdpSocket, UdpSocket], receive: Receiver) -> None:
        connected, bound = pair
        assert connected.send((), b"ping", 4, 0) == SENT
        assert receive(bound) == b"ping"
        assert (bound.stride, bound.ecn) == (0, 0)
        assert bound.addr == connected.sockname
        assert bound.send(bound.addr, b"pong", 4, 0) == SENT
        assert receive(connected) == b"pong"

    def test_what_is_kept_is_left_alone(
        self, pair: tuple[UdpSocket, UdpSocket], receive: Receiver
    ) -> None:
        connected, bound = pair
        for _ in range(2):
            views = []
            for data in (b"one", b"two", b"three"):
                assert connected.send((), data, 5, 0) == SENT
                assert receive(bound) == data
                views.append(bound.buffer[: len(data)])
                bound.keep()
            assert views == [b"one", b"two", b"three"]
            bound.reuse()
        # The fourth is the one that would have been filled next.
        assert len(bound._buffers) == 4
        assert connected.addr == connected.peername == bound.sockname

    def test_names(self, pair: tuple[UdpSocket, UdpSocket], host: str) -> None:
        connected, bound = pair
        assert bound.peername is None
        assert bound.sockname[0] == connected.sockname[0] == host
        assert bound.local(connected.sockname) == bound.sockname
        assert bound.remote(connected.sockname) == connected.sockname
        assert bound.address_of(connected.sockname) == connected.sockname
        assert bound.family == (socket.AF_INET6 if ":" in host else socket.AF_INET)

    def test_empty_datagram(self, pair: tuple[UdpSocket, UdpSocket], receive: Receiver) -> None:
        connected, bound = pair
        assert connected.send((), b"", 1400, 0) == SENT
        assert receive(bound) == b""

    def test_nothing_there(self, pair: tuple[UdpSocket, UdpSocket]) -> None:
        assert [sock.recv() for sock in pair] == [-1, -1]
        assert not pair[0].has_errors

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_kinds_of_data(
        self,
        pair: tuple[UdpSocket, UdpSocket],
        receive: Receiver,
        kind: Callable[[bytes], bytes | bytearray | memoryview],
    ) -> None:
        connected, bound = pair
        assert connected.send((), kind(b"abc"), 3, 0) == SENT
        assert receive(bound) == b"abc"

    def test_burst(self, pair: tuple[UdpSocket, UdpSocket], receive: Receiver) -> None:
        connected, bound = pair
        data = os.urandom(3 * 1200 + 7)
        assert connected.send((), data, 1200, 0) == SENT
        got = [receive(bound)]
        while sum(map(len, got)) < len(data):
            assert bound.stride in {0, 1200}
            got.append(receive(bound))
        assert b"".join(got) == data

    def test_largest(self, pair: tuple[UdpSocket, UdpSocket], receive: Receiver) -> None:
        connected, bound = pair
        headers = 48 if connected.family == socket.AF_INET6 else 28
        size = connected.path_mtu(()) - headers if LINUX else 9000
        data = os.urandom(size)
        assert connected.send((), data, size, 0) == SENT
        assert receive(bound) == data

    def test_traffic_class_of_each_datagram(
        self, pair: tuple[UdpSocket, UdpSocket], receive: Receiver
    ) -> None:
        connected, bound = pair
        # Changing seldom, then at each datagram: two ways of doing it must agree.
        classes = [0, *[2] * 20, *[1, 3] * 20, 0, 46 << 2 | 1]
        for tos in classes:
            assert connected.send((), b"x", 1, tos) == SENT
            receive(bound)
            if type(bound).__name__ == "LinuxUdpSocket":
                assert bound.ecn == tos & 3


class TestErrors:
    def test_closed_port(
        self,
        open_: Opener,
        implementation: Kind,
        host: str,
        wait_for_error: Callable[[UdpSocket], None],
    ) -> None:
        sock = open_(remote_addr=closed_port(host), implementation=implementation)
        assert sock.send((), b"anybody there?", 14, 0) == SENT
        wait_for_error(sock)
        assert sock.recv() == -1
        assert sock.has_errors
        (report,) = sock.errors()
        assert report[:3] == (sock.peername, True, 0)
        assert report.quoted in {b"", b"anybody there?"}
        assert (sock.has_errors, sock.errors()) == (False, [])

    def test_pending_error_does_not_eat_a_datagram(
        self,
        open_: Opener,
        implementation: Kind,
        host: str,
        receive: Receiver,
        wait_for_error: Callable[[UdpSocket], None],
    ) -> None:
        address = closed_port(host)
        sock = open_(remote_addr=address, implementation=implementation)
        sock.send((), b"too early", 9, 0)
        wait_for_error(sock)
        bound = open_(local_addr=address, implementation=implementation)
        assert sock.send((), b"in time", 7, 0) == SENT
        assert receive(bound) == b"in time"
        assert [report.hard for report in sock.errors()] == [True]

    def test_too_long_for_udp(self, pair: tuple[UdpSocket, UdpSocket]) -> None:
        connected, _ = pair
        assert connected.send((), bytes(65_528), 65_528, 0) == TOO_BIG
        assert connected.has_errors
        (report,) = connected.errors()
        assert report == (connected.peername, False, connected.path_mtu(()), b"")
        assert connected.errors() == []

    @pytest.mark.skipif(not LINUX, reason="the MTU of loopback is another elsewhere")
    @pytest.mark.usefixtures("ipv6")
    def test_too_big_for_the_path(self, open_: Opener, implementation: Kind) -> None:
        # The one path everybody has: 65,536 bytes, less than a UDP payload over IPv6 may need.
        bound = open_(local_addr=("::1", 0), ipv6_only=True, implementation=implementation)
        size = bound.path_mtu(bound.sockname) - 48
        assert bound.send(bound.sockname, bytes(size), size, 0) == SENT
        assert bound.send(bound.sockname, bytes(size + 1), size + 1, 0) == TOO_BIG
        assert bound.errors() == [ErrorReport(bound.sockname, False, size + 48, b"")]
        assert bound.errors() == []

    def test_lost_is_counted(self, open_: Opener, implementation: Kind, host: str) -> None:
        sock, away = unreachable(open_, implementation, host)
        assert sock.send(away, b"x", 1, 0) == LOST
        assert sock.last_errno in sock.lost
        assert sum(sock.lost.values()) == 1

    def test_send_after_close(self, open_: Opener, implementation: Kind, host: str) -> None:
        sock = open_(local_addr=(host, 0), implementation=implementation)
        sock.close()
        sock.close()
        assert sock.fileno() == -1
        with pytest.raises(OSError, match=r"Bad file descriptor|not a socket"):
            sock.send((host, 9), b"x", 1, 0)
        with pytest.raises(OSError, match=r"Bad file descriptor|not a socket"):
            sock.recv()

    def test_report_is_a_plain_tuple(self) -> None:
        addr, hard, mtu, quoted = ErrorReport(("192.0.2.1", 1), False, 1400, b"q")
        assert (addr, hard, mtu, quoted) == (("192.0.2.1", 1), False, 1400, b"q")


class TestPathMtu:
    @pytest.mark.skipif(not LINUX, reason="elsewhere the system may not tell")
    def test_loopback(self, pair: tuple[UdpSocket, UdpSocket]) -> None:
        connected, bound = pair
        assert connected.path_mtu(()) > 60_000
        assert bound.path_mtu(connected.sockname) == connected.path_mtu(())

    @pytest.mark.skipif(not LINUX, reason="elsewhere the system may not tell")
    def test_is_asked_once_a_second(
        self, open_: Opener, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bound = open_(local_addr=(host, 0))
        peers = [open_(local_addr=(host, 0)).sockname for _ in range(2)]
        asked: list[object] = []
        connect = bound._connect_helper

        def connect_helper(sock: UdpSocket, remote: tuple[object, ...]) -> socket.socket:
            asked.append(remote)
            return connect(remote)

        monkeypatch.setattr(UdpSocket, "_connect_helper", connect_helper)
        now = 1.0
        monkeypatch.setattr("utcp.udp.base.monotonic", lambda: now)
        found = [bound.path_mtu(peer) for peer in peers]
        assert asked == peers[:1]
        now = 2.0
        found.append(bound.path_mtu(peers[1]))
        assert asked == peers
        # What the kernel refuses to send it knows better now.
        size = found[0]
        assert bound.send(peers[1], bytes(size), size, 0) == TOO_BIG
        assert len(asked) == 3
        assert bound.errors()[0].mtu == size
        assert found == [size] * 3

    def test_no_route(self, open_: Opener, implementation: Kind, host: str) -> None:
        sock, away = unreachable(open_, implementation, host)
        assert sock.path_mtu(away) == DEFAULT_MTU
        assert sock.address_of(away) == away


class TestOpening:
    def test_any_port(self, open_: Opener, implementation: Kind) -> None:
        sock = open_(implementation=implementation)
        assert sock.sockname[0] == "0.0.0.0"
        assert sock.sockname[1] > 0

    def test_given_socket(self, open_: Opener, implementation: Kind, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_DGRAM)
        raw.bind((host, 0))
        sock = open_(sock=raw, implementation=implementation)
        assert sock.sockname == raw.getsockname()
        assert sock.fileno() == raw.fileno()
        assert not raw.getblocking()

    def test_given_socket_of_the_wrong_kind(self) -> None:
        with socket.socket() as raw:
            with pytest.raises(ValueError, match="UDP socket"):
                open_socket(sock=raw)
            assert raw.fileno() >= 0

    def test_given_socket_with_an_address(self) -> None:
        with (
            socket.socket(type=socket.SOCK_DGRAM) as raw,
            pytest.raises(ValueError, match="combined"),
        ):
            open_socket(sock=raw, local_addr=("127.0.0.1", 0))

    def test_hop_limit(self, open_: Opener, implementation: Kind, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_DGRAM)
        open_(sock=raw, ttl=7, implementation=implementation)
        if family == socket.AF_INET6:
            assert raw.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) == 7
        else:
            assert raw.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 7

    def test_buffers_are_read_back(self, open_: Opener, implementation: Kind) -> None:
        raw = socket.socket(type=socket.SOCK_DGRAM)
        small = raw.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        sock = open_(sock=raw, rcvbuf=4 * small, sndbuf=4 * small, implementation=implementation)
        assert sock.rcvbuf == raw.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert sock.sndbuf == raw.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert sock.rcvbuf >= small

    def test_buffers_never_shrink(self, open_: Opener, implementation: Kind) -> None:
        raw = socket.socket(type=socket.SOCK_DGRAM)
        before = raw.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert open_(sock=raw, rcvbuf=4096, implementation=implementation).rcvbuf == before

    def test_ports_are_shared_only_on_request(
        self, open_: Opener, implementation: Kind, host: str
    ) -> None:
        first = open_(local_addr=(host, 0), reuse_port=True, implementation=implementation)
        second = open_(local_addr=first.sockname, reuse_port=True, implementation=implementation)
        assert second.sockname == first.sockname
        with pytest.raises(OSError, match="in use"):
            open_(local_addr=first.sockname, implementation=implementation)

    @pytest.mark.skipif(sys.platform == "win32", reason="counts file descriptors")
    def test_no_file_descriptor_is_leaked(self, implementation: Kind, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        taken = open_socket(family=family, local_addr=(host, 0), implementation=implementation)
        gc.collect()
        before = _descriptors()
        for _ in range(3):
            sock = open_socket(family=family, local_addr=(host, 0), implementation=implementation)
            sock.path_mtu(taken.sockname)
            sock.address_of(taken.sockname)
            sock.close()
            with pytest.raises(OSError, match="in use"):
                open_socket(family=family, local_addr=taken.sockname, implementation=implementation)
        assert _descriptors() == before
        taken.close()


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%lo", "fe80::2%lo", False),
        ("fe80::1%lo", "fe80::1", True),
    ],
)
def test_what_tells_hosts_apart(open_: Opener, one: str, other: str, same: bool) -> None:
    sock = open_(local_addr=("::1" if ":" in one else "127.0.0.1", 0))
    assert (sock.host((one, 1)) == sock.host((other, 2))) == same
    assert (sock.host(Path((one, 1), "")) == sock.host((other, 2))) == same
