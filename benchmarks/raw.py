"""The ceiling: plain UDP sockets with GSO and GRO in Python, and nothing else.

Nothing is resent or kept in order; credit keeps the sender from running over the receiver, which
acknowledges each burst with one small datagram. Linux only.
"""

from __future__ import annotations

import socket
import struct
from multiprocessing.connection import Connection as Pipe
from typing import Final

from benchmarks.cases import Case
from benchmarks.echo import MESSAGE, Stopwatch
from benchmarks.measure import Meter, blocks
from benchmarks.transports import HOST

UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104

_HEADERS: Final = 24  # of a utcp segment, so that the payloads compare
_MAX_BURST: Final = 65_000
_MAX_SEGMENTS: Final = 64
_PATIENCE: Final = 5.0
_WANTED_BUFFER: Final = 4 << 20


def receive(pipe: Pipe, case: Case, size: int, every_byte: bool) -> None:
    """Main function of the receiving process; it checks lengths, not bytes."""
    del case, every_byte
    with _bound() as sock:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WANTED_BUFFER)
        allowed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        pipe.send(sock.getsockname()[1])
        pipe.send(allowed)
        buffer = bytearray(65_536)
        meter, count = Meter(), 0
        while count < size:
            got, _, _, sender = sock.recvmsg_into([buffer], 64)
            if not count:
                meter.restart()
            count += got
            sock.sendto(b"+", sender)
        pipe.send({"bytes": count, **meter.read()})


def send(pipe: Pipe, case: Case, size: int, port: int, receive_buffer: int) -> None:
    """Main function of the sending process."""
    segment = case.mss - 12 + _HEADERS if case.mss else _MAX_BURST
    burst = segment * min(_MAX_SEGMENTS, _MAX_BURST // segment)
    # The kernel charges a burst with about twice its size; keep half of the buffer free.
    credit = max(1, min(16, receive_buffer // (4 * burst)))
    data = memoryview(b"".join(blocks()))
    ancillary = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("@H", segment))]
    with _bound() as sock:
        sock.connect((HOST, port))
        meter, sent = Meter(), 0
        while sent < size:
            start = sent % (len(data) - burst)
            piece = data[start : start + min(burst, size - sent)]
            sent += sock.sendmsg([piece], ancillary if len(piece) > segment else [])
            if not credit:
                sock.recv(1)
            else:
                credit -= 1
        pipe.send(meter.read())


def serve(pipe: Pipe, case: Case) -> None:
    """Main function of the echoing process: ends with an empty datagram."""
    del case
    with _bound() as sock:
        pipe.send(sock.getsockname()[1])
        meter = Meter()
        while True:
            data, sender = sock.recvfrom(2048)
            if not data:
                break
            sock.sendto(data, sender)
        pipe.send(meter.read())


def ask(pipe: Pipe, case: Case, count: int, port: int) -> None:
    """Main function of the asking process."""
    del case
    with _bound() as sock:
        sock.connect((HOST, port))
        watch = Stopwatch(count)
        more = True
        while more:
            watch.start()
            sock.send(MESSAGE)
            more = watch.stop(sock.recv(2048))
        sock.send(b"")
        pipe.send(watch.read())


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    sock.settimeout(_PATIENCE)
    return sock
