"""A simulated network in virtual time.

A `Network` carries datagrams between nodes over `Link`s, one per direction. A node is a
`utcp.core.Endpoint`, or anything with the methods of `Node`. The network itself holds no clock:
`send` and `deliver` are told the time, and `next_at` says when something will arrive.
(`utcp.testing.World` does all that.)

Every random choice comes from the `random.Random` that the network was given, so a seed tells the
whole story.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Hashable
from typing import Final, Protocol

from utcp.core.timers import NEVER
from utcp.testing.link import Flying, GilbertElliott, Link, LinkConfig, LinkStats
from utcp.testing.rules import RuleList
from utcp.testing.trace import Trace

__all__ = ["Burst", "GilbertElliott", "Link", "LinkConfig", "LinkStats", "Network", "Node"]

_MAX_MERGED_BYTES: Final = 65_535  # as UDP_GRO
_MAX_MERGED_SEGMENTS: Final = 64


class Burst(Protocol):
    """What a node sends: `data` is one or more datagrams, cut every `segment_size` bytes."""

    @property
    def addr(self) -> Hashable: ...
    @property
    def data(self) -> bytes: ...
    @property
    def segment_size(self) -> int: ...
    @property
    def tos(self) -> int: ...


class Node(Protocol):
    """What a network delivers to: the incoming half of `utcp.core.Endpoint`."""

    def receive(
        self, now: int, addr: Hashable, buf: bytes, length: int, stride: int = 0, ecn: int = 0
    ) -> None:
        """Datagrams from `addr`: `length` bytes, cut every `stride` (0: a single one)."""

    def packet_too_big(self, now: int, addr: Hashable, mtu: int) -> None:
        """A datagram to `addr` was larger than a link's `mtu`."""

    def unreachable(self, now: int, addr: Hashable, hard: bool) -> None:
        """Nobody listens at `addr`."""


class _Port:
    """A node at its address."""

    __slots__ = ("gro", "lend", "lent", "node")

    def __init__(self, node: Node, gro: float, lend: bool) -> None:
        self.node = node
        self.gro = gro
        self.lend = lend
        self.lent: list[bytearray] = []


