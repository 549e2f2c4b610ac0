"""A world: endpoints, applications, a network and a clock, run from one seed.

    world = pair(seed=7, link=LinkConfig(rate_bps=10_000_000, delay_ns=20 * MS, loss=0.01))
    client, server = world.connect()
    world.a.run(Source(client, 1_000_000), Sink(client, 0))
    world.b.run(Source(server, 0), Sink(server, 1_000_000))
    world.run_until(lambda: world.finished, limit_ns=60 * SECOND)
    world.run_until_idle()
    print(ladder(world.trace))

Nothing happens but in `step` and the `run_*` methods, which move the clock from event to event.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Hashable
from typing import Any, Protocol, cast

from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, State
from utcp.testing.apps import App, Sink, Source
from utcp.testing.clock import MS, SECOND, VirtualClock
from utcp.testing.network import Burst, Link, LinkConfig, Network, Node
from utcp.testing.prompt import PromptEndpoint
from utcp.testing.rules import RuleList
from utcp.testing.trace import Trace, ladder

__all__ = ["Host", "Pair", "PollNode", "SimulationError", "World", "pair"]

_MAX_STEPS_PER_INSTANT = 100_000
_MAX_BURSTS_PER_TURN = 100_000


class SimulationError(AssertionError):
    """A simulated world did what it must not; the message tells the seed."""


class PollNode(Node, Protocol):
    """A node that also acts by itself: `utcp.core.Endpoint`, or a scripted peer."""

    def poll_transmit(self, now: int) -> Burst | None:
        """The next burst to send, until there is none."""

    def poll_timeout(self) -> int:
        """When `handle_timeout` wants to be called; NEVER if it does not."""

    def handle_timeout(self, now: int) -> None:
        """Do what is due."""

    def poll_ready(self) -> Any:
        """The next connection that has events, until there is none (None)."""

    def settle(self) -> None:
        """Let go of all received buffers."""


class Host:
    """A node in a world, with the applications on its connections."""

    def __init__(self, world: World, address: Hashable, node: PollNode) -> None:
        self.address = address
        self.node = node
        self.accepted: list[Any] = []
        """Passive connections in the order of their establishment."""
        self.on_accept: Callable[[Any], object] | None = None
        """Called with each new passive connection, for example to `run` applications on it."""
        self.recv_buffer = 0
        """Most bytes that may wait to be read on one connection; 0: not checked."""
        self.timeout_at = NEVER
        """When the node wants `handle_timeout` to be called."""
        self.wake_at = NEVER
        """When the node or one of its applications wants to act by itself."""
        self._world = world
        self._conns: dict[int, Any] = {}  # by id(), and so these ids stay theirs
        self._events: dict[int, int] = {}  # all bits shown so far, by id() of the connection
        self._apps: dict[int, list[App]] = {}  # by id() of the connection

    def run(self, *apps: App) -> None:
        """Run applications; each acts on its `conn`."""
        for app in apps:
            conn = cast(Any, app).conn
            self._conns[id(conn)] = conn
            self._apps.setdefault(id(conn), []).append(app)
            self._act(app, self._events.get(id(conn), 0))
        self._rearm()

    def events_of(self, conn: Any) -> int:
        """All event bits that a connection has shown so far."""
        return self._events.get(id(conn), 0)

    @property
    def apps(self) -> list[App]:
        """All applications, in the order in which they were added."""
        return [app for apps in self._apps.values() for app in apps]

    @property
    def endpoint(self) -> Endpoint:
        """The node, which must be an Endpoint. TypeError if it is something else."""
        if not isinstance(self.node, Endpoint):
            raise TypeError(f"the node at {self.address!r} is no Endpoint")
        return self.node

    @property
    def connections(self) -> list[Any]:
        """All connections that have shown events or that applications have run on."""
        return list(self._conns.values())

    def turn(self) -> None:
        """One wake-up, in the order that the core asks for: events, settle, transmit, timer."""
        now = self._world.now
        node = self.node
        while (conn := node.poll_ready()) is not None:
            self._dispatch(conn)
        node.settle()
        network = self._world.network
        network.reclaim(self.address)
        for _ in range(_MAX_BURSTS_PER_TURN):
            burst = node.poll_transmit(now)
            if burst is None:
                break
            network.send(now, self.address, burst)
        else:
            raise self._world.failure(f"{self.address} never stops sending")
        self._rearm()

    def wake_apps(self, now: int) -> None:
        """Let applications act whose time has come."""
        for app in self.apps:
            if app.wake_at <= now:
                self._act(app, 0)

    def _rearm(self) -> None:
        at = self.timeout_at = self.node.poll_timeout()
        for apps in self._apps.values():
            for app in apps:
                at = min(at, app.wake_at)
        self.wake_at = at

    def _dispatch(self, conn: Any) -> None:
        events = conn.take_events()
        key = id(conn)
        self._conns[key] = conn
        known = self._events.get(key, 0)
        self._events[key] = known | events
        if conn.passive and not known:
            self.accepted.append(conn)
            if self.on_accept is not None:
                self.on_accept(conn)
        for app in self._apps.get(key, ()):
            self._act(app, events)

    def _act(self, app: App, events: int) -> None:
        try:
            app.act(self._world.now, events)
        except SimulationError:
            raise
        except AssertionError as error:
            raise self._world.failure(f"{self.address}: {error}") from error


class World:
    """Hosts, links and a clock. The same seed and the same calls give the same run.

    `trace=False` saves time and memory in long runs. `stall_ns` is how long all unfinished
    applications together may make no progress before `SimulationError` is raised.
    """

    def __init__(
        self,
        seed: int,
        *,
        link: LinkConfig | None = None,
        trace: bool = True,
        stall_ns: int = 900 * SECOND,
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.clock = VirtualClock()
        self.rules = RuleList()
        self.trace = Trace(self._state_of)
        self.network = Network(
            random.Random(self.random.getrandbits(64)),
            default=link,
            rules=self.rules,
            trace=self.trace if trace else None,
        )
        self.hosts: dict[Hashable, Host] = {}
        self.started_at = self.clock.now
        self.stall_ns = stall_ns
        self._calls: list[tuple[int, int, Callable[[], object]]] = []  # a heap
        self._order = 0
        self._steps_here = 0
        self._progress = -1
        self._progress_at = self._look_at = self.clock.now

    # -- building ------------------------------------------------------------------------------

    def add(
        self, address: Hashable, node: PollNode, *, gro: float = 1.0, lend: bool = True
    ) -> Host:
        """Put a node at `address`; `gro` and `lend` as for `Network.attach`."""
        self.network.attach(address, node, gro=gro, lend=lend)
        host = self.hosts[address] = Host(self, address, node)
        return host

    def link(
        self, a: Hashable, b: Hashable, config: LinkConfig, back: LinkConfig | None = None
    ) -> tuple[Link, Link]:
        """Connect two addresses, with `back` (default: the same) for the way from `b` to `a`."""
        return self.network.connect(a, b, config), self.network.connect(b, a, back or config)

    def at(self, at: int, call: Callable[[], object]) -> None:
        """Call something at the time `at`, for example `conn.abort`."""
        self._order += 1
        heapq.heappush(self._calls, (at, self._order, call))

    def after(self, ns: int, call: Callable[[], object]) -> None:
        """Call something `ns` nanoseconds from now."""
        self.at(self.now + ns, call)

    # -- running -------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The time, nanoseconds."""
        return self.clock.now

    @property
    def elapsed(self) -> int:
        """Nanoseconds since the world was made."""
        return self.clock.now - self.started_at

    @property
    def apps(self) -> list[App]:
        """All applications of all hosts."""
        return [app for host in self.hosts.values() for app in host.apps]

    @property
    def finished(self) -> bool:
        """All applications are done."""
        return all(app.done for host in self.hosts.values() for app in host.apps)

    def next_at(self) -> int:
        """When something will happen; NEVER if nothing will."""
        at = self.network.next_at()
        for host in self.hosts.values():
            at = min(at, host.wake_at)
        return min(at, self._calls[0][0]) if self._calls else at

    def flush(self) -> None:
        """Let every host act on what has been done to its connections from outside."""
        for host in self.hosts.values():
            host.turn()

    def step(self, until: int = NEVER) -> bool:
        """Move to the next event, if it is not later than `until`, and let it happen.

        False if there is none; the clock has then moved to `until` (unless that is NEVER).
        """
        self.flush()
        if self._step(until):
            return True
        if until != NEVER:
            self.clock.advance_to(until)
        return False

    def _step(self, until: int) -> bool:
        at = self.next_at()
        if at > until or at == NEVER:
            return False
        self._steps_here = 0 if at > self.clock.now else self._steps_here + 1
        if self._steps_here > _MAX_STEPS_PER_INSTANT:
            raise self.failure("time stands still: something is due for ever")
        now = self.clock.advance_to(at)
        touched = dict.fromkeys(self.network.deliver(now))
        called = False
        while self._calls and self._calls[0][0] <= now:
            heapq.heappop(self._calls)[2]()
            called = True
        for address, host in self.hosts.items():
            due = host.wake_at <= now
            if due:
                if host.timeout_at <= now:
                    host.node.handle_timeout(now)
                host.wake_apps(now)
            if due or called or address in touched:
                host.turn()
        self._watch_progress()
        return True

    def run_until(self, predicate: Callable[[], object], limit_ns: int) -> None:
        """Run until `predicate()` is true. SimulationError if it is not after `limit_ns`, or if
        nothing can happen any more."""
        self.flush()
        until = self.now + limit_ns
        while not predicate():
            if not self._step(until):
                if self.next_at() == NEVER:
                    raise self.failure("nothing can happen any more")
                self.clock.advance_to(until)
                raise self.failure(f"not done after {limit_ns / SECOND:g} virtual seconds")

    def run_for(self, ns: int) -> None:
        """Run for `ns` nanoseconds."""
        self.flush()
        until = self.now + ns
        while self._step(until):
            pass
        self.clock.advance_to(until)

    def run_until_idle(self, limit_ns: int = 24 * 3600 * SECOND) -> None:
        """Run until nothing is under way and no timer is set. SimulationError if that is not
        reached after `limit_ns`."""
        self.flush()
        until = self.now + limit_ns
        while self._step(until):
            pass
        if self.next_at() != NEVER:
            raise self.failure(f"not idle after {limit_ns / SECOND:g} virtual seconds")

    def _watch_progress(self) -> None:
        # Looked at now and then only: the sum over all applications is not free.
        if self.clock.now < self._look_at:
            return
        self._look_at = self.clock.now + self.stall_ns // 8
        apps = self.apps
        progress = sum(app.progress + app.done for app in apps)
        if progress != self._progress or self.finished:
            self._progress = progress
            self._progress_at = self.clock.now
        elif self.clock.now - self._progress_at > self.stall_ns:
            raise self.failure(f"no progress for {self.stall_ns / SECOND:g} virtual seconds")

    # -- telling -------------------------------------------------------------------------------

    def failure(self, message: str) -> SimulationError:
        """The error to raise: `message`, the seed, the time, the states and the last segments."""
        lines = [
            f"{message} (at {self.elapsed / MS:.3f} ms)",
            f"repeat with seed={self.seed}: the same seed and calls give the same run",
        ]
        for (src, dst), link in self.network.links.items():
            lines.append(f"{src} > {dst}: state {self._state_of(src, dst)}, {link.stats}")
        if self.trace:
            lines += ["the last segments:", ladder(self.trace, start=self.started_at, last=40)]
        return SimulationError("\n".join(lines))

    def _state_of(self, own: Hashable, peer: Hashable) -> str:
        host = self.hosts.get(own)
        state = getattr(host.node, "state", None) if host is not None else None
        if state is None:
            return ""
        return str(state(peer))


