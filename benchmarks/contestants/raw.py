"""The ceiling: plain UDP sockets with GSO and GRO in Python, and nothing else.

Nothing is resent or kept in order; credit keeps the sender from running over the receiver, which
acknowledges each burst with one small datagram. Linux only.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Sequence
from typing import Final

from benchmarks.cases import Task, Way
from benchmarks.contestants import HOST, Contestant
from benchmarks.measure import Checker, Stopwatch, blocks, pattern
from benchmarks.side import ClientSide, ServerSide

UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104

_HEADERS: Final = 24  # of a utcp segment, so that the payloads compare
_MAX_BURST: Final = 65_000
_MAX_SEGMENTS: Final = 64
_PATIENCE: Final = 0.2
_WANTED_BUFFER: Final = 4 << 20


class Raw(Contestant):
    name = "raw"
    title = "plain UDP sockets"
    encrypts = False

    def missing(self) -> str:
        return "" if sys.platform == "linux" else "UDP_SEGMENT is Linux's"

    def ways(self, task: Task) -> Sequence[Way]:
        bulk = task.name.startswith("bulk/up")
        echo = task.question == "echo" and not task.beside_bulk
        return [Way("none", "sockets")] if bulk or echo else []

    def serve(self, side: ServerSide) -> None:
        with _bound() as sock:
            if side.task.question == "bulk":
                _receive(side, sock)
            else:
                _echo(side, sock)

    def ask(self, side: ClientSide) -> None:
        with _bound() as sock:
            if side.task.question == "bulk":
                _send(side, sock)
            else:
                _trips(side, sock)


def _receive(side: ServerSide, sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WANTED_BUFFER)
    allowed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    checker = Checker(every_byte=side.every_byte)
    buffer = memoryview(bytearray(65_536))
    side.listening((sock.getsockname()[1], allowed))
    while not side.over.is_set():
        try:
            got, _, _, sender = sock.recvmsg_into([buffer], 64)
        except TimeoutError:
            continue
        checker.feed(buffer[:got])
        sock.sendto(b"+", sender)
    side.report({"up": checker.count, "down": 0})


def _send(side: ClientSide, sock: socket.socket) -> None:
    port, receive_buffer = side.address()
    segment = side.task.segment + _HEADERS if side.task.segment else _MAX_BURST
    burst = segment * min(_MAX_SEGMENTS, _MAX_BURST // segment)
    # The kernel charges a burst with about twice its size; keep half of the buffer free.
    credit = most = max(1, min(16, receive_buffer // (4 * burst)))
    data = memoryview(pattern())
    period = len(data) // 2
    ancillary = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("@H", segment))]
    sock.connect((HOST, port))
    side.start()
    end_at, sent = time.perf_counter() + side.seconds, 0
    while not sent or (time.perf_counter() < end_at and sent < side.limit):
        start = sent % period
        sent += sock.sendmsg([data[start : start + burst]], ancillary)
        if not credit:
            sock.recv(1)
        else:
            credit -= 1
    for _ in range(most - credit):
        sock.recv(1)
    side.report({"up": sent, "down": 0, "seconds": side.meter.read()["seconds"]})


def _echo(side: ServerSide, sock: socket.socket) -> None:
    side.listening(sock.getsockname()[1])
    while not side.over.is_set():
        try:
            data, sender = sock.recvfrom(2048)
        except TimeoutError:
            continue
        sock.sendto(data, sender)
    side.report({})


def _trips(side: ClientSide, sock: socket.socket) -> None:
    sock.connect((HOST, side.address()))
    watch = Stopwatch(side.seconds, side.start)
    message = blocks(side.task.message)[0]
    more = True
    while more:
        watch.start()
        sock.send(message)
        if sock.recv(2048) != message:
            raise ValueError("another answer than the question")
        more = watch.stop()
    side.report(watch.read())


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.settimeout(_PATIENCE)
    return sock


CONTESTANT = Raw()