class Network:
    """Nodes and the links between them.

    `rng` decides all that is left to chance. `default` is the config of links that `connect` was
    not called for. `rules` and `trace` see every datagram that is sent.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        default: LinkConfig | None = None,
        rules: RuleList | None = None,
        trace: Trace | None = None,
        report_unreachable: bool = True,
    ) -> None:
        self.rules = RuleList() if rules is None else rules
        self.trace = trace
        self.report_unreachable = report_unreachable
        self.links: dict[tuple[Hashable, Hashable], Link] = {}
        """By (source, destination)."""
        self._default = LinkConfig() if default is None else default
        self._rng = rng
        self._all: list[Link] = []
        self._number: dict[Link, int] = {}  # index in _all and _scheduled
        self._scheduled: list[int] = []
        self._ports: dict[Hashable, _Port] = {}
        self._due: list[tuple[int, int]] = []  # (time, link index), a heap with stale entries
        self._reports: list[tuple[int, int, Hashable, Hashable, int]] = []  # a heap
        self._order = 0

    def attach(
        self, address: Hashable, node: Node, *, gro: float = 1.0, lend: bool = False
    ) -> None:
        """Put `node` at `address`. ValueError if the address is taken.

        Datagrams that arrive together from one source with equal size are merged into one
        `receive` call, as UDP_GRO does, each with probability `gro`. With `lend`, buffers are
        only lent to `receive`: `reclaim` overwrites them.
        """
        if address in self._ports:
            raise ValueError(f"there is a node at {address!r} already")
        self._ports[address] = _Port(node, gro, lend)

    def detach(self, address: Hashable) -> None:
        """Take the node at `address` away; what arrives for it is answered as unreachable."""
        del self._ports[address]

    def connect(self, src: Hashable, dst: Hashable, config: LinkConfig) -> Link:
        """Lay a new link from `src` to `dst`, instead of the one that was there."""
        seed = self._rng.getrandbits(64)
        link = Link(config, seed, rules=self.rules, trace=self.trace, report=self.report)
        self._number[link] = len(self._all)
        self._all.append(link)
        self._scheduled.append(NEVER)
        self.links[src, dst] = link
        return link

    def route(self, src: Hashable, dst: Hashable, link: Link) -> None:
        """Send what goes from `src` to `dst` over a link that exists already, which it then
        shares with others: a bottleneck."""
        self.links[src, dst] = link

    def send(self, now: int, src: Hashable, burst: Burst) -> None:
        """A node at `src` sends."""
        dst = burst.addr
        link = self.links.get((src, dst))
        if link is None:
            link = self.connect(src, dst, self._default)
        link.send(now, src, dst, burst.data, burst.segment_size, burst.tos)
        self._schedule(link)

    def _schedule(self, link: Link) -> None:
        at = link.due_at()
        index = self._number[link]
        if at < self._scheduled[index]:
            self._scheduled[index] = at
            heapq.heappush(self._due, (at, index))

    def report(self, at: int, sender: Hashable, dst: Hashable, mtu: int) -> None:
        """Tell the node at `sender`, at the time `at`, that a datagram to `dst` was too big for
        `mtu`, or, with an `mtu` of 0, that there is nobody."""
        self._order += 1
        heapq.heappush(self._reports, (at, self._order, sender, dst, mtu))

    def next_at(self) -> int:
        """When `deliver` has something to do; NEVER if nothing is under way."""
        at = self._reports[0][0] if self._reports else NEVER
        # It may be an entry that has been overtaken: then `deliver` has nothing to do.
        return min(at, self._due[0][0]) if self._due else at

    def deliver(self, now: int) -> list[Hashable]:
        """Hand over all that has arrived by `now`; the addresses of the nodes that got some."""
        touched: dict[Hashable, None] = {}
        while self._reports and self._reports[0][0] <= now:
            _, _, sender, dst, mtu = heapq.heappop(self._reports)
            port = self._ports.get(sender)
            if port is not None:
                touched[sender] = None
                if mtu:
                    port.node.packet_too_big(now, dst, mtu)
                else:
                    port.node.unreachable(now, dst, True)
        while self._due and self._due[0][0] <= now:
            at, index = heapq.heappop(self._due)
            if self._scheduled[index] != at:
                continue
            self._scheduled[index] = NEVER
            link = self._all[index]
            self._hand_over(now, link, touched)
            self._schedule(link)
        return list(touched)

    def _hand_over(self, now: int, link: Link, touched: dict[Hashable, None]) -> None:
        arrived = link.take(now)
        i = 0
        while i < len(arrived):
            _, src, dst, data, start, end, tos, _ = arrived[i]
            port = self._ports.get(dst)
            if port is None:
                if self.report_unreachable:
                    self.report(now + link.config.delay_ns, src, dst, 0)
                i += 1
                continue
            touched[dst] = None
            stop = i + 1
            if port.gro and stop < len(arrived):
                stop = self._merge(arrived, i, port.gro)
            size = end - start
            if stop == i + 1:
                buf = data if size == len(data) else data[start:end]
                stride = 0
            else:
                buf = _join(arrived[i:stop])
                stride = size
            length = len(buf)
            if port.lend:
                buf = _lend(port, buf)
            port.node.receive(now, src, buf, length, stride, tos & 3)
            if self.trace is not None:
                for flying in arrived[i:stop]:
                    if flying[7] is not None:
                        self.trace.arrived(now, flying[7])
            i = stop

    def _merge(self, arrived: list[Flying], first: int, gro: float) -> int:
        """The index behind the datagrams that go into one buffer with that at `first`."""
        _, src, dst, _, start, end, tos, _ = arrived[first]
        size = total = end - start
        stop = first + 1
        limit = min(len(arrived), first + _MAX_MERGED_SEGMENTS)
        while stop < limit:
            _, next_src, next_dst, _, start, end, next_tos, _ = arrived[stop]
            length = end - start
            total += length
            # Equal size, but a shorter one may be the last; an empty datagram stands alone.
            if not 0 < length <= size or total > _MAX_MERGED_BYTES:
                break
            if next_src != src or next_dst != dst or next_tos != tos:
                break
            if gro < 1.0 and self._rng.random() >= gro:
                break
            stop += 1
            if length < size:
                break
        return stop

    def reclaim(self, address: Hashable) -> None:
        """Overwrite the buffers lent to the node at `address`, as a driver that receives again
        into the same buffer would. To be called after its `settle`."""
        port = self._ports[address]
        for buffer in port.lent:
            buffer[:] = b"\xdd" * len(buffer)
        port.lent.clear()


def _join(parts: list[Flying]) -> bytes:
    """The bytes of datagrams that arrived together; one slice if they were sent together."""
    data, start, end = parts[0][3], parts[0][4], parts[0][5]
    for part in parts[1:]:
        if part[3] is not data or part[4] != end:
            return b"".join([part[3][part[4] : part[5]] for part in parts])
        end = part[5]
    return data if end - start == len(data) else data[start:end]


def _lend(port: _Port, buf: bytes) -> bytes:
    lent = bytearray(buf)
    port.lent.append(lent)
    return lent  # type: ignore[return-value]  # receive() takes any buffer
