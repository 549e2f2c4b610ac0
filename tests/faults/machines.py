"""Machines that fail: endpoints in a simulated world that are stopped, killed and started anew."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, Literal

from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, Transmit
from utcp.testing import (
    MS,
    SECOND,
    Drop,
    LinkConfig,
    Packet,
    Pattern,
    Rule,
    Sink,
    Source,
    World,
)

LINK: Final = LinkConfig(rate_bps=8_000_000, delay_ns=10 * MS, queue_bytes=60_000)
_SOCKET_BUFFER: Final = 200_000  # bytes that the kernel keeps for a process that does not run


class Machine:
    """One endpoint with its socket: what World calls a node."""

    def __init__(self, world: World, address: Hashable, config: Config) -> None:
        self.config = config
        self.address = address
        self.stopped = False
        self.dropped = 0
        """Datagrams for which the socket had no room."""
        self.boots = 0
        self._world = world
        self._waiting: list[tuple[Hashable, bytes, int, int]] = []
        self.boot()
        self.host = world.add(address, self)

    def boot(self) -> None:
        """A process without any memory of the one before it."""
        self.boots += 1
        entropy = f"{self.address} {self.boots}".ljust(16).encode()
        self.endpoint = Endpoint(self.config, entropy)

    # -- faults -------------------------------------------------------------------------------

    def kill(self, *, silent: bool) -> None:
        """As by `kill -9`: the kernel answers that the port is closed; or, `silent`, nobody
        answers any more, for the whole machine is gone."""
        self.stopped = True
        self._waiting.clear()
        if not silent:
            self._world.rules.append(Rule(self._answers_for_a_closed_port, Drop()))

    def _answers_for_a_closed_port(self, packet: Packet) -> bool:
        if packet.dst == self.address:
            self._world.network.report(packet.now + 20 * MS, packet.src, self.address, 0)
        return packet.dst == self.address

    def restart(self) -> None:
        """The process is there again, on the same port, and listens."""
        self.boot()
        self.endpoint.listen()
        self._world.rules.clear()
        self.stopped = False

    def stop(self) -> None:
        """As by SIGSTOP: the socket takes what comes until it is full."""
        self.stopped = True

    def cont(self) -> None:
        """As by SIGCONT: what the socket holds is read first, then timers fire."""
        self.stopped = False
        now = self._world.now
        waiting, self._waiting = self._waiting, []
        for addr, data, stride, ecn in waiting:
            self.receive(now, addr, data, len(data), stride, ecn)
        self.handle_timeout(now)
        self.host.turn()

    # -- a node -------------------------------------------------------------------------------

    def receive(
        self, now: int, addr: Hashable, buf: bytes, length: int, stride: int = 0, ecn: int = 0
    ) -> None:
        if not self.stopped:
            self.endpoint.receive(now, addr, buf, length, stride, ecn)
        elif sum(len(data) for _, data, _, _ in self._waiting) + length <= _SOCKET_BUFFER:
            self._waiting.append((addr, bytes(buf), stride, ecn))
        else:
            self.dropped += 1

    def packet_too_big(self, now: int, addr: Hashable, mtu: int) -> None:
        self.endpoint.packet_too_big(now, addr, mtu)

    def unreachable(self, now: int, addr: Hashable, hard: bool) -> None:
        self.endpoint.unreachable(now, addr, hard)

    def poll_transmit(self, now: int) -> Transmit | None:
        return None if self.stopped else self.endpoint.poll_transmit(now)

    def poll_timeout(self) -> int:
        return NEVER if self.stopped else self.endpoint.poll_timeout()

    def handle_timeout(self, now: int) -> None:
        self.endpoint.handle_timeout(now)

    def poll_ready(self) -> Any:
        return None if self.stopped else self.endpoint.poll_ready()

    def settle(self) -> None:
        self.endpoint.settle()


class Scene:
    """A client and a server that transfer `size` bytes each way, and are checked."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        server: Config | None = None,
        size: int = 300_000,
        link: LinkConfig = LINK,
        connected: bool = True,
        finish: Literal["eof", "keep"] = "eof",
    ) -> None:
        config = config or Config()
        self.size = size
        self.finish_by: Literal["eof", "keep"] = finish
        self.world = World(1, link=link, stall_ns=NEVER)
        self.a = Machine(self.world, "a", config)
        self.b = Machine(self.world, "b", server or config)
        self.b.endpoint.listen()
        self.b.host.on_accept = self._serve
        self.sinks: list[Sink] = []
        self.client = self.a.endpoint.connect(self.world.now, "b")
        self.server: Connection | None = None
        self._run(self.a, self.client, 1)
        if connected:
            self.world.run_until(lambda: self.server, 10 * SECOND)

    def _serve(self, conn: Connection) -> None:
        if self.server is None:
            self.server = conn
            self._run(self.b, conn, 2)

    def _run(self, machine: Machine, conn: Connection, seed: int) -> None:
        sink = Sink(conn, self.size, pattern=Pattern(3 - seed))
        self.sinks.append(sink)
        source = Source(conn, self.size, pattern=Pattern(seed), finish=self.finish_by)
        machine.host.run(sink, source)

    @property
    def now(self) -> int:
        return self.world.now

    def run(self, seconds: float) -> None:
        """Time passes."""
        self.world.run_for(round(seconds * SECOND))

    def finish(self, within: float) -> float:
        """Everything arrives, and it takes so many seconds more at most; returns how many."""
        began = self.world.now
        self.world.run_until(lambda: self.world.finished, round(within * SECOND))
        assert [sink.received for sink in self.sinks] == [self.size] * 2
        elapsed = (self.world.now - began) / SECOND
        self.world.run_until_idle()
        assert self.a.endpoint.idle
        assert self.b.endpoint.idle
        return elapsed

    def until_over(self, conn: Connection, within: float) -> float:
        """`conn` ends in so many seconds at most; returns after how many."""
        began = self.world.now
        self.world.run_until(lambda: conn.reason, round(within * SECOND))
        return (self.world.now - began) / SECOND
