"""Inputs to begin with, made from real transcripts.

Two endpoints talk over a network that loses some of it. What one of them gets and does is written
down as the actions of `tests.fuzz.endpoint`, and every datagram as an input of the codec.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.fuzz import endpoint
from tests.fuzz.inputs import Input
from tests.fuzz.states import STATES, Play, listen, syn_sent
from tests.fuzz.subject import CONFIGS, PATTERN_IN, PEER, Subject
from utcp.config import Config
from utcp.core import Endpoint, Transmit
from utcp.testing.clock import MS

_TRANSCRIPTS: Final = 100
_STEPS: Final = 40
_SUBJECT: Final = "subject"
_MOST_BYTES: Final = 900


class _Heard(Subject):
    """A subject whose peer hears it."""

    __slots__ = ("out",)

    def __init__(self, variant: int) -> None:
        self.out: list[bytes] = []
        super().__init__(variant)

    def _sent(self, burst: Transmit, is_reply: bool) -> None:
        super()._sent(burst, is_reply)
        if burst.addr == PEER:
            data, size = burst.data, burst.segment_size
            self.out += [data[at : at + size] for at in range(0, len(data), size)]


class Transcript:
    """One conversation, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = rng = random.Random(seed)
        variant = seed % len(CONFIGS) | (8 if rng.random() < 0.5 else 0)
        begin = rng.choice((listen, syn_sent))
        self.data = bytearray((variant, STATES.index(begin)))
        """The input."""
        self.datagrams: list[bytes] = []
        self._heard = _Heard(variant)
        self._play = Play(variant)
        self._play.it = self._heard
        begin(self._play)
        config = Config(max_segment_size=rng.choice((88, 120)), keepalive=rng.random() < 0.3)
        self._peer = Endpoint(config, b"the entropy of the peer")
        if begin is listen:
            self._conn = self._peer.connect(self._heard.now, _SUBJECT)
        else:
            self._peer.listen()
        self._written = 0

    def record(self) -> None:
        """Let them talk."""
        loss = self._rng.choice((0.0, 0.1, 0.3))
        for _ in range(_STEPS):
            if len(self.data) > _MOST_BYTES:
                break
            self._application()
            for datagram in self._sent_by_peer():
                if self._rng.random() >= loss:
                    self._do(endpoint.raw, len(datagram).to_bytes(2) + datagram)
            out, self._heard.out = self._heard.out, []
            self.datagrams += out
            for datagram in out:
                if self._rng.random() >= loss:
                    self._peer.receive(self._heard.now, _SUBJECT, datagram, len(datagram))
            self._pass_time()

    def _do(self, action: Callable[[Play, Input], None], details: bytes = b"") -> None:
        self.data += bytes((endpoint.ACTIONS.index(action),)) + details
        action(self._play, Input(details))

    def _application(self) -> None:
        rng = self._rng
        while (conn := self._peer.poll_ready()) is not None:
            conn.take_events()
            self._conn = conn
            conn.read()
        match rng.randrange(8):
            case 0:
                self._do(endpoint.write, bytes((rng.randrange(256), rng.random() < 0.2)))
            case 1:
                self._do(endpoint.read, b"\0")
            case 2:
                if rng.random() < 0.2:
                    self._do(rng.choice((endpoint.write_eof, endpoint.close)))
            case 3 | 4:
                self._peer_writes(rng.randrange(400))
            case 5:
                if rng.random() < 0.2 and hasattr(self, "_conn"):
                    self._conn.write_eof()
            case _:
                pass

    def _peer_writes(self, size: int) -> None:
        if hasattr(self, "_conn"):
            try:
                self._conn.write(PATTERN_IN[self._written : self._written + size])
            except ConnectionError:
                return
            self._written += size

    def _sent_by_peer(self) -> list[bytes]:
        self._peer.settle()
        out = []
        while (burst := self._peer.poll_transmit(self._heard.now)) is not None:
            data, size = burst.data, burst.segment_size
            out += [data[at : at + size] for at in range(0, len(data), size)]
        self.datagrams += out
        return out

    def _pass_time(self) -> None:
        now = self._heard.now
        due = min(self._heard.endpoint.poll_timeout(), self._peer.poll_timeout())
        self._do(endpoint.wait, bytes((min(max(0, due - now) // MS + 1, 127),)))
        self._peer.handle_timeout(self._heard.now)


def transcripts(count: int = _TRANSCRIPTS) -> list[Transcript]:
    """So many conversations, always the same."""
    made = []
    for seed in range(count):
        transcript = Transcript(seed)
        transcript.record()
        made.append(transcript)
    return made


def write(directory: Path) -> int:
    """Write inputs for both targets below `directory`; returns how many there are."""
    made = transcripts()
    inputs = {
        "endpoint": {bytes(one.data) for one in made},
        "segment": {datagram for one in made for datagram in one.datagrams},
    }
    for target, each in inputs.items():
        place = directory / target
        place.mkdir(parents=True, exist_ok=True)
        for data in each:
            (place / hashlib.sha1(data).hexdigest()).write_bytes(data)
    return sum(map(len, inputs.values()))
