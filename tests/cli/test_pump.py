"""The two sides of a bridge, where a real network would have to be unlucky."""

from __future__ import annotations

import asyncio
from typing import Any

from utcp.cli.pump import Side


class Socket:
    def setsockopt(self, *arguments: object) -> None:
        """That aborting means a reset."""


class Transport(asyncio.Transport):
    """Of a kernel's TCP that has been reset, which the event loop has not seen yet."""

    def __init__(self) -> None:
        super().__init__({"socket": Socket()})
        self.aborted = False

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""

    def is_closing(self) -> bool:
        return self.aborted

    def write_eof(self) -> None:
        raise OSError(107, "Transport endpoint is not connected")

    def abort(self) -> None:
        self.aborted = True


class Watcher:
    def made(self, side: Side) -> None:
        """Nobody asks."""

    def lost(self, side: Side, exc: Exception | None) -> None:
        """Nobody asks."""


def test_an_end_for_somebody_who_has_gone() -> None:
    one, two = Side(Watcher()), Side(Watcher())
    transports: Any = [Transport(), Transport()]
    for side, transport in zip((one, two), transports, strict=True):
        side.connection_made(transport)
    one.join(two)
    assert one.eof_received()  # raises nothing
    assert transports[1].aborted
