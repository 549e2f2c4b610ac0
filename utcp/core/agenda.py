"""What the connections of one endpoint have in common."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final

from utcp.config import Config
from utcp.core.admission import Admission
from utcp.core.deadlines import Deadlines
from utcp.core.memory import Memory
from utcp.core.resets import Resets
from utcp.core.sample import AckSample
from utcp.core.secrets import Secrets
from utcp.core.segment import Segment
from utcp.core.sharing import Sharing
from utcp.core.state import Reason
from utcp.core.teardown import finish
from utcp.core.terms import Terms
from utcp.core.transmit import Transmit
from utcp.stats import Counters

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_MOST_REPLIES: Final = 8192
_LEAST_CROWD: Final = 8


class Agenda:
    """What the connections of one endpoint share: who has something to send or to tell, and how
    much there may be of everything.

    A connection enters each queue once, whatever happens to it, so both are bounded.
    """

    __slots__ = (
        "_counters",
        "_host_of",
        "admission",
        "backlog",
        "bursts",
        "deadlines",
        "half_open",
        "memory",
        "ready",
        "replies",
        "resets",
        "sample",
        "sharing",
        "terms",
        "to_send",
    )

    def __init__(
        self,
        config: Config,
        secrets: Secrets,
        counters: Counters,
        host_of: Callable[[Hashable], Hashable],
    ) -> None:
        self._counters = counters
        self._host_of = host_of
        self.terms = Terms(config)
        self.resets = Resets(config.reset_rate, secrets, counters)
        self.admission = Admission(config, counters, host_of)
        self.memory = Memory(config.max_buffered)
        self.deadlines = Deadlines()
        self.sharing = Sharing()
        self.backlog = 0
        # They process one ACK at a time.
        self.sample = AckSample()
        self.to_send: deque[Connection] = deque()
        self.ready: deque[Connection] = deque()
        # What is left of several bursts that were cut at once.
        self.bursts: deque[Transmit] = deque()
        self.replies: deque[tuple[Hashable, bytes]] = deque()
        # Passive connections in SYN-RECEIVED, the oldest first.
        self.half_open: dict[Connection, None] = {}

    def reset(self, now: int, addr: Hashable, seg: Segment) -> None:
        """Answer `seg` from `addr` with a RST (RFC 9293 §3.5.2, groups 1 and 2)."""
        data = self.resets.answer(now, self._host_of(addr), seg)
        if data:
            self.reply(addr, data)

    def reply(self, addr: Hashable, data: bytes) -> None:
        """Send `data`, for which no connection stands; unless too much of that waits already,
        because the socket takes nothing."""
        if len(self.replies) < _MOST_REPLIES:
            self.replies.append((addr, data))
        else:
            self._counters.replies_dropped += 1

    def forget_bursts(self, addr: Hashable) -> None:
        """Do not send what has been cut for `addr`."""
        kept = [burst for burst in self.bursts if burst.addr != addr]
        self.bursts.clear()
        self.bursts.extend(kept)

    def crowded(self) -> bool:
        """Whether more than half of the backlog is taken, as in a flood of SYNs; where that is next
        to nothing, more than a few."""
        return 2 * len(self.half_open) > max(_LEAST_CROWD, self.backlog)

    def end_oldest(self, *, at_any_rate: bool) -> Connection | None:
        """End the oldest passive connection in SYN-RECEIVED, if that is fair, and return it.

        RFC 4987 §3.4: only when its first SYN-ACK has had its time, for the ACK of a younger one
        may be on the way. `at_any_rate` is for a peer whose old connection is in TIME-WAIT: it has
        proved its address, and no cookie could go on where the old connection left off.
        """
        oldest = next(iter(self.half_open))
        if not oldest.snd.retries and not at_any_rate:
            return None
        finish(oldest, Reason.TIMED_OUT)
        return oldest