class Pair(World):
    """Two endpoints with a link each way: `a` (host "a", the client) and `b` ("b", the server)."""

    a: Host
    b: Host

    def open(self) -> Connection:
        """Let `b` listen and `a` send its SYN; returns the client's connection, not yet open."""
        if not self.b.endpoint.listening:
            self.b.endpoint.listen()
        return self.a.endpoint.connect(self.now, self.b.address)

    def connect(self, limit_ns: int = 300 * SECOND) -> tuple[Connection, Connection]:
        """Open a connection from `a` to `b`; returns the client's and the server's end of it."""
        known = len(self.b.accepted)
        client = self.open()
        self.run_until(
            lambda: len(self.b.accepted) > known and client.state is State.ESTABLISHED, limit_ns
        )
        return client, self.b.accepted[-1]

    def transfer(
        self, there: int, back: int = 0, *, limit_ns: int = 3600 * SECOND, chunk: int = 65_536
    ) -> tuple[Sink, Sink]:
        """Connect, send `there` bytes from `a` to `b` and `back` bytes the other way at once,
        check them, and half-close both. Returns the sinks at `b` and at `a`."""
        client, server = self.connect()
        at_b, at_a = Sink(server, there), Sink(client, back)
        self.b.run(at_b, Source(server, back, chunk=chunk))
        self.a.run(at_a, Source(client, there, chunk=chunk))
        self.run_until(lambda: self.finished, limit_ns)
        return at_b, at_a


