"""Two processes talk TCP, and every datagram is drawn between the states of its two ends.

Each process drives `utcp.core` by hand over a UDP socket and writes down each datagram that it
sends or receives, with the time and the state that its end is in right after. Both clocks are the
machine's monotonic clock, so the two lists merge into one: what is drawn has really happened.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Final, Literal

from utcp.cli.processes import helper_process
from utcp.config import Config
from utcp.core import Connection, Endpoint, State
from utcp.core.events import CONNECTED, EOF
from utcp.core.segment import ACK, CWR, ECE, FIN, OK, PSH, RST, SYN, Segment

__all__ = ["Entry", "draw", "play"]

QUESTION: Final = b"How are you?"
ANSWER: Final = b"Fine, and you?"
LAST_WORDS: Final = b"So long!"

_QUIET: Final = 0.06  # seconds between the steps of the story: longer than a delayed ACK
_PATIENCE: Final = 10.0  # seconds until a step that does not end is an error
_ARROW: Final = 60  # columns between the two states


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that one end did, with the state of that end right after it."""

    at: int  # nanoseconds of the machine's monotonic clock
    kind: Literal["sent", "received", "did"]
    what: bytes | str  # the datagram, or the call
    state: str


class Party:
    """One end: a UDP socket, an endpoint of the core, and the list of what happened."""

    def __init__(self, config: Config) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = self.socket.getsockname()
        self.endpoint = Endpoint(config, os.urandom(32))
        self.peer: object = None
        self.connection: Connection | None = None
        self.received = b""
        self.eof = False
        self.entries: list[Entry] = []

    @property
    def state(self) -> State:
        if self.peer is None:
            return State.LISTEN if self.endpoint.listening else State.CLOSED
        return self.endpoint.state(self.peer)

    def did(self, call: str) -> None:
        """Write down a call of the application, then let its segments out."""
        self._note("did", call)
        self._flush()

    def pump(self, done: Callable[[], bool], seconds: float = _PATIENCE) -> None:
        """Receive, send and let timers run until `done()`. Raises TimeoutError."""
        limit = time.monotonic_ns() + int(seconds * 1e9)
        while not done():
            now = time.monotonic_ns()
            if now >= limit:
                raise TimeoutError(f"nothing more happened in state {self.state}")
            wait = (min(self.endpoint.poll_timeout(), limit) - now) / 1e9
            if select.select([self.socket], [], [], max(0.0, wait))[0]:
                self._receive()
            before = self.state
            self.endpoint.handle_timeout(time.monotonic_ns())
            if self.state is not before:
                self._note("did", "2 MSL over" if before is State.TIME_WAIT else "timer")
            self._collect()
            self._flush()

    def rest(self) -> None:
        """Let the line become quiet before the next step."""
        try:
            self.pump(lambda: False, _QUIET)
        except TimeoutError:
            return

    def _receive(self) -> None:
        datagram, self.peer = self.socket.recvfrom(65_535)
        self.endpoint.receive(time.monotonic_ns(), self.peer, datagram, len(datagram))
        self._note("received", datagram)

    def _collect(self) -> None:
        while (connection := self.endpoint.poll_ready()) is not None:
            events = connection.take_events()
            if events & CONNECTED:
                self.connection = connection
            self.received += connection.read()
            self.eof = self.eof or bool(events & EOF)

    def _flush(self) -> None:
        while (burst := self.endpoint.poll_transmit(time.monotonic_ns())) is not None:
            assert isinstance(burst.addr, tuple)
            for start in range(0, len(burst.data), burst.segment_size):
                datagram = burst.data[start : start + burst.segment_size]
                self._note("sent", datagram)
                self.socket.sendto(datagram, burst.addr)

    def _note(self, kind: Literal["sent", "received", "did"], what: bytes | str) -> None:
        self.entries.append(Entry(time.monotonic_ns(), kind, what, str(self.state)))


def play(config: Config) -> tuple[list[Entry], list[Entry]]:
    """Open, a question and its answer, half-close, last words, close: what both ends noted.

    Blocks for about a second. Raises OSError (TimeoutError included) if it does not go as told.
    """
    with helper_process(_serve, config) as pipe:
        client = Party(config)
        with client.socket:
            _ask(client, pipe.recv())
        server_entries = pipe.recv()
        if isinstance(server_entries, str):
            raise OSError(f"the server: {server_entries}")
        return client.entries, server_entries


def _ask(client: Party, server: object) -> None:
    client.did("")
    client.peer = server
    connection = client.endpoint.connect(time.monotonic_ns(), server)
    client.did("connect()")
    client.pump(lambda: client.connection is not None)
    client.rest()
    connection.write(QUESTION)
    client.did(f"write({len(QUESTION)} bytes)")
    client.pump(lambda: client.received == ANSWER)
    client.rest()
    connection.write_eof()
    client.did("write_eof()")
    client.pump(lambda: client.eof)
    if client.received != ANSWER + LAST_WORDS:
        raise OSError(f"the client received {client.received!r}")
    client.pump(lambda: client.state is State.CLOSED)


