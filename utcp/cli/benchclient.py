"""One connection of `utcp bench`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Literal

from utcp.cli.benchwire import PREFIX, REPORT, Feeder, tcp_info, unpack_report
from utcp.cli.errors import ToolError

__all__ = ["Order", "Stream"]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done on each connection."""

    mode: Literal["up", "down", "echo"]
    seconds: float
    size: int  # bytes, 0: no bound


class Stream(asyncio.Protocol):
    """Sends or receives as ordered. `over` is done when the server has confirmed all of it."""

    def __init__(self, order: Order) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = 0  # bytes
        self._order = order
        self._tail = b""
        self._feeder: Feeder | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        """Of the connection."""
        assert self._transport is not None
        return self._transport

    @property
    def carried(self) -> int:
        """Bytes that have arrived where they should."""
        if self._order.mode == "up":
            return tcp_info(self.transport).bytes_acked
        return self.received

    @property
    def report(self) -> dict[str, Any]:
        """What the server says at the end of "up" and "down"."""
        return unpack_report(self._tail)

    def start(self) -> None:
        """Begin."""
        order = self._order
        if order.mode != "echo":
            wish = {"mode": order.mode, "seconds": order.seconds, "size": order.size}
            self.transport.write(PREFIX + json.dumps(wish).encode() + b"\n")
        if order.mode != "down":
            self._feeder = Feeder(self.transport, order.seconds, order.size)
            self._feed(self._feeder.feed())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._order.mode != "echo":
            if not self.received and data.startswith(PREFIX):
                self._end(ToolError("that is an echo server, but not utcp echo"))
            self._tail = data[-REPORT:] if len(data) >= REPORT else (self._tail + data)[-REPORT:]
        self.received += len(data)

    def pause_writing(self) -> None:
        if self._feeder is not None:
            self._feeder.pause()

    def resume_writing(self) -> None:
        if self._feeder is not None:
            self._feed(self._feeder.resume())

    def _feed(self, finished: bool) -> None:
        if finished:
            self._feeder = None
            self.transport.write_eof()

    def eof_received(self) -> bool:
        if self._order.mode == "echo":
            self._end(None if self._feeder is None else EOFError())
        elif "bytes" in self.report:
            if self._order.mode == "down":
                self.received -= REPORT
            self._end(None)
        else:
            self._end(EOFError())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or EOFError())

    def abort(self) -> None:
        """Whatever is still going on ends, and nobody asks how."""
        self.transport.abort()
        if not self.over.cancel() and not self.over.cancelled():
            self.over.exception()

    def _end(self, error: Exception | None) -> None:
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)
