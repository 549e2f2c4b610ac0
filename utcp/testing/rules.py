"""Rules: what the network does to chosen segments.

A network asks its rules, in their order, about each datagram that enters a link. The first rule
that applies gives the verdict; without one the datagram passes. The random troubles of the link
(`LinkConfig`) come after the rules.

    world.rules.append(drop_nth(3, src="a", match=has_payload))
    world.rules.append(partition(world.now + 2 * SECOND, world.now + 5 * SECOND))
    world.rules.append(Rule(has_flags(SYN), Delay(300 * MS), limit=1))
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from utcp.core.timers import NEVER
from utcp.testing.segment_view import SegmentView

__all__ = [
    "Delay",
    "Drop",
    "Duplicate",
    "Packet",
    "Pass",
    "Predicate",
    "Rewrite",
    "Rule",
    "RuleList",
    "Verdict",
    "all_of",
    "any_packet",
    "covers",
    "delay_nth",
    "drop_matching",
    "drop_nth",
    "duplicate_nth",
    "has_flags",
    "has_payload",
    "partition",
]


class Packet:
    """A datagram that enters a link, as predicates see it."""

    __slots__ = ("_iss", "_segment", "data", "dst", "now", "src", "tos")

    def __init__(
        self, now: int, src: Hashable, dst: Hashable, data: bytes, tos: int, iss: int | None
    ) -> None:
        self.now = now
        self.src = src
        self.dst = dst
        self.data = data
        self.tos = tos
        self._iss = iss
        self._segment: SegmentView | bool | None = False

    @property
    def segment(self) -> SegmentView | None:
        """The decoded segment; None if the datagram is no segment."""
        if self._segment is False:
            try:
                self._segment = SegmentView(self.data)
            except ValueError:
                self._segment = None
        return self._segment  # type: ignore[return-value]

    @property
    def seq(self) -> int:
        """The sequence number relative to the sender's last SYN (which is 0); -1 if unknown."""
        segment = self.segment
        if segment is None or self._iss is None:
            return -1
        return (segment.seq32 - self._iss) & 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Pass:
    """Let it through; later rules are not asked."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Lose it."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold it back by `ns` nanoseconds more; what follows overtakes it."""

    ns: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Send it and `copies` more."""

    copies: int = 1


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Send other bytes instead: given as they are, or made from the packet."""

    data: bytes | Callable[[Packet], bytes]

    def apply(self, packet: Packet) -> bytes:
        """The bytes to send instead of `packet`."""
        return self.data if isinstance(self.data, bytes) else self.data(packet)


Verdict = Pass | Drop | Delay | Duplicate | Rewrite
Predicate = Callable[[Packet], bool]


def any_packet(packet: Packet) -> bool:
    """Every datagram."""
    return True


def has_payload(packet: Packet) -> bool:
    """Segments that carry data."""
    return packet.segment is not None and bool(packet.segment.payload)


def has_flags(flags: int, without: int = 0) -> Predicate:
    """Segments with all bits of `flags` set and none of `without`."""

    def match(packet: Packet) -> bool:
        segment = packet.segment
        return (
            segment is not None and segment.flags & flags == flags and not segment.flags & without
        )

    return match


def covers(start: int, end: int) -> Predicate:
    """Data segments with a byte in [start, end): offsets in the sender's stream, the first byte
    being 0. Only meaningful if the rules have seen the sender's SYN."""

    def match(packet: Packet) -> bool:
        if packet.segment is None or not packet.segment.payload or packet.seq < 0:
            return False
        # The SYN takes sequence number 0, so stream offset 0 is relative number 1.
        first = packet.seq - 1 + packet.segment.syn
        return first < end and first + len(packet.segment.payload) > start

    return match


def all_of(*predicates: Predicate) -> Predicate:
    """Packets that satisfy every one of `predicates`."""
    return lambda packet: all(predicate(packet) for predicate in predicates)


class Rule:
    """Gives `verdict` to packets from `src` to `dst` (None: anywhere) that enter the network in
    [start, end) and satisfy `match`, but only to those whose number, counted from 1 among the
    packets that qualify, is in `nth` (None: all), and to at most `limit`.
    """

    def __init__(
        self,
        match: Predicate,
        verdict: Verdict,
        *,
        src: Hashable = None,
        dst: Hashable = None,
        start: int = 0,
        end: int = NEVER,
        nth: tuple[int, ...] | None = None,
        limit: int = NEVER,
    ) -> None:
        self.match = match
        self.verdict = verdict
        self.src = src
        self.dst = dst
        self.start = start
        self.end = end
        self.nth = nth
        self.limit = limit
        self.seen = 0
        """Packets that qualified."""
        self.hits = 0
        """Packets that got the verdict."""

    def judge(self, packet: Packet) -> Verdict | None:
        """The verdict, or None if this rule does not apply to `packet`."""
        if self.src is not None and packet.src != self.src:
            return None
        if self.dst is not None and packet.dst != self.dst:
            return None
        if not self.start <= packet.now < self.end or not self.match(packet):
            return None
        self.seen += 1
        if self.hits >= self.limit or (self.nth is not None and self.seen not in self.nth):
            return None
        self.hits += 1
        return self.verdict


class RuleList(list[Rule]):
    """The rules of a network, asked in their order."""

    def __init__(self, *rules: Rule) -> None:
        super().__init__(rules)
        self._iss: dict[tuple[Hashable, Hashable], int] = {}

    def syn_seen(self, src: Hashable, dst: Hashable, data: bytes) -> None:
        """Remember the sequence number of a SYN, to which those of later packets are relative."""
        self._iss[src, dst] = int.from_bytes(data[4:8], "big")

    def packet(self, now: int, src: Hashable, dst: Hashable, data: bytes, tos: int) -> Packet:
        """A datagram as predicates want to see it."""
        return Packet(now, src, dst, data, tos, self._iss.get((src, dst)))

    def judge(self, packet: Packet) -> Verdict | None:
        """The first verdict that a rule gives, or None."""
        for rule in self:
            verdict = rule.judge(packet)
            if verdict is not None:
                return verdict
        return None


def drop_nth(
    *nth: int, src: Hashable = None, dst: Hashable = None, match: Predicate = any_packet
) -> Rule:
    """Lose the packets with these numbers, counted from 1 among those that match."""
    return Rule(match, Drop(), src=src, dst=dst, nth=nth)


def delay_nth(
    *nth: int, ns: int, src: Hashable = None, dst: Hashable = None, match: Predicate = any_packet
) -> Rule:
    """Hold the packets with these numbers back by `ns` nanoseconds."""
    return Rule(match, Delay(ns), src=src, dst=dst, nth=nth)


def duplicate_nth(
    *nth: int,
    copies: int = 1,
    src: Hashable = None,
    dst: Hashable = None,
    match: Predicate = any_packet,
) -> Rule:
    """Send the packets with these numbers `copies` times more."""
    return Rule(match, Duplicate(copies), src=src, dst=dst, nth=nth)


def drop_matching(
    match: Predicate, limit: int = NEVER, *, src: Hashable = None, dst: Hashable = None
) -> Rule:
    """Lose every packet that matches, `limit` at most."""
    return Rule(match, Drop(), src=src, dst=dst, limit=limit)


def partition(start: int, end: int, *, src: Hashable = None, dst: Hashable = None) -> Rule:
    """Lose everything in [start, end), absolute nanoseconds of the clock; in both directions
    unless `src` or `dst` names one."""
    return Rule(any_packet, Drop(), src=src, dst=dst, start=start, end=end)
