"""What a measured process and the runner tell each other.

Server and client are processes of their own, each on its own core, each with a pipe to the runner:

    server                      runner                      client
    listening(address) -------->        -------------------> address()
                                        <------------------- start()    connections are there
    meter restarts     <--------        -------------------> meter restarts
    meter is read      <--------        <------------------- mark()     if there are two parts
                                        <------------------- report(figures)
    over               <--------
    report(figures)    -------->        -- pipes close ----> report returns
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from typing import Any

from benchmarks.cases import Case
from benchmarks.measure import Meter

Figures = dict[str, float]


class Side:
    """What both sides know."""

    def __init__(
        self, pipe: Pipe, case: Case, seconds: float, limit: int, every_byte: bool
    ) -> None:
        self.case = case
        self.task = case.task
        self.seconds = seconds
        """How long the work should take from `start`."""
        self.limit = limit
        """Bytes after which a sender stops, although its time is not over."""
        self.every_byte = every_byte
        """Whether a receiver should compare all bytes, or samples."""
        self.meter = Meter()
        self._pipe = pipe

    def _send(self, figures: Figures) -> None:
        self._pipe.send({**self.meter.read(), **figures})


class ServerSide(Side):
    """The side that is connected to."""

    over: threading.Event
    """Set when the work is done, and the server should report."""
    marked: Figures
    """What the meter said when the client called `mark`."""
    started = False
    """Whether the client has said that it starts."""

    def listening(self, address: Any, on_over: Callable[[], object] | None = None) -> None:
        """Tell where: anything that can be pickled. From now on, `over` may be set.

        `on_over` is called in another thread when it is.
        """
        self.over = threading.Event()
        self.marked = {}
        self._pipe.send(address)
        threading.Thread(target=self._obey, args=(on_over,), daemon=True).start()

    def report(self, figures: Figures) -> None:
        """Say what was measured. CPU time and memory are added."""
        self._send(figures)

    def _obey(self, on_over: Callable[[], object] | None) -> None:
        try:
            while (word := self._pipe.recv()) != "over":
                if word == "start":
                    self.meter.restart()
                    self.started = True
                else:
                    self.marked = self.meter.read()
                self._pipe.send("done")
        except EOFError:
            pass
        self.over.set()
        if on_over is not None:
            on_over()


class ClientSide(Side):
    """The side that connects, and takes the time."""

    def address(self) -> Any:
        """What the server gave to `listening`. Call it once."""
        return self._pipe.recv()

    def start(self) -> None:
        """All connections are there: restart the meters of both sides. Call it once."""
        self._pipe.send("start")
        self._pipe.recv()
        self.meter.restart()

    def mark(self) -> None:
        """The first part is done: have the server read its meter."""
        self._pipe.send("mark")
        self._pipe.recv()

    def report(self, figures: Figures) -> None:
        """Say what was measured. CPU time, seconds since `start` and memory are added.

        Returns when the server has reported too: connections should be open until then.
        """
        self._send(figures)
        with suppress(EOFError):
            self._pipe.recv()
