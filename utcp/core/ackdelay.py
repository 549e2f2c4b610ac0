"""How long an acknowledgment waits for something to travel with (RFC 9293 §3.8.6.3, SHLD-18).

Waiting saves segments if the application answers, or if more data comes, in that time. It costs
the whole wait if the peer, before it goes on, waits for just this ACK: a sender in slow start,
after a loss, or with Nagle's algorithm between two small writes. So an ACK waits only where it has
shown that this is of use, and only as long as it then takes:

- where arrivals are answered by data, each by itself (*interactive*): for twice the time of an
  answer;
- where data comes in a stream, that is, faster than an ACK of ours could have caused it: until it
  pauses for twice as long as it did so far;
- never longer than 40 ms (`Config.delayed_ack`), and never while ACKs are *quick*, as Linux calls
  it: the first ones, and those after a loss, after a long silence, and after a wait in vain.

Asked only when an ACK is not due anyway: by the second full segment it is (SHLD-19). With one
exception, the *torrent*: see there.
"""

from __future__ import annotations

from typing import Final

_INTERACTIVE: Final = 3
# Shorter waits would save nothing but cost a timer each.
_LEAST_NS: Final = 4_000_000
_MOST_QUICK: Final = 1024

LARGE: Final = 32 << 10
"""Bytes not acknowledged from which on `torrent` is asked."""
NO_TORRENT: Final = -1
_TORRENT_WAIT_NS: Final = 1_000_000
# With bursts of 64 KiB that is 2 Gbit/s: a path that fast can hardly be filled anyway.
_TORRENT_GAP_NS: Final = 250_000
_TORRENT_BYTES: Final = 192 << 10
_TORRENT_SHARE: Final = 3  # of the receive buffer, as a shift
_SILENCE_NS: Final = 200_000_000


class AckDelay:
    """The habits of one connection's peer and application. All times in nanoseconds."""

    __slots__ = (
        "_answer_ns",
        "_answered",
        "_asked_at",
        "_gap_ns",
        "_grown",
        "_large_at",
        "_last_at",
        "_quick_start",
        "_refill",
        "_seen",
        "_waits_since",
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
        self._asked_at = 0  # the first of them
        self._answered = 0  # how often in a row one arrival was answered by data, in time
        self._answer_ns = most_ns  # how long answers take
        self._gap_ns = most_ns  # how long more of it takes to come
        self._seen = 0  # RCV.NXT
        self._last_at = self._large_at = 0
        self._waits_since = 0  # when the data came whose ACK waits
        self._grown = False  # and more has come since

    @property
    def interactive(self) -> bool:
        """Whether the application answers what arrives."""
        return self._answered >= _INTERACTIVE

    def arrived(self, now: int, rcv_nxt: int, rto_ns: int, min_rtt_ns: int) -> int:
        """Data came, up to RCV.NXT, and no ACK waits yet. Returns how long one is to wait; 0 to
        send it now."""
        self._seen = rcv_nxt
        if not self._quick_start:
            return self.most_ns
        gap_ns = now - self._last_at
        self._last_at = self._waits_since = now
        self._grown = False
        if gap_ns > rto_ns:
            # The peer's congestion window may have been closed by now, as in Linux.
            self._restart_quick()
        stream = gap_ns < min_rtt_ns  # faster than our ACKs could cause it
        if stream:
            self._note_gap(gap_ns)
        if not self.unanswered:
            self._asked_at = now
        self.unanswered += 1
        if self._answered >= _INTERACTIVE:
            return self._wait(self._answer_ns)
        if self.quick:
            self.quick -= 1
            return 0
        return self._wait(self._gap_ns) if stream else 0

    def more(self, now: int, rcv_nxt: int) -> int:
        """Look whether more data came while an ACK waits. Returns until when it waits now; 0 if
        that has not changed."""
        if rcv_nxt == self._seen or not self._quick_start:
            return 0
        self._seen = rcv_nxt
        self._note_gap(now - self._last_at)
        self._last_at = now
        self._grown = True
        self._refill = self._quick_start
        self.unanswered += 1
        if self._answered >= _INTERACTIVE:
            return 0
        return min(now + self._wait(self._gap_ns), self._waits_since + self.most_ns)

    def torrent(self, now: int, rcv_nxt: int, waiting: int, capacity: int) -> int:
        """There are `waiting` bytes, `LARGE` or more, that are not acknowledged, and an ACK is
        asked for. Returns how long it may wait for more data at most, although it is due (SHLD-19);
        0 to send it now, NO_TORRENT if this is for others to say.

        RFC 9293 §3.8.6.3 allows for one ACK for all that GRO brings together, and RFC 5681 §4.2
        for fewer where there is a good reason. Where bursts of 64 KiB come within a quarter of a
        millisecond, even one ACK for each is a fifth of the work on both sides. So 192 KiB share
        one, if that is an eighth of the receive buffer at most. A peer whose own window is smaller
        stops for this ACK. Then it comes after 1 ms, and the next ones are quick, ever more of them
        if that happens again; and fewer with each ACK that was not waited for.
        """
        gap_ns = now - self._large_at
        self._large_at = now
        if gap_ns > _SILENCE_NS:
            self._restart_quick()
        few = waiting < _TORRENT_BYTES
        if gap_ns > _TORRENT_GAP_NS or not self._quick_start:
            return NO_TORRENT
        if few and waiting > capacity >> _TORRENT_SHARE:
            return NO_TORRENT
        self._seen = rcv_nxt
        self._last_at = now
        if self.quick:
            self.quick -= 1
            return 0
        self._grown = False
        if few:
            return min(_TORRENT_WAIT_NS, self.most_ns)
        self._refill -= self._refill - self._quick_start + 15 >> 4
        return 0

    def answered(self, now: int, rcv_nxt: int) -> None:
        """The application sends data, and `unanswered` is not 0."""
        took_ns = now - self._asked_at
        # Several arrivals before the answer: the peer may have needed an ACK in between.
        if self.unanswered == 1 and rcv_nxt == self._seen and took_ns < self.most_ns:
            self._answered += 1
            self._answer_ns = took_ns if self._answered == 1 else self._answer_ns + took_ns >> 1
            self._refill = self._quick_start
        else:
            self._answered = 0
        self.unanswered = 0

    def expired(self) -> None:
        """The ACK has waited as long as it was to."""
        self.unanswered = self._answered = 0
        if not self._grown:
            # In vain. So that a peer which is held up by it is held up ever less often:
            self.quick = self._refill
            self._refill = min(2 * self._refill, _MOST_QUICK)

    def disturbed(self) -> None:
        """Data arrived out of order: the peer is repairing a loss, and every ACK counts."""
        self._answered = 0
        self._restart_quick()

    def _restart_quick(self) -> None:
        self.quick = max(self.quick, self._quick_start)

    def _note_gap(self, gap_ns: int) -> None:
        self._gap_ns = self._gap_ns + min(gap_ns, self.most_ns) >> 1

    def _wait(self, expected_ns: int) -> int:
        return min(max(2 * expected_ns, _LEAST_NS), self.most_ns)