def _serve(pipe: Pipe, config: Config) -> None:
    server = Party(config)
    with server.socket, pipe:
        server.endpoint.listen()
        server.did("listen()")
        pipe.send(server.address)
        try:
            _answer(server)
        except OSError as error:
            pipe.send(str(error))
        else:
            pipe.send(server.entries)


def _answer(server: Party) -> None:
    server.pump(lambda: server.received == QUESTION)
    connection = server.connection
    if connection is None:
        raise OSError("data without a connection")
    connection.write(ANSWER)
    server.did(f"write({len(ANSWER)} bytes)")
    server.pump(lambda: server.eof)
    server.rest()
    connection.write(LAST_WORDS)
    server.did(f"write({len(LAST_WORDS)} bytes)")
    server.pump(lambda: connection.buffered == 0)
    server.rest()
    connection.close()
    server.did("close()")
    server.pump(lambda: server.state is State.CLOSED)


def draw(client: list[Entry], server: list[Entry]) -> Iterator[str]:
    """The ladder, line by line: time in milliseconds, the client, the datagram, the server."""
    origin = min(client[0].at, server[0].at)
    yield f"{'ms':>6}  {'client':<14}{'':{_ARROW}}  server"
    rows = [*_arrows(client, server, right=True), *_arrows(server, client, right=False)]
    rows += [(entry.at, _call(entry, left=True)) for entry in client if entry.kind == "did"]
    rows += [(entry.at, _call(entry, left=False)) for entry in server if entry.kind == "did"]
    for at, line in sorted(rows):
        yield f"{(at - origin) / 1e6:6.0f}  {line}"


def _call(entry: Entry, *, left: bool) -> str:
    call = str(entry.what)
    if left:
        return f"{entry.state:<14}{call}"
    return f"{'':14}{call:>{_ARROW}}  {entry.state}"


def _arrows(sender: list[Entry], receiver: list[Entry], *, right: bool) -> list[tuple[int, str]]:
    """One line for each datagram from `sender` to `receiver`, with the time it was sent."""
    arrivals = [entry for entry in receiver if entry.kind == "received"]
    base = _Base(sender)
    rows = []
    for entry in (entry for entry in sender if entry.kind == "sent"):
        # Datagrams may be lost, even here: then there is no arrival with the same bytes.
        arrival = next((other for other in arrivals if other.what == entry.what), None)
        if arrival is not None:
            arrivals.remove(arrival)
        text = f" {base.describe(entry.what)} " if isinstance(entry.what, bytes) else ""
        line = f"{text:─^{_ARROW - 3}}"
        line = f"{line}─> " if right else f"<─{line} "
        other = arrival.state if arrival is not None else "(lost)"
        ends = (entry.state, other) if right else (other, entry.state)
        rows.append((entry.at, f"{ends[0]:<14}{line} {ends[1]}"))
    return rows


class _Base:
    """The two initial sequence numbers, so that the numbers drawn start at 0."""

    __slots__ = ("_segment", "ack", "seq")

    def __init__(self, entries: list[Entry]) -> None:
        self._segment = Segment()
        self.seq = self._first_syn(entries, "sent")
        self.ack = self._first_syn(entries, "received")

    def _first_syn(self, entries: list[Entry], kind: str) -> int:
        for entry in entries:
            if entry.kind == kind and isinstance(entry.what, bytes):
                segment = self._parse(entry.what)
                if segment.flags & SYN:
                    return segment.seq32
        return 0

    def describe(self, datagram: bytes) -> str:
        """Flags, numbers, payload, window and the options of a SYN."""
        segment = self._parse(datagram)
        words = [",".join(_flag_names(segment.flags)), f"seq {_from(segment.seq32, self.seq)}"]
        if segment.flags & ACK:
            words.append(f"ack {_from(segment.ack32, self.ack)}")
        if payload := segment.end - segment.payload_at:
            words.append(f"+{payload} bytes")
        words.append(f"win {segment.window}")
        if segment.flags & SYN:
            words += _syn_options(segment)
        return " ".join(words)

    def _parse(self, datagram: bytes) -> Segment:
        if self._segment.parse(datagram, 0, len(datagram)) != OK:
            raise OSError("a datagram on the wire is no segment")
        return self._segment


def _from(number: int, base: int) -> int:
    return (number - base) & 0xFFFF_FFFF


def _flag_names(flags: int) -> Iterable[str]:
    names = {SYN: "SYN", FIN: "FIN", RST: "RST", PSH: "PSH", ACK: "ACK", ECE: "ECE", CWR: "CWR"}
    return (name for bit, name in names.items() if flags & bit)


def _syn_options(segment: Segment) -> Iterator[str]:
    if segment.mss >= 0:
        yield f"mss {segment.mss}"
    if segment.sack_permitted:
        yield "sack"
    if segment.has_timestamps:
        yield "ts"
    if segment.wscale >= 0:
        yield f"ws {segment.wscale}"
