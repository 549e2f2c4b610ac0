"""Carries bytes from one transport to another, with backpressure, half-close and reset."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, Protocol, cast

from utcp.stats import TcpInfo

__all__ = ["Side", "Watcher"]

_RESET: Final = struct.pack("ii", 1, 0)
"""struct linger: on, zero seconds."""


class Watcher(Protocol):
    """Who hears of the beginning and the end of a connection."""

    def made(self, side: Side, /) -> None:
        """The connection of `side` is made."""

    def lost(self, side: Side, exc: Exception | None, /) -> None:
        """It is over; `exc` says what went wrong, if anything."""


class Side(asyncio.Protocol):
    """One of two connections that are joined. What arrives here is written to `other`.

    Reading is paused until `join` is called, while the other connection is being made, and while
    the other side has enough to send.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.other: Side | None = None
        self.received = 0  # bytes
        self._watcher = watcher
        self._transport: asyncio.Transport | None = None
        self._early = b""  # arrived before join()
        self._ended = False  # the peer's EOF has arrived
        self._full = False  # the transport has enough to send

    @property
    def transport(self) -> asyncio.Transport:
        """Of this connection, once it is made."""
        assert self._transport is not None
        return self._transport

    @property
    def info(self) -> TcpInfo | None:
        """What is known of the connection, if it is made and one of utcp's."""
        if self._transport is None:
            return None
        return cast("TcpInfo | None", self._transport.get_extra_info("tcp_info"))

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended or is ending."""
        return self._transport is None or self._transport.is_closing()

    def join(self, other: Side) -> None:
        """Begin to carry bytes in both directions."""
        for one, two in ((self, other), (other, self)):
            one.other = two
        for one, two in ((self, other), (other, self)):
            if not one.is_lost and not two._full:
                one.transport.resume_reading()
            one._catch_up()

    def _catch_up(self) -> None:
        """Pass on what has come in spite of the pause."""
        early, self._early = self._early, b""
        if early:
            self._pass_on(early)
        if self._ended:
            self._pass_on_eof()

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is None:
            return
        if self.info is None:
            # A kernel's TCP: asyncio only closes the socket, which looks like an orderly end.
            with suppress(OSError):
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    # -- asyncio's callbacks --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()
        self._watcher.made(self)

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.other is None:
            # uvloop begins to read after connection_made, even if that has paused reading.
            self._early += data
            self.transport.pause_reading()
        else:
            self._pass_on(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self.other is not None:
            self._pass_on_eof()
        return True

    def _pass_on(self, data: bytes) -> None:
        if self.other is not None and not self.other.is_lost:
            self.other.transport.write(data)

    def _pass_on_eof(self) -> None:
        other = self.other
        if other is None or other.is_lost:
            return
        try:
            other.transport.write_eof()
        except OSError:
            # asyncio's, over a kernel's TCP that has been reset already, and has not told yet.
            other.abort()
            return
        if other._ended:
            # Both directions have ended: what is written still goes out.
            other.transport.close()
            self.transport.close()

    def pause_writing(self) -> None:
        self._full = True
        if self.other is not None and not self.other.is_lost:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        if self.other is not None and not self.other.is_lost:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        other = self.other
        if other is not None and not other.is_lost and not (self._ended and other._ended):
            # It did not end in order in both directions, so the other one must not either.
            other.abort()
        self._watcher.lost(self, exc)
