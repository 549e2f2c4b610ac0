"""2 to 32 flows over one bottleneck: how evenly they share it, minute by minute."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from benchmarks.paths.cells import MTU, PAYLOAD
from benchmarks.paths.simulate import ENDLESS, controllers
from utcp.config import Config
from utcp.core import Endpoint
from utcp.testing import MS, SECOND, Host, LinkConfig, Sink, Source, World
from utcp.testing.world import PollNode

_MINUTE: Final = 60 * SECOND
_FAST: Final = 100_000_000
_SLOW: Final = 40_000_000
_FEW: Final = 4
_COALESCE_NS: Final = MS
_JITTER_NS: Final = MS // 2
_RECEIVER: Final = "receiver"


@dataclass(frozen=True, slots=True)
class Flow:
    """One sender: its controller, its round trip without queue, and when it starts."""

    controller: str
    rtt_ns: int = 40 * MS
    start_ns: int = 0

    @property
    def kind(self) -> str:
        """Flows of one kind ought to get the same."""
        return f"{self.controller} {self.rtt_ns // MS} ms"


@dataclass(frozen=True, slots=True)
class Case:
    """Flows over one bottleneck, whose queue holds the product of rate and mean round trip."""

    name: str
    flows: tuple[Flow, ...]
    minutes: int = 2
    quick: bool = False

    @property
    def rate_bps(self) -> int:
        """Of the bottleneck: so much that each flow has a window worth the name."""
        return _SLOW if len(self.flows) <= _FEW else _FAST

    @property
    def possible(self) -> bool:
        """Whether all the controllers are there."""
        return {flow.controller for flow in self.flows} <= set(controllers())


def all_cases() -> list[Case]:
    """Everything that is looked at."""
    return [*_alike(), *_different()]


def _alike() -> Iterator[Case]:
    for name in ("reno", "cubic"):
        for count in (2, 4, 16, 32):
            yield Case(f"sharing/{name}/{count}", (Flow(name),) * count, quick=count == 2)
        # The second comes when the first has had the link for ten seconds, and so on.
        late = tuple(Flow(name, start_ns=number * 10 * SECOND) for number in range(4))
        yield Case(f"sharing/{name}/4 one after the other", late, minutes=3)


def _different() -> Iterator[Case]:
    for name in ("reno", "cubic"):
        trips = tuple(Flow(name, rtt * MS) for rtt in (20, 40, 80, 160))
        yield Case(f"sharing/{name}/20 to 160 ms", trips, minutes=3)
    for count in (1, 4, 8):
        flows = (Flow("reno"),) * count + (Flow("cubic"),) * count
        yield Case(f"sharing/{count} cubic beside {count} reno", flows, minutes=3)
    far = (Flow("reno", 100 * MS),) * 4 + (Flow("cubic", 100 * MS),) * 4
    yield Case("sharing/4 cubic beside 4 reno, 100 ms", far, minutes=3)


def jain(values: Sequence[float]) -> float:
    """Jain's index of fairness: 1 if all are equal, 1/n if one has all."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def measure(case: Case, seed: int = 1) -> dict[str, Any]:
    """Run it. For every minute: Jain's index over the flows that were there all the time, and the
    payload delivered as a share of what the link could carry; for the last one the share that
    each kind of flow got; and the time-outs of all."""
    world = World(seed, trace=False)
    sinks: dict[str, Sink] = {}
    hosts = _build(world, case, sinks)
    capacity = case.rate_bps / 8 * PAYLOAD / MTU * 60
    names = [host.address for host in hosts]
    before = dict.fromkeys(names, 0)
    result: dict[str, Any] = {"jain": [], "link": []}
    got: dict[Any, int] = {}
    for minute in range(case.minutes):
        world.run_for(_MINUTE)
        total = {name: sinks[name].received if name in sinks else 0 for name in names}
        got = {name: total[name] - before[name] for name in names}
        before = total
        there = [
            got[name]
            for name, flow in zip(names, case.flows, strict=True)
            if flow.start_ns <= minute * _MINUTE
        ]
        result["jain"].append(round(jain(there), 4))
        result["link"].append(round(sum(got.values()) / capacity, 4))
    shares: dict[str, float] = {}
    for name, flow in zip(names, case.flows, strict=True):
        shares[flow.kind] = shares.get(flow.kind, 0.0) + got[name] / capacity
    result["shares"] = {kind: round(share, 4) for kind, share in shares.items()}
    result["rto"] = sum(host.endpoint.counters.timeouts for host in hosts)
    return result


def _build(world: World, case: Case, sinks: dict[str, Sink]) -> list[Host]:
    """Senders, a receiver, the bottleneck, and each flow's own way back."""
    mean = sum(flow.rtt_ns for flow in case.flows) // len(case.flows)
    there_ns = min(flow.rtt_ns for flow in case.flows) // 2
    bottleneck = LinkConfig(
        rate_bps=case.rate_bps,
        delay_ns=there_ns,
        queue_bytes=case.rate_bps * mean // (8 * SECOND),
        mtu=MTU,
        coalesce_ns=_COALESCE_NS,
    )
    rng = random.Random(seed_of(world))
    receiver = _host(world, _RECEIVER, "reno")

    def accept(conn: Any) -> None:
        sink = sinks[conn.addr] = Sink(conn)
        receiver.run(sink)

    receiver.on_accept = accept
    receiver.endpoint.listen(len(case.flows))
    hosts = []
    shared = world.network.connect("sender 0", _RECEIVER, bottleneck)
    for number, flow in enumerate(case.flows):
        name = f"sender {number}"
        host = _host(world, name, flow.controller)
        world.network.route(name, _RECEIVER, shared)
        # Where everything is exact, a full queue picks the same flow again and again (Floyd and
        # Jacobson 1992, phase effects); a datagram's time or two of jitter is what they advise.
        back = LinkConfig(delay_ns=flow.rtt_ns - there_ns, jitter_ns=_JITTER_NS, mtu=MTU)
        world.network.connect(_RECEIVER, name, back)
        start = world.now + flow.start_ns + rng.randrange(flow.rtt_ns)
        world.at(start, lambda host=host: _start(world, host))  # type: ignore[misc]
        hosts.append(host)
    return hosts


def seed_of(world: World) -> int:
    """A seed for what the world itself does not draw."""
    return world.seed ^ 0x5EED


def _host(world: World, name: str, controller: str) -> Host:
    config = Config(congestion_control=controller)
    endpoint = Endpoint(config, world.random.randbytes(32), path_mtu=MTU)
    return world.add(name, cast(PollNode, endpoint), lend=False)


def _start(world: World, host: Host) -> None:
    client = host.endpoint.connect(world.now, _RECEIVER)
    host.run(Source(client, ENDLESS, finish="keep"))
