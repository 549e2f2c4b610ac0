"""How long an acknowledgment waits for something to travel with (RFC 9293 §3.8.6.3, SHLD-18).

Waiting saves segments if the application answers, or if more data comes, in that time. It costs
the whole wait if the peer, before it goes on, waits for just this ACK: a sender in slow start,
after a loss, or with Nagle's algorithm between two small writes. So, along the lines of Linux:

- the first ACKs, those after a loss, and those after a long silence are *quick*: sent at once;
- where each arrival is answered by data soon (*interactive*), the ACK waits for that answer, twice
  as long as answers take, and never longer than 40 ms (`Config.delayed_ack`);
- elsewhere it waits for more data, twice as long as that takes to come;
- a wait that was for nothing makes the next ACKs quick, and twice as many at each time. So a peer
  that is held up by waiting is held up once in a while, for some milliseconds, and ever less often.

Asked only when an ACK is not due anyway: by the second full segment it is (SHLD-19).
"""

from __future__ import annotations

from typing import Final

_INTERACTIVE: Final = 3
_LEAST_NS: Final = 1_000_000
_MOST_QUICK: Final = 1024


class AckDelay:
    """The habits of one connection's peer and application. All times in nanoseconds."""

    __slots__ = (
        "_answer_ns",
        "_answered",
        "_first_at",
        "_last_at",
        "_more_ns",
        "_quick_start",
        "_refill",
        "_seen",
        "most_ns",
        "quick",
        "unanswered",
    )

    def __init__(self, most_ns: int, quick: int) -> None:
        """`most_ns`: the longest delay. `quick`: how many ACKs are quick; with 0 none ever is,
        and the delay is always the longest."""
        self.most_ns = most_ns
        self.quick = quick
        """How many of the next ACKs are sent at once."""
        self.unanswered = 0
        """Arrivals since the application last sent something."""
        self._quick_start = self._refill = quick
        self._answered = 0  # how often in a row one arrival was answered by data, in time
        self._answer_ns = most_ns  # how long answers take
        self._more_ns = most_ns  # how long more data takes to come
        self._seen = 0  # RCV.NXT
        self._first_at = 0
        self._last_at = 0

    @property
    def interactive(self) -> bool:
        """Whether the application answers what arrives."""
        return self._answered >= _INTERACTIVE

    def arrived(self, now: int, rcv_nxt: int, rto_ns: int) -> int:
        """Data came, and no ACK waits yet. Returns how long one is to wait; 0 to send it now."""
        self._seen = rcv_nxt
        if not self._quick_start:
            return self.most_ns
        if now - self._last_at > rto_ns:
            # The congestion window at the other end may have been closed by now, as in Linux.
            self._restart_quick()
        if not self.unanswered:
            self._first_at = now
        self.unanswered += 1
        self._last_at = now
        if self._answered >= _INTERACTIVE:
            return self._wait(self._answer_ns)
        if self.quick:
            self.quick -= 1
            return 0
        return self._wait(self._more_ns)

    def more(self, now: int, rcv_nxt: int) -> None:
        """Perhaps more data came while an ACK waits: if RCV.NXT has moved."""
        if rcv_nxt == self._seen:
            return
        self._seen = rcv_nxt
        if self._last_at < now:
            self._more_ns = self._more_ns + min(now - self._last_at, self.most_ns) >> 1
        self._last_at = now
        self.unanswered += 1
        self._refill = self._quick_start

    def answered(self, now: int) -> None:
        """The application sends data, and `unanswered` is not 0."""
        took_ns = now - self._first_at
        # More than one arrival before the answer: the peer may have needed an ACK in between.
        if self.unanswered == 1 and took_ns < self.most_ns:
            self._answered += 1
            self._answer_ns = took_ns if self._answered == 1 else self._answer_ns + took_ns >> 1
            self._refill = self._quick_start
        else:
            self._answered = 0
        self.unanswered = 0

    def expired(self) -> None:
        """The ACK has waited in vain."""
        self._answered = self.unanswered = 0
        self._more_ns = self.most_ns
        self.quick = self._refill
        self._refill = min(2 * self._refill, _MOST_QUICK)

    def disturbed(self) -> None:
        """Data arrived out of order: the peer is repairing a loss, and every ACK counts."""
        self._answered = 0
        self._restart_quick()

    def _restart_quick(self) -> None:
        self.quick = max(self.quick, self._quick_start)

    def _wait(self, expected_ns: int) -> int:
        return min(max(2 * expected_ns, _LEAST_NS), self.most_ns)
