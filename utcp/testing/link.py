"""One direction of a simulated way between two nodes.

A link is a transmitter with a queue (`rate_bps`, `queue_bytes`), then a wire (`delay_ns`,
`jitter_ns`) on which datagrams may get lost, doubled or overtaken.
"""

from __future__ import annotations

import dataclasses
import heapq
import random
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from utcp.core.timers import NEVER
from utcp.testing.clock import SECOND
from utcp.testing.rules import Delay, Drop, Duplicate, Rewrite, RuleList
from utcp.testing.segment_view import SYN
from utcp.testing.trace import Trace, TraceEntry

__all__ = ["Flying", "GilbertElliott", "Link", "LinkConfig", "LinkStats"]

_BITS: Final = 8 * SECOND
_NOT_ECT: Final = 0
_CE: Final = 3
_MIN_SEGMENT: Final = 12


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Loss in bursts: a chain of two states, moved on by each datagram (RFC 6390's example of
    bursty loss; Elliott 1963). All values are probabilities."""

    to_bad: float
    to_good: float
    loss_in_bad: float = 1.0
    loss_in_good: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """One direction of a connection between two nodes. The default is a perfect wire."""

    rate_bps: int = 0
    """Bits per second, headers included; 0: no limit (and so no queue)."""
    delay_ns: int = 0
    """Propagation delay."""
    jitter_ns: int = 0
    """Up to this much more delay, drawn evenly. It never changes the order; `reorder` does."""
    queue_bytes: int = NEVER
    """What may wait for transmission, headers included; more is dropped at the tail."""
    loss: float = 0.0
    """Probability with which each datagram gets lost, independent of others."""
    burst_loss: GilbertElliott | None = None
    """Loss in bursts, in addition."""
    duplicate: float = 0.0
    """Probability that a datagram arrives twice."""
    reorder: float = 0.0
    """Probability that a datagram is held back, so that later ones overtake it."""
    reorder_ns: int = 0
    """It is held back by 1 to this many nanoseconds."""
    mtu: int = 65_535
    """Largest IP packet; larger ones are dropped."""
    report_too_big: bool = True
    """Tell the sender (`packet_too_big`), one `delay_ns` later, as ICMP would. False: a path
    MTU black hole."""
    ecn_threshold: int = NEVER
    """Queue length, bytes, from which on ECN-capable datagrams are marked CE (RFC 3168)."""
    overhead: int = 28
    """Bytes of IP and UDP header per datagram: 28 for IPv4, 48 for IPv6."""
    coalesce_ns: int = 0
    """The receiver's interrupt moderation: after an arrival it waits so long and then takes all
    that has come. 0: at once."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{field.name} must not be negative, not {value!r}")
            if isinstance(value, float) and value > 1:
                raise ValueError(f"{field.name} is a probability, not {value!r}")


@dataclass(slots=True)
class LinkStats:
    """What happened on a link so far, in datagrams unless named otherwise."""

    sent: int = 0
    """Handed to the link."""
    sent_bytes: int = 0
    delivered: int = 0
    """Arrived, duplicates included."""
    delivered_bytes: int = 0
    lost: int = 0
    """By chance."""
    overflowed: int = 0
    """The queue was full."""
    too_big: int = 0
    ruled_out: int = 0
    """Dropped by a rule."""
    duplicated: int = 0
    reordered: int = 0
    marked: int = 0
    """Marked CE."""
    queue_max: int = 0
    """Longest queue seen, bytes."""
    queued_ns: int = 0
    """How long datagrams have waited for transmission, all together."""


# A datagram on its way: arrival time, source, destination, bytes, start, end, tos, trace entry.
# It stays a slice of the burst that it came in, so that nothing is copied before it arrives.
Flying = tuple[int, Hashable, Hashable, bytes, int, int, int, TraceEntry | None]


