"""Kernels that refuse: sockets whose system calls fail on request."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from utcp.udp import (
    LOST,
    SENT,
    TOO_BIG,
    WOULD_BLOCK,
    Capabilities,
    ErrorReport,
    LinuxUdpSocket,
    PortableUdpSocket,
    UdpSocket,
)

from .conftest import LINUX

UDP_SEGMENT = 103


class FaultySocket(socket.socket):
    """A UDP socket that fails with the errors it is given, one per call; 0: the call works."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.send_faults: list[int] = []
        self.recv_faults: list[int] = []
        self.gso_fault = 0
        self.calls = 0

    def _fail(self, faults: list[int]) -> None:
        self.calls += 1
        code = faults.pop(0) if faults else 0
        if code:
            raise OSError(code, os.strerror(code))

    def send(self, *args: Any) -> int:
        self._fail(self.send_faults)
        return super().send(*args)

    def sendto(self, *args: Any) -> int:
        self._fail(self.send_faults)
        return super().sendto(*args)

    def sendmsg(self, *args: Any) -> int:
        self._fail(self.send_faults)
        if self.gso_fault and any(kind == UDP_SEGMENT for _, kind, _ in args[1]):
            raise OSError(self.gso_fault, os.strerror(self.gso_fault))
        return super().sendmsg(*args)

    def recv_into(self, *args: Any) -> int:
        self._fail(self.recv_faults)
        return super().recv_into(*args)

    def recvmsg_into(self, *args: Any) -> Any:
        self._fail(self.recv_faults)
        return super().recvmsg_into(*args)


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


@pytest.fixture
def faulty(peer: socket.socket) -> FaultySocket:
    raw = FaultySocket()
    raw.connect(peer.getsockname())
    return raw


@pytest.fixture(
    params=[
        LinuxUdpSocket,
        lambda raw: LinuxUdpSocket(raw, Capabilities()),
        PortableUdpSocket,
    ],
    ids=["linux", "old linux", "portable"],
)
def sock(faulty: FaultySocket, request: pytest.FixtureRequest) -> Iterator[UdpSocket]:
    if request.param is not PortableUdpSocket and not LINUX:
        pytest.skip("needs Linux")
    sock: UdpSocket = request.param(faulty)
    yield sock
    sock.close()


@pytest.fixture
def bursting(faulty: FaultySocket) -> Iterator[LinuxUdpSocket]:
    if not LINUX:
        pytest.skip("needs Linux")
    sock = LinuxUdpSocket(faulty, Capabilities(segment=True, send_tos=True))
    assert sock.max_burst_segments > 1
    yield sock
    sock.close()


Form = Callable[[bytes], bytes | list[bytes | memoryview]]


def in_pieces(data: bytes) -> list[bytes | memoryview]:
    return [data[:1], memoryview(data)[1:]]


@pytest.fixture(params=[bytes, in_pieces], ids=["whole", "in pieces"])
def form(request: pytest.FixtureRequest) -> Form:
    """How a burst is handed to `send`."""
    chosen: Form = request.param
    return chosen


def arrived(peer: socket.socket) -> list[bytes]:
    datagrams = []
    while True:
        try:
            datagrams.append(peer.recv(65536))
        except BlockingIOError:
            return datagrams


