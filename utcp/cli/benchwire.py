"""What `utcp bench` says to `utcp echo`, and who sends as fast as it may.

A connection of the benchmark begins with PREFIX and one line of JSON that says what is to happen;
any other is echoed.

    up      client: bytes, EOF;                  server: REPORT bytes, EOF
    down    server: bytes, REPORT bytes, EOF;    client: EOF

A report is JSON, filled up with spaces.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, cast

from utcp.cli.objects import parse_object
from utcp.stats import TcpInfo

__all__ = ["PREFIX", "REPORT", "Feeder", "pack_report", "tcp_info", "unpack_report"]

PREFIX: Final = b"\x00utcp-bench/1 "
REPORT: Final = 512
"""Bytes."""
_BLOCK: Final = bytes(range(256)) * 1024


def pack_report(**fields: object) -> bytes:
    """A report with these fields."""
    return json.dumps(fields).encode().ljust(REPORT)


def unpack_report(data: bytes) -> dict[str, Any]:
    """The fields; none, if it is no report."""
    try:
        return parse_object(data)
    except ValueError:
        return {}


def tcp_info(transport: asyncio.BaseTransport) -> TcpInfo:
    """What TCP knows of a connection."""
    return cast("TcpInfo", transport.get_extra_info("tcp_info"))


class Feeder:
    """Writes as much as the transport takes, until it is enough or too late."""

    def __init__(self, transport: asyncio.Transport, seconds: float, size: int) -> None:
        """`size` in bytes; 0: no bound."""
        self.written = 0
        self._transport = transport
        self._until = asyncio.get_running_loop().time() + seconds
        self._size = size
        self._paused = False

    def pause(self) -> None:
        """The transport has enough."""
        self._paused = True

    def resume(self) -> bool:
        """Go on. True when all is written."""
        self._paused = False
        return self.feed()

    def feed(self) -> bool:
        """Write until the transport has enough. True when all is written."""
        loop = asyncio.get_running_loop()
        while not self._transport.is_closing():
            if loop.time() >= self._until or (self._size and self.written >= self._size):
                return True
            if self._paused:
                return False
            left = self._size - self.written if self._size else len(_BLOCK)
            block = _BLOCK if left >= len(_BLOCK) else _BLOCK[:left]
            self.written += len(block)
            self._transport.write(block)
        return False