class Link:
    """One direction. Made by `Network.connect`; several routes may share one (a bottleneck).

    `rules` and `trace` see each datagram first. `report` is called with a time, source,
    destination and MTU when a datagram was too big.
    """

    def __init__(
        self,
        config: LinkConfig,
        seed: int,
        *,
        rules: RuleList,
        trace: Trace | None,
        report: Callable[[int, Hashable, Hashable, int], None],
    ) -> None:
        self.stats = LinkStats()
        self._rules = rules
        self._trace = trace
        self._report = report
        self._random = random.Random(seed).random
        self._bad = False  # the state of the Gilbert-Elliott chain
        self._free_at = 0  # when the transmitter has sent all that is queued
        self._last_at = 0  # the latest arrival in order
        self._order = 0
        self._fifo: deque[Flying] = deque()
        self._late: list[tuple[int, int, Flying]] = []  # overtaken ones, a heap
        self.config = config

    @property
    def config(self) -> LinkConfig:
        """May be replaced at any time; what is on its way is not touched."""
        return self._config

    @config.setter
    def config(self, config: LinkConfig) -> None:
        self._config = config
        self._troubled = bool(
            config.loss
            or config.burst_loss
            or config.duplicate
            or config.reorder
            or config.jitter_ns
        )

    def due_at(self) -> int:
        """When the receiver will take what has arrived; NEVER if nothing is under way."""
        at = self._fifo[0][0] if self._fifo else NEVER
        if self._late and self._late[0][0] < at:
            at = self._late[0][0]
        return at if at == NEVER else at + self._config.coalesce_ns

    def send(
        self, now: int, src: Hashable, dst: Hashable, data: bytes, segment_size: int, tos: int
    ) -> None:
        """Cut a burst into datagrams and send each on its own."""
        size = len(data)
        if segment_size <= 0:
            segment_size = size or 1
        self.stats.sent += -(-size // segment_size) or 1
        self.stats.sent_bytes += size
        if size >= _MIN_SEGMENT and data[1] & SYN:
            self._rules.syn_seen(src, dst, data)
        guarded = bool(self._rules) or self._trace is not None
        send_one = self._send_guarded if guarded else self._enqueue
        start = 0
        while True:
            end = start + segment_size
            if end >= size:
                send_one(now, src, dst, data, start, size, tos, None)
                return
            send_one(now, src, dst, data, start, end, tos, None)
            start = end

    def _send_guarded(
        self,
        now: int,
        src: Hashable,
        dst: Hashable,
        data: bytes,
        start: int,
        end: int,
        tos: int,
        entry: TraceEntry | None,
    ) -> None:
        """Send one datagram after the trace and the rules have seen it."""
        data = data[start:end]
        if self._trace is not None:
            entry = self._trace.sent(now, src, dst, data, tos)
        packet = self._rules.packet(now, src, dst, data, tos)
        verdict = self._rules.judge(packet)
        copies, held = 1, 0
        if isinstance(verdict, Drop):
            self.stats.ruled_out += 1
            _mark(entry, "dropped")
            return
        if isinstance(verdict, Delay):
            held = verdict.ns
        elif isinstance(verdict, Duplicate):
            copies += verdict.copies
            self.stats.duplicated += verdict.copies
            _mark(entry, "duplicated")
        elif isinstance(verdict, Rewrite):
            data = verdict.apply(packet)
            _mark(entry, "rewritten")
        for _ in range(copies):
            self._enqueue(now, src, dst, data, 0, len(data), tos, entry, held)

    def _enqueue(
        self,
        now: int,
        src: Hashable,
        dst: Hashable,
        data: bytes,
        start: int,
        end: int,
        tos: int,
        entry: TraceEntry | None,
        held: int = 0,
    ) -> None:
        config = self._config
        stats = self.stats
        wire_size = end - start + config.overhead
        if wire_size > config.mtu:
            stats.too_big += 1
            _mark(entry, "too big")
            if config.report_too_big:
                self._report(now + config.delay_ns, src, dst, config.mtu)
            return
        at = now
        rate = config.rate_bps
        if rate:
            at = max(self._free_at, now)
            backlog = (at - now) * rate // _BITS
            if backlog + wire_size > config.queue_bytes:
                stats.overflowed += 1
                _mark(entry, "queue full")
                return
            backlog += wire_size
            stats.queue_max = max(stats.queue_max, backlog)
            stats.queued_ns += at - now
            if backlog > config.ecn_threshold and tos & 3 != _NOT_ECT:
                stats.marked += tos & 3 != _CE
                tos |= _CE
            self._free_at = at = at + wire_size * _BITS // rate
        at += config.delay_ns
        if self._troubled:
            if self._lose():
                stats.lost += 1
                _mark(entry, "lost")
                return
            at, more, twice = self._disturb(at)
            self._launch(at, held + more, twice, (at, src, dst, data, start, end, tos, entry))
        elif held:
            self._launch(at, held, False, (at, src, dst, data, start, end, tos, entry))
        else:
            # A queue keeps the order, also when a new config makes the way shorter.
            self._last_at = at = max(at, self._last_at)
            self._fifo.append((at, src, dst, data, start, end, tos, entry))

    def _launch(self, at: int, held: int, twice: bool, flying: Flying) -> None:
        """Put a datagram on the wire that may be held back, be there twice, or have jitter."""
        if held:
            flying = (at + held, *flying[1:])
            self._hold(flying)
            _mark(flying[-1], "delayed")
        else:
            self._last_at = at = max(at, self._last_at)
            flying = (at, *flying[1:])
            self._fifo.append(flying)
        if twice:
            self._hold(flying)
            self.stats.duplicated += 1
            _mark(flying[-1], "duplicated")

    def _hold(self, flying: Flying) -> None:
        self._order += 1
        heapq.heappush(self._late, (flying[0], self._order, flying))

    def _lose(self) -> bool:
        config = self._config
        lost = config.loss > 0 and self._random() < config.loss
        chain = config.burst_loss
        if chain is not None:
            move = chain.to_good if self._bad else chain.to_bad
            if self._random() < move:
                self._bad = not self._bad
            loss = chain.loss_in_bad if self._bad else chain.loss_in_good
            # Both draws are always made, so that one trouble does not shift the other's luck.
            lost = (self._random() < loss) or lost
        return lost

    def _disturb(self, at: int) -> tuple[int, int, bool]:
        """When it arrives with jitter, how long it is held back, and whether it comes twice."""
        config = self._config
        if config.jitter_ns:
            at += int(self._random() * (config.jitter_ns + 1))
        twice = config.duplicate > 0 and self._random() < config.duplicate
        held = 0
        if config.reorder and self._random() < config.reorder:
            held = 1 + int(self._random() * config.reorder_ns)
            self.stats.reordered += 1
        return at, held, twice

    def take(self, now: int) -> list[Flying]:
        """Remove and return what has arrived by `now`, in order of arrival."""
        fifo, late = self._fifo, self._late
        arrived = []
        while True:
            if late and late[0][0] <= now and (not fifo or late[0][0] < fifo[0][0]):
                flying = heapq.heappop(late)[2]
            elif fifo and fifo[0][0] <= now:
                flying = fifo.popleft()
            else:
                break
            arrived.append(flying)
        stats = self.stats
        stats.delivered += len(arrived)
        stats.delivered_bytes += sum([flying[5] - flying[4] for flying in arrived])
        return arrived


def _mark(entry: TraceEntry | None, fate: str) -> None:
    if entry is not None:
        entry.fate = f"{entry.fate}, {fate}" if entry.fate else fate