class TestSend:
    def test_segment_size_zero_is_a_single_datagram(
        self, form: Form, sock: UdpSocket, peer: socket.socket
    ) -> None:
        assert sock.send((), form(b"whole"), 0, 0) == SENT
        assert sock.send((), b"", 0, 0) == SENT
        assert arrived(peer) == [b"whole", b""]

    def test_would_block(self, form: Form, sock: UdpSocket, faulty: FaultySocket) -> None:
        faulty.send_faults = [errno.EAGAIN]
        assert sock.send((), form(b"x"), 1, 0) == WOULD_BLOCK
        assert (sock.lost, sock.has_errors) == ({}, False)
        assert sock.send((), form(b"x"), 1, 0) == SENT

    @pytest.mark.parametrize("code", [errno.ENOBUFS, errno.EPERM])
    def test_lost(self, form: Form, sock: UdpSocket, faulty: FaultySocket, code: int) -> None:
        for _ in range(2):
            faulty.send_faults = [code]
            assert sock.send((), form(b"x"), 1, 0) == LOST
        assert sock.lost == {code: 2}
        assert sock.last_errno == code
        assert sock.errors() == []

    @pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED])
    def test_pending_error_is_no_loss(
        self, form: Form, sock: UdpSocket, faulty: FaultySocket, peer: socket.socket, code: int
    ) -> None:
        faulty.send_faults = [code]
        assert sock.send((), form(b"x"), 1, 0) == SENT
        assert arrived(peer) == [b"x"]
        assert sock.has_errors
        assert sock.lost == {}

    @pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED])
    def test_error_that_stays(
        self, form: Form, sock: UdpSocket, faulty: FaultySocket, code: int
    ) -> None:
        faulty.send_faults = [code, code]
        assert sock.send((), form(b"x"), 1, 0) == LOST
        assert sock.lost == {code: 1}
        assert sock.has_errors

    def test_pending_error_then_full(
        self, form: Form, sock: UdpSocket, faulty: FaultySocket
    ) -> None:
        faulty.send_faults = [errno.ECONNREFUSED, errno.EAGAIN]
        assert sock.send((), form(b"x"), 1, 0) == WOULD_BLOCK

    def test_too_big(self, form: Form, sock: UdpSocket, faulty: FaultySocket) -> None:
        for _ in range(3):
            faulty.send_faults = [errno.EMSGSIZE, errno.EMSGSIZE]
            assert sock.send((), form(b"x"), 1, 0) == TOO_BIG
        assert sock.last_errno == errno.EMSGSIZE
        assert sock.errors() == [ErrorReport(sock.peername or (), False, sock.path_mtu(()), b"")]

    def test_burst_cut_off_by_a_full_buffer(
        self, form: Form, sock: UdpSocket, faulty: FaultySocket, peer: socket.socket
    ) -> None:
        if sock.max_burst_segments > 1:
            pytest.skip("sends it all or not at all")
        faulty.send_faults = [0, errno.EAGAIN]
        # The caller must not repeat what has left.
        assert sock.send((), form(b"aabbc"), 2, 0) == LOST
        assert arrived(peer) == [b"aa"]
        faulty.send_faults = [errno.EAGAIN]
        assert sock.send((), form(b"aabbc"), 2, 0) == WOULD_BLOCK
        assert arrived(peer) == []


class TestGsoRefused:
    @pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL, errno.EOPNOTSUPP])
    def test_burst_leaves_in_single_datagrams(
        self,
        form: Form,
        bursting: LinuxUdpSocket,
        faulty: FaultySocket,
        peer: socket.socket,
        code: int,
    ) -> None:
        faulty.gso_fault = code
        assert bursting.send((), form(b"aabbc"), 2, 2) == SENT
        assert arrived(peer) == [b"aa", b"bb", b"c"]
        assert bursting.max_burst_segments == 1
        faulty.calls = 0
        assert bursting.send((), form(b"aabbc"), 2, 2) == SENT
        assert arrived(peer) == [b"aa", b"bb", b"c"]
        assert faulty.calls == 3
        assert bursting.lost == {}

    def test_refusal_that_means_too_big(
        self, form: Form, bursting: LinuxUdpSocket, faulty: FaultySocket
    ) -> None:
        # Kernels before 6.9 say EINVAL when a segment exceeds the MTU.
        faulty.send_faults = [errno.EINVAL, errno.EMSGSIZE, errno.EMSGSIZE]
        assert bursting.send((), form(b"aabbc"), 2, 0) == TOO_BIG
        assert bursting.max_burst_segments > 1

    def test_single_datagrams_are_not_suspected(
        self, form: Form, bursting: LinuxUdpSocket, faulty: FaultySocket
    ) -> None:
        faulty.send_faults = [errno.EINVAL]
        assert bursting.send((), form(b"aa"), 2, 0) == LOST
        assert bursting.max_burst_segments > 1


class TestRecv:
    @pytest.mark.parametrize(
        ("code", "hard"), [(errno.ECONNREFUSED, True), (errno.EHOSTUNREACH, False)]
    )
    def test_pending_error(
        self, sock: UdpSocket, faulty: FaultySocket, peer: socket.socket, code: int, *, hard: bool
    ) -> None:
        peer.sendto(b"x", faulty.getsockname())
        faulty.recv_faults = [code]
        assert sock.recv() == -1
        assert sock.has_errors
        if isinstance(sock, PortableUdpSocket):
            assert sock.errors() == [ErrorReport(sock.peername or (), hard, 0, b"")]
        assert sock.recv() == 1

    def test_no_memory(self, sock: UdpSocket, faulty: FaultySocket) -> None:
        faulty.recv_faults = [errno.ENOBUFS]
        assert sock.recv() == -1

    def test_unusable_socket(self, sock: UdpSocket, faulty: FaultySocket) -> None:
        faulty.recv_faults = [errno.EINVAL]
        with pytest.raises(OSError, match="Invalid argument"):
            sock.recv()
