"""What ends a connection, as exceptions: each is an OSError that asyncio's users catch already.

`errno` is set as the kernel's TCP would set it. They all are `Error`s too, for who wants to know
that it was this library's connection.
"""

from __future__ import annotations

import errno
from typing import Any

from utcp.core.state import Reason

__all__ = [
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionTimedOut",
    "Error",
    "HostUnreachable",
    "from_reason",
]


class Error(OSError):
    """A connection could not be made, or ended without an orderly close."""


class ConnectionRefused(Error, ConnectionRefusedError):
    """Nobody listens there (ECONNREFUSED): a RST in answer to the SYN, or ICMP said so."""


class ConnectionReset(Error, ConnectionResetError):
    """The peer reset the connection (ECONNRESET)."""


class ConnectionAborted(Error, ConnectionAbortedError):
    """This side aborted the connection (ECONNABORTED)."""


class ConnectionTimedOut(Error, TimeoutError):
    """The peer did not answer for as long as Config allows (ETIMEDOUT)."""


class HostUnreachable(Error):
    """There is no way to the peer (EHOSTUNREACH)."""


def from_reason(reason: Reason, addr: Any) -> Error | None:
    """The exception that says how the connection with `addr` ended; None if it closed in order."""
    match reason:
        case Reason.NONE | Reason.CLOSED:
            return None
        case Reason.REFUSED:
            return ConnectionRefused(errno.ECONNREFUSED, f"Connection refused by {addr}")
        case Reason.RESET:
            return ConnectionReset(errno.ECONNRESET, f"Connection reset by {addr}")
        case Reason.ABORTED:
            return ConnectionAborted(errno.ECONNABORTED, f"Connection with {addr} aborted")
        case Reason.TIMED_OUT:
            return ConnectionTimedOut(errno.ETIMEDOUT, f"Connection with {addr} timed out")
        case Reason.UNREACHABLE:
            return HostUnreachable(errno.EHOSTUNREACH, f"No route to {addr}")
        case Reason.NO_ROOM:
            return ConnectionAborted(errno.ECONNABORTED, f"No room for connection with {addr}")
