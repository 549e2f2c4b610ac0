"""The states of a connection and the moves between them (RFC 9293 §3.3.2, Figure 5).

Every move of every connection is looked up in `TRANSITIONS`: a move that is not declared here
raises. The table is the one place that says which moves exist; when each is made is said where
it is made (`handshake`, `arrival`, `teardown`, `connection`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """The eleven states of RFC 9293 §3.3.2."""

    CLOSED = 0
    LISTEN = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    ESTABLISHED = 4
    FIN_WAIT_1 = 5
    FIN_WAIT_2 = 6
    CLOSE_WAIT = 7
    CLOSING = 8
    LAST_ACK = 9
    TIME_WAIT = 10

    def __str__(self) -> str:
        return self.name.replace("_", "-")


# Members as plain names: the hot path compares them by identity, without an attribute look-up.
CLOSED: Final = State.CLOSED
LISTEN: Final = State.LISTEN
SYN_SENT: Final = State.SYN_SENT
SYN_RECEIVED: Final = State.SYN_RECEIVED
ESTABLISHED: Final = State.ESTABLISHED
FIN_WAIT_1: Final = State.FIN_WAIT_1
FIN_WAIT_2: Final = State.FIN_WAIT_2
CLOSE_WAIT: Final = State.CLOSE_WAIT
CLOSING: Final = State.CLOSING
LAST_ACK: Final = State.LAST_ACK
TIME_WAIT: Final = State.TIME_WAIT


class Reason(IntEnum):
    """Why a connection is over."""

    NONE = 0
    """It is not over."""
    CLOSED = 1
    """Both sides closed in order."""
    REFUSED = 2
    """The peer answered the SYN with a RST, or ICMP said that nothing listens there."""
    RESET = 3
    """The peer sent a RST."""
    ABORTED = 4
    """This side aborted."""
    TIMED_OUT = 5
    """The peer did not answer for as long as Config allows."""
    UNREACHABLE = 6
    """ICMP said, while connecting, that there is no way to the peer."""
    NO_ROOM = 7
    """A limit of Config, such as `max_orphans`, did not let it go on."""


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    # active OPEN, passive OPEN; a TIME-WAIT record that a new SYN opens again comes from CLOSED
    CLOSED: frozenset((SYN_SENT, LISTEN)),
    # a SYN arrives; CLOSE
    LISTEN: frozenset((SYN_RECEIVED, CLOSED)),
    # SYN,ACK; a SYN crosses ours; refused, CLOSE, ABORT, time-out
    SYN_SENT: frozenset((ESTABLISHED, SYN_RECEIVED, CLOSED)),
    # ACK of SYN; CLOSE; the SYN that crossed ours was forged; a FIN behind the ACK; RST, ABORT,
    # time-out
    SYN_RECEIVED: frozenset((ESTABLISHED, FIN_WAIT_1, SYN_SENT, CLOSED)),
    # CLOSE; FIN; RST, ABORT, time-out
    ESTABLISHED: frozenset((FIN_WAIT_1, CLOSE_WAIT, CLOSED)),
    # ACK of FIN; FIN; FIN and ACK of FIN at once; RST, ABORT, time-out
    FIN_WAIT_1: frozenset((FIN_WAIT_2, CLOSING, TIME_WAIT, CLOSED)),
    # FIN; RST, ABORT, time-out
    FIN_WAIT_2: frozenset((TIME_WAIT, CLOSED)),
    # CLOSE; RST, ABORT, time-out
    CLOSE_WAIT: frozenset((LAST_ACK, CLOSED)),
    # ACK of FIN; RST, ABORT, time-out
    CLOSING: frozenset((TIME_WAIT, CLOSED)),
    # ACK of FIN; RST, ABORT, time-out
    LAST_ACK: frozenset((CLOSED,)),
    # 2 MSL
    TIME_WAIT: frozenset((CLOSED,)),
}

SYNCHRONIZED: Final = frozenset(
    (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT)
)
"""Both sides know both initial sequence numbers (RFC 9293 §3.5.2)."""


def dot() -> str:
    """The table as a graph in Graphviz's language."""
    lines = [f'  "{a}" -> "{b}";' for a, moves in TRANSITIONS.items() for b in sorted(moves)]
    return "digraph tcp {\n" + "\n".join(lines) + "\n}\n"
