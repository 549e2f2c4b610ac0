"""The world of `benchmarks.soak --virtual`: one server, some clients, bad links."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, cast

from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, Reason
from utcp.testing import MS, SECOND, Host, LinkConfig, Pattern, Sink, Source, World

_CLIENTS: Final = 6
_PATTERN: Final = Pattern(3)
_LINK: Final = LinkConfig(
    rate_bps=20_000_000, delay_ns=10 * MS, jitter_ns=2 * MS, queue_bytes=100_000,
    loss=0.01, duplicate=0.005, reorder=0.01, reorder_ns=5 * MS,
)  # fmt: skip
# Idle ones are found out, so that all comes to an end within minutes of a rest.
_CONFIG: Final = Config(
    keepalive=True, keepalive_idle=20.0, keepalive_interval=5.0, user_timeout=60
)


class SoakWorld:
    """Clients open connections, about one in each of them per second."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.world = World(seed, link=_LINK, trace=False, stall_ns=NEVER)
        self.done: Counter[str] = Counter()
        """How the clients' connections ended."""
        self._clients = [self._host(f"client {number}", seed) for number in range(_CLIENTS)]
        self._server = self._host("server", seed)
        self._server.endpoint.listen()
        self._server.on_accept = self._serve
        self._deaf = self._host("listens to nobody", seed)

    def _host(self, name: str, seed: int) -> Host:
        entropy = f"{name} {seed}".ljust(16).encode()
        return self.world.add(name, cast(Any, Endpoint(_CONFIG, entropy)))

    def rests(self, seconds: float, count: int) -> Iterator[tuple[int, int]]:
        """Run for so long in all; at each of `count` rests, how many timers are set, and how many
        connections and records there are."""
        for _ in range(count):
            until = self.world.now + round(seconds / count * SECOND)
            while self.world.now < until:
                for client in self._clients:
                    self._open(client)
                self.world.run_for(SECOND)
                self._forget()
            self.world.run_until_idle()
            self._forget()
            yield self._held()

    def _open(self, client: Host) -> None:
        rng = self._rng
        peer = rng.choice(("server",) * 8 + ("listens to nobody", "nobody"))
        if peer in client.endpoint and not client.endpoint.can_reuse(self.world.now, peer):
            self.done["busy"] += 1  # one address, one connection
            return
        conn = client.endpoint.connect(self.world.now, peer)
        size = rng.choice((0, 100, 5_000, 100_000))
        finish = rng.choice(("eof", "eof", "eof", "close", "abort"))
        client.run(
            Sink(conn, pattern=_PATTERN),
            Source(conn, size, pattern=_PATTERN, finish=cast(Any, finish)),
        )
        if rng.random() < 0.1:
            self.world.after(rng.randrange(2 * SECOND), conn.abort)

    def _serve(self, conn: Connection) -> None:
        rng = self._rng
        size = rng.choice((0, 100, 5_000, 100_000))
        finish = rng.choice(("eof", "eof", "eof", "close", "abort"))
        self._server.run(
            Sink(conn, pattern=_PATTERN),
            Source(conn, size, pattern=_PATTERN, finish=cast(Any, finish)),
        )

    def _forget(self) -> None:
        """The hosts remember every connection that they ever had."""
        for host in (*self._clients, self._server, self._deaf):
            for key, conn in list(host._conns.items()):
                if conn.reason is not Reason.NONE and not conn._events:
                    if host is not self._server:
                        self.done[conn.reason.name.lower()] += 1
                    for part in (host._conns, host._events, host._apps):
                        part.pop(key, None)
            host.accepted.clear()

    def _held(self) -> tuple[int, int]:
        timers = records = 0
        for host in self.world.hosts.values():
            endpoint = host.endpoint
            timers += endpoint.poll_timeout() < NEVER
            records += len(endpoint.connections()) + endpoint.time_wait_count
            records += len(endpoint._deadlines._heap) + len(host._conns)
        return timers, records
