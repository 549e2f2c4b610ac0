"""Owners: who gets the news of a connection, and how far a connection is that nobody owns."""

from __future__ import annotations

from contextvars import Context
from typing import Final

from utcp.core import Connection, Endpoint, State
from utcp.core.events import PORT_UNREACHABLE

__all__ = ["ACKNOWLEDGED", "Owner", "is_abandoned", "unfinished"]

ACKNOWLEDGED: Final = frozenset((State.FIN_WAIT_2, State.TIME_WAIT, State.CLOSED))
"""States in which the peer has acknowledged our FIN, and so everything written."""


def is_abandoned(conn: Connection) -> bool:
    """Whether all bytes of both sides are delivered, and the peer's socket is gone already.

    Then only the acknowledgment of our FIN lacks, and ICMP says that nobody is left to send it.
    The connection itself goes on until its retries are used up (RFC 5927 §5.2), but nothing
    depends on its outcome.
    """
    return (
        conn.state is State.LAST_ACK and not conn.buffered and conn.soft_error == PORT_UNREACHABLE
    )


class Owner:
    """Whoever gets the news of a connection."""

    __slots__ = ()

    context: Context
    """In which the two below are called: whatever woke the driver was for all of its connections,
    or it was another connection's timer, or write."""

    def on_events(self, events: int) -> None:
        """Take the bits of `Connection.take_events()`."""
        raise NotImplementedError

    def on_message(self, text: bytes) -> bool:
        """Take text that has just come. False: it is to be read later, when `on_events` says so."""
        return False

    def on_shutdown(self) -> None:
        """The loop ends: let the connection close, call nothing back."""
        raise NotImplementedError


def unfinished(endpoint: Endpoint) -> tuple[bool, bool]:
    """Whether something written, or a FIN, is not acknowledged; whether a peer's FIN lacks."""
    states = [conn.state for conn in endpoint.connections() if not is_abandoned(conn)]
    return (
        any(state not in ACKNOWLEDGED for state in states),
        any(state is State.FIN_WAIT_2 for state in states),
    )
