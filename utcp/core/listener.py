"""LISTEN: what a passive open does with segments that belong to no connection.

RFC 9293 §3.10.7.2. The listener only decides; the endpoint makes the connection or the reset.
"""

from __future__ import annotations

from typing import Final

from utcp.core.segment import ACK, RST, SYN, Segment

IGNORE: Final = 0
RESET: Final = 1
ACCEPT: Final = 2
REFUSE: Final = 3  # the backlog is full: no answer, so that the peer tries again
COOKIE: Final = 4  # answer, and remember nothing


class Listener:
    """One passive open. `backlog` bounds the connections in SYN-RECEIVED; `syn_cookies` says when
    there are none, as `Config.syn_cookies` does."""

    __slots__ = ("_always", "_when_full", "backlog")

    def __init__(self, backlog: int, syn_cookies: str) -> None:
        self.backlog = backlog
        self._always = syn_cookies == "always"
        self._when_full = REFUSE if syn_cookies == "never" else COOKIE

    def segment_arrives(self, seg: Segment, half_open: int) -> int:
        """What to do with a segment for nobody, with `half_open` connections in SYN-RECEIVED."""
        flags = seg.flags
        # RFC 9293 §3.10.7.2 step 1: a RST is ignored.
        if flags & RST:
            return IGNORE
        # RFC 9293 §3.10.7.2 step 2: any acknowledgment is bad here.
        if flags & ACK:
            return RESET
        # RFC 9293 §3.10.7.2 step 3: a SYN.
        if flags & SYN:
            if self._always:
                return COOKIE
            return ACCEPT if half_open < self.backlog else self._when_full
        # RFC 9293 §3.10.7.2 step 4: anything else is dropped.
        return IGNORE
