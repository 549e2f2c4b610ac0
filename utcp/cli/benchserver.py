"""The server's side of a connection: echo, or what `utcp bench` asks for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, Literal

from utcp.cli.arguments import format_address
from utcp.cli.benchwire import PREFIX, Feeder, pack_report, tcp_info
from utcp.cli.errors import which
from utcp.cli.objects import parse_object
from utcp.cli.sizes import format_amount, format_rate

__all__ = ["BenchServer"]

_LONGEST_LINE: Final = 1024
_LONGEST_TEST: Final = 86_400.0


class BenchServer(asyncio.Protocol):
    """`tell(peer, line)` is called when the connection is over."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._mode: Literal["", "echo", "up", "down"] = ""
        self._head = b""  # what came before the mode is known
        self._received = 0
        self._started_at = self._loop.time()
        self._feeder: Feeder | None = None
        self._transport: asyncio.Transport | None = None
        self._peer = ""

    @property
    def _open(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = format_address(transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        if self._mode == "echo":
            self._received += len(data)
            self._open.write(data)
        elif self._mode == "up":
            self._received += len(data)
        elif not self._mode:
            self._head += data
            self._begin(ended=False)

    def _begin(self, *, ended: bool) -> None:
        """Find out from the first bytes what is wanted."""
        head = self._head
        line, newline, rest = head.partition(b"\n")
        if not ended and (
            PREFIX.startswith(head)
            or (head.startswith(PREFIX) and not newline and len(head) <= _LONGEST_LINE)
        ):
            return
        self._head = b""
        self._mode = "echo"
        if newline and line.startswith(PREFIX):
            self._obey(line[len(PREFIX) :])
        else:
            rest = head
        if rest:
            self.data_received(rest)

    def _obey(self, line: bytes) -> None:
        """Do what the client asks for; reset the connection if that is nothing."""
        try:
            order = parse_object(line)
            mode, seconds, size = order["mode"], float(order["seconds"]), int(order["size"])
        except (ValueError, TypeError, KeyError, OverflowError):
            mode, seconds, size = "", 0.0, 0
        if mode == "up":
            self._mode = "up"
        elif mode == "down" and 0 < seconds <= _LONGEST_TEST and size >= 0:
            self._mode = "down"
            self._feeder = Feeder(self._open, seconds, size)
            self._feed(self._feeder.feed())
        else:
            self._open.abort()

    def _feed(self, finished: bool) -> None:
        if finished and self._feeder is not None:
            info = tcp_info(self._open)
            report = pack_report(
                bytes=self._feeder.written,
                rtt_us=info.rtt,
                cwnd=info.snd_cwnd,
                retransmitted=info.total_retrans,
            )
            self._feeder = None
            self._open.write(report)
            self._open.write_eof()

    def pause_writing(self) -> None:
        if self._feeder is not None:
            self._feeder.pause()
        elif self._mode == "echo":
            self._open.pause_reading()

    def resume_writing(self) -> None:
        if self._feeder is not None:
            self._feed(self._feeder.resume())
        elif self._mode == "echo":
            self._open.resume_reading()

    def eof_received(self) -> bool:
        if not self._mode:
            self._begin(ended=True)
        if self._mode == "up":
            seconds = self._loop.time() - self._started_at
            self._open.write(pack_report(bytes=self._received, seconds=seconds))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        info = tcp_info(self._open)
        seconds = max(self._loop.time() - self._started_at, math.ulp(1.0))
        sent = info.bytes_acked
        how = which(exc) if exc is not None else "closed"
        self._tell(
            self._peer,
            f"{how} after {seconds:.1f} s, {format_amount(self._received)} in, "
            f"{format_amount(sent)} out, {format_rate(max(self._received, sent) / seconds)}, "
            f"{info.total_retrans:,} segments resent",
        )
