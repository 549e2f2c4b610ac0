"""ENet, the transport of many games: C, by way of pyenet. Nothing is encrypted.

Its programs are loops around `Host.service`, as its users write them. Packets are reliable, on one
channel. Settings and what follows from them:

- no limits of bandwidth: its window is then 64 KiB, the greatest that it knows;
- packets of 4 KiB, which it cuts into fragments: the best of 1,300 bytes to 256 KiB;
- it has no backpressure, so the receiver answers each packet with one byte, and the sender is at
  most 128 KiB ahead of the answers: with longer queues it becomes slower;
- datagrams of 1,400 bytes, its default, which Python cannot change. So it takes no part where
  segments are as large as loopback allows.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from benchmarks.cases import Task, Way
from benchmarks.contestants import HOST, Contestant
from benchmarks.measure import Checker, Stopwatch, blocks, percentiles
from benchmarks.side import ClientSide, ServerSide, Side

_PACKET: Final = 4096
_AHEAD: Final = 128 << 10
_TURN_MS: Final = 10  # the longest wait for an event: the other thread needs a turn
_PATIENCE_S: Final = 10.0
_GOT: Final = b"+"
_BEGIN: Final = b"?"
_END: Final = b"."


class Enet(Contestant):
    name = "enet"
    title = "ENet (C, by pyenet)"
    encrypts = False

    def missing(self) -> str:
        return "" if find_spec("enet") else "not installed: pyenet"

    def ways(self, task: Task) -> Sequence[Way]:
        bulk = task.question == "bulk" and task.segment == 1448
        others = task.question in {"echo", "requests"}
        return [Way("none", "enet")] if task.headline and (bulk or others) else []

    def serve(self, side: ServerSide) -> None:
        if side.task.question == "bulk":
            _serve_bulk(side)
        else:
            _answer(side)

    def ask(self, side: ClientSide) -> None:
        if side.task.question == "bulk":
            _ask_bulk(side)
        elif side.task.question == "echo":
            _echo(side)
        else:
            _request(side)


class _Mover:
    """One end of a transfer."""

    def __init__(self, side: Side) -> None:
        self.checker = Checker(every_byte=side.every_byte)
        self.sent = 0
        self.answered = 0
        self._pieces = blocks(_PACKET)
        self._limit = side.limit
        self._seconds = side.seconds
        self._end_at = 0.0

    def begin(self) -> None:
        """From now on there is something to send."""
        self._end_at = time.perf_counter() + self._seconds

    @property
    def done(self) -> bool:
        """Whether all has been sent, and has arrived."""
        return self._over() and self.answered == self.sent

    def pump(self, peer: Any) -> None:
        """Send what may be sent now."""
        while self.sent - self.answered < _AHEAD and not self._over():
            _send(peer, self._pieces[self.sent // _PACKET % len(self._pieces)])
            self.sent += _PACKET

    def feed(self, peer: Any, data: bytes) -> None:
        """A packet has arrived."""
        if data == _GOT:
            self.answered += _PACKET
        else:
            self.checker.feed(data)
            _send(peer, _GOT)

    def _over(self) -> bool:
        return self.sent >= self._limit or time.perf_counter() >= self._end_at


def _serve_bulk(side: ServerSide) -> None:
    host = _listening(side)
    mover = _Mover(side)
    sending = False
    while not side.over.is_set():
        for peer, data in _received(host):
            if data == _BEGIN:
                mover.begin()
                sending = True
            else:
                mover.feed(peer, data)
            if sending and mover.done:
                _send(peer, _END)
                sending = False
            elif sending:
                mover.pump(peer)
    side.report({"up": mover.checker.count, "down": mover.sent})


def _ask_bulk(side: ClientSide) -> None:
    host, peers = _connected(side)
    peer = peers[0]
    mover = _Mover(side)
    side.start()
    mover.begin()
    up = side.task.direction == "up"
    over = False
    if up:
        mover.pump(peer)
    else:
        _send(peer, _BEGIN)
    while not over:
        for _, data in _received(host):
            if data == _END:
                over = True
            else:
                mover.feed(peer, data)
        if up:
            mover.pump(peer)
            over = mover.done
    seconds = side.meter.read()["seconds"]
    side.report({"up": mover.sent, "down": mover.checker.count, "seconds": seconds})


def _answer(side: ServerSide) -> None:
    host = _listening(side)
    while not side.over.is_set():
        for peer, data in _received(host):
            _send(peer, data)
    side.report({})


def _echo(side: ClientSide) -> None:
    host, (peer,) = _connected(side)
    message = blocks(side.task.message)[0]
    watch = Stopwatch(side.seconds, side.start)
    more = True
    while more:
        watch.start()
        _send(peer, message)
        answers: list[tuple[Any, bytes]] = []
        while not answers:
            answers = _received(host)
        more = watch.stop()
        if answers[0][1] != message:
            raise ValueError("another answer than the question")
    side.report(watch.read())


def _request(side: ClientSide) -> None:
    host, peers = _connected(side)
    message = blocks(side.task.message)[0]
    side.start()
    end_at = time.perf_counter_ns() + int(side.seconds * 1e9)
    took = array("q")
    asked_at = {}
    for peer in peers:
        asked_at[peer.incomingPeerID] = time.perf_counter_ns()
        _send(peer, message)
    while asked_at:
        for peer, data in _received(host):
            if data != message:
                raise ValueError("another answer than the question")
            now = time.perf_counter_ns()
            took.append(now - asked_at.pop(peer.incomingPeerID))
            if now < end_at:
                asked_at[peer.incomingPeerID] = now
                _send(peer, message)
    seconds = side.meter.read()["seconds"]
    side.report({"requests": len(took), **percentiles(took), "seconds": seconds})


def _listening(side: ServerSide) -> Any:
    host = _enet().Host(_enet().Address(HOST.encode(), 0), side.task.connections, 1, 0, 0)
    side.listening(host.address.port)
    return host


def _connected(side: ClientSide) -> tuple[Any, list[Any]]:
    """A host with so many peers, all connected to the server."""
    host = _enet().Host(None, side.task.connections, 1, 0, 0)
    address = _enet().Address(HOST.encode(), side.address())
    peers = [host.connect(address, 1) for _ in range(side.task.connections)]
    give_up_at = time.perf_counter() + _PATIENCE_S
    waiting = len(peers)
    while waiting:
        waiting -= host.service(_TURN_MS).type == _enet().EVENT_TYPE_CONNECT
        if time.perf_counter() > give_up_at:
            raise TimeoutError("no connection")
    return host, peers


def _received(host: Any) -> list[tuple[Any, bytes]]:
    """Packets that are there, or come within a moment, and from whom."""
    enet = _enet()
    found = []
    event = host.service(_TURN_MS)
    while event is not None and event.type != enet.EVENT_TYPE_NONE:
        if event.type == enet.EVENT_TYPE_DISCONNECT:
            raise ConnectionError("the peer is gone")
        if event.type == enet.EVENT_TYPE_RECEIVE:
            found.append((event.peer, event.packet.data))
        event = host.check_events()
    return found


def _send(peer: Any, data: bytes) -> None:
    enet = _enet()
    peer.send(0, enet.Packet(data, enet.PACKET_FLAG_RELIABLE))


@cache
def _enet() -> Any:
    return import_module("enet")


CONTESTANT = Enet()
