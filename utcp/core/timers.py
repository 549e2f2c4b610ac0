"""One small table of deadlines per connection (RFC 9293 §3.10.8).

Each slot holds the time at which it is due, or NEVER. Nothing is scheduled anywhere else: the
endpoint asks for the earliest and calls back when it has passed. Waking too early or too late is
harmless, for what is due is always decided by comparing with `now`.
"""

from __future__ import annotations

from typing import Final

NEVER: Final = 1 << 62
"""A time that does not come."""

RTO: Final = 0  # retransmission (RFC 6298), also of SYN and FIN
PERSIST: Final = 1  # zero-window probe and silly-window override (RFC 9293 §3.8.6)
DELAYED_ACK: Final = 2  # RFC 9293 §3.8.6.3
KEEPALIVE: Final = 3  # RFC 9293 §3.8.4
USER: Final = 4  # user time-out (RFC 9293 §3.9.1.1)
FIN_WAIT2: Final = 5  # an orphan waiting for the peer's FIN

PTO: Final = 6  # tail loss probe (RFC 8985 §7.2); never later than RTO
REORDER: Final = 7  # what may be late becomes lost (RFC 8985 §6.2 step 5)
PACE: Final = 8  # the next burst may leave
CORK: Final = 9  # a corked segment that is not full goes after all
COUNT: Final = 10


def table() -> list[int]:
    """The deadlines of a new connection, in nanoseconds of the caller's monotonic clock."""
    return [NEVER] * COUNT


def stop_all(at: list[int]) -> None:
    """Stop every timer, in the table itself: others may hold it."""
    at[:] = [NEVER] * COUNT