def pair(
    seed: int = 0,
    *,
    config: Config | None = None,
    config_b: Config | None = None,
    link: LinkConfig | None = None,
    back: LinkConfig | None = None,
    path_mtu: int = 1500,
    gro: float = 1.0,
    lend: bool = True,
    trace: bool = True,
    stall_ns: int = 900 * SECOND,
) -> Pair:
    """A world of two endpoints, "a" and "b", with `link` from a to b and `back` (default: the
    same) from b to a. `config` is for both, unless there is a `config_b`. `lend=False` takes
    less time, and does not notice that a buffer was kept too long."""
    config = Config() if config is None else config
    link = LinkConfig(mtu=path_mtu) if link is None else link
    world = Pair(seed, trace=trace, stall_ns=stall_ns)
    hosts = []
    for name, settings in (("a", config), ("b", config_b or config)):
        # Half of the seeds take messages by the way that drivers take.
        kind = PromptEndpoint if seed & 1 else Endpoint
        endpoint = kind(settings, world.random.randbytes(32), path_mtu=path_mtu)
        host = world.add(name, cast(PollNode, endpoint), gro=gro, lend=lend)
        host.recv_buffer = settings.recv_buffer
        hosts.append(host)
    world.a, world.b = hosts
    world.link("a", "b", link, back)
    return world
