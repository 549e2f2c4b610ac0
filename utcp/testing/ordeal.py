"""A whole life of one connection, drawn from a seed: what the network, the applications and the
configurations do to it, and what must hold whatever they do.

    outcome = ordeal(1234)

raises a SimulationError that tells the seed if anything does not hold. On top of what `draw_link`
and `draw_config` draw: loss up to 30 %, paths whose MTU changes, outages, applications that stall,
that write or read slowly, that half-close, close, or abort at any moment.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any, Final, Literal

from utcp.config import Config
from utcp.core import Connection
from utcp.core.cc import ALGORITHMS
from utcp.core.state import CLOSED, TIME_WAIT, Reason
from utcp.core.timers import NEVER
from utcp.testing.apps import App, Pattern, Sink, Source
from utcp.testing.chaos import draw_config, draw_link
from utcp.testing.clock import SECOND
from utcp.testing.link import LinkConfig
from utcp.testing.rules import partition
from utcp.testing.world import Host, Pair, SimulationError, pair

__all__ = ["Ordeal", "Outcome", "Stalling", "ordeal"]

_LIMIT: Final = 24 * 3600 * SECOND
_STALL: Final = 4 * 3600 * SECOND
_MOST_RANGES: Final = 2048
_LOOK_EVERY: Final = 8
_SIZES: Final = (0, 1, 300, 5_000, 30_000, 100_000, 300_000)
# Nothing gets through any faster than this many datagrams for each that would do, and beyond
# that time-outs, probes and keep-alives send a few in every second at most.
_DATAGRAMS_EACH: Final = 40
_DATAGRAMS_PER_SECOND: Final = 4
_DATAGRAMS_ANYWAY: Final = 500

Ending = Literal["eof", "close", "answer", "abort"]


class Stalling(App):
    """Another application, which does nothing at certain times."""

    def __init__(self, app: App, stalls: list[tuple[int, int]]) -> None:
        """`stalls`: from when to when, points in time."""
        self.conn: Any = app.conn  # type: ignore[attr-defined]  # all of them have one
        self.app = app
        self._stalls = stalls
        self._events = 0

    def act(self, now: int, events: int) -> None:
        """Do what the application does, now or when it wakes up."""
        self._events |= events
        for start, end in self._stalls:
            if start <= now < end:
                self.wake_at = end
                return
        events, self._events = self._events, 0
        app = self.app
        app.act(now, events)
        self.wake_at, self.progress = app.wake_at, app.progress
        self.done, self.broken = app.done, app.broken


@dataclass(slots=True)
class Part:
    """What one side does."""

    size: int
    chunk: int
    write_bps: int
    read_limit: int
    read_bps: int
    ending: Ending
    abort_at: int  # nanoseconds from the start; only for "abort"
    write_stalls: list[tuple[int, int]]
    read_stalls: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went."""

    seed: int
    must_finish: bool
    reasons: tuple[Reason, ...]
    """Of the client and, if it ever heard of the connection, of the server."""
    received: tuple[int, int]
    """Bytes at the server and at the client."""
    seconds: float
    datagrams: int


class Ordeal:
    """One seed: what was drawn, and the world it happens in."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        rng = self._rng = random.Random(~seed)
        self.mtu = rng.choice((576, 1280, 1500, 1500, 9000))
        self.must_finish = True
        """Nothing that was drawn may end the connection before all bytes have arrived."""
        first = self._draw_part()
        self.parts = first, self._draw_part()
        if first.ending == self.parts[1].ending == "answer":
            # Each would wait for the other to begin.
            self.parts[1].ending = "eof"
        links = self._draw_links()
        self.configs = self._draw_config(), self._draw_config()
        self.world: Pair = pair(
            seed,
            config=self.configs[0],
            config_b=self.configs[1],
            link=links[0],
            back=links[1],
            path_mtu=self.mtu,
            gro=rng.choice((0.0, 0.5, 1.0)),
            trace=trace,
            stall_ns=_STALL,
        )
        for host in (self.world.a, self.world.b):
            host.endpoint.max_burst_segments = rng.choice((1, 2, 64))
        self._draw_outages()
        self._draw_mtu_changes()
        self._looks = 0
        self._conns: list[Connection] = []
        self._sources: list[Source] = []
        self._sinks: list[Sink] = []

    # -- drawing ------------------------------------------------------------------------------

    def _draw_part(self) -> Part:
        rng = self._rng
        ending: Ending = rng.choice(("eof", "eof", "eof", "answer", "answer", "close", "abort"))
        if ending in ("close", "abort"):
            # What still comes in after a close is answered by a reset (RFC 9293 §3.6.1).
            self.must_finish = False
        slow = rng.random() < 0.2
        size = rng.choice(_SIZES[:-2] if slow else _SIZES)
        return Part(
            size=size,
            chunk=rng.choice((7 if size < 1000 else 300, 1000, 65_536)),
            write_bps=rng.choice((0, 0, 0, 100_000)),
            read_limit=rng.choice((-1, -1, 1000, 10_000)),
            read_bps=rng.choice((8_000, 1_000_000)) if slow else 0,
            ending=ending,
            abort_at=int(self._moment(60) * SECOND),
            write_stalls=self._draw_stalls(),
            read_stalls=self._draw_stalls(),
        )

    def _moment(self, most: float) -> float:
        """Seconds, mostly short, `most` at most."""
        return self._rng.uniform(0, self._rng.choice((0.01, 0.3, 3.0, most)))

    def _draw_stalls(self) -> list[tuple[int, int]]:
        stalls = []
        for _ in range(self._rng.choice((0, 0, 0, 1, 3))):
            start = int(self._moment(100) * SECOND)
            stalls.append((start, start + int(self._moment(200) * SECOND)))
        return stalls

    def _draw_links(self) -> tuple[LinkConfig, LinkConfig]:
        rng = self._rng
        links = []
        for _ in range(2):
            link = draw_link(rng, self.mtu)
            if rng.random() < 0.3:
                link = dataclasses.replace(
                    link,
                    loss=rng.uniform(0.1, 0.3),
                    duplicate=rng.uniform(0, 0.2),
                    reorder=rng.uniform(0, 0.3),
                )
            links.append(link)
        return links[0], links[1]

    def _draw_config(self) -> Config:
        rng = self._rng
        config = dataclasses.replace(
            draw_config(rng),
            congestion_control=rng.choice(list(ALGORITHMS)),
            # A side that only waits hears of the other's end by nothing else, if the RST got lost.
            keepalive=True,
            keepalive_idle=rng.choice((5.0, 60.0, 600.0)),
            # Two outages of a minute may follow one another, and 60 of these must not be over then.
            keepalive_interval=rng.choice((3.0, 10.0)),
            # TIME-WAIT lasts four minutes, and a last FIN has to get through in that time.
            rto_max=10.0,
            # With 30 % loss each way one exchange in two fails; so many in a row do not.
            keepalive_count=60,
            retries2=60,
            orphan_retries=60,
            syn_retries=32,
            synack_retries=32,
            fin_wait2_timeout=3600.0,
        )
        if rng.random() < 0.2:
            # As impatient as configurations get.
            self.must_finish = False
            config = dataclasses.replace(
                config,
                keepalive_count=rng.choice((2, 9)),
                rto_max=rng.choice((10.0, 60.0, 120.0)),
                retries2=rng.choice((4, 15)),
                orphan_retries=rng.choice((0, 3, 8)),
                syn_retries=rng.choice((1, 7)),
                synack_retries=rng.choice((1, 5)),
                user_timeout=rng.choice((0.0, 0.5, 10.0, 100.0)),
                fin_wait2_timeout=rng.choice((1.0, 60.0)),
            )
        return config

    def _draw_outages(self) -> None:
        world, rng = self.world, self._rng
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            start = world.now + int(self._moment(60) * SECOND)
            src = rng.choice((None, "a", "b"))
            world.rules.append(partition(start, start + int(self._moment(60) * SECOND), src=src))

    def _draw_mtu_changes(self) -> None:
        rng = self._rng
        for _ in range(rng.choice((0, 0, 0, 1, 3))):
            link = rng.choice(list(self.world.network.links.values()))
            mtu = rng.choice((576, 1280, 1400, 1500, self.mtu))
            silent = rng.random() < 0.5
            if silent:
                # A black hole: full segments vanish without a word.
                mtu = max(mtu, min(self.mtu, 1280))

            def change(link: Any = link, mtu: int = mtu, silent: bool = silent) -> None:
                link.config = dataclasses.replace(link.config, mtu=mtu, report_too_big=not silent)

            self.world.after(int(self._moment(30) * SECOND), change)

    # -- running ------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Live through it. SimulationError if something does not hold."""
        world = self.world
        try:
            world.b.on_accept = lambda conn: self._begin(world.b, conn, 1)
            world.b.endpoint.listen()
            self._begin(world.a, world.a.endpoint.connect(world.now, "b"), 0)
            world.run_until(self._over, _LIMIT)
            elapsed = world.elapsed
            datagrams = self._datagrams()
            self._check_end()
            self._check_effort(elapsed, datagrams)
            world.run_until_idle()
            if not (world.a.endpoint.idle and world.b.endpoint.idle):
                raise world.failure("not everything has been forgotten")
        except SimulationError:
            raise
        except Exception as error:
            raise world.failure(f"{type(error).__name__}: {error}") from error
        received = [sink.received for sink in self._sinks] + [0]
        return Outcome(
            seed=self.seed,
            must_finish=self.must_finish,
            reasons=tuple(conn.reason for conn in self._conns),
            received=(received[1], received[0]),
            seconds=elapsed / SECOND,
            datagrams=datagrams,
        )

    def _begin(self, host: Host, conn: Connection, side: int) -> None:
        """Give one side's connection its applications."""
        if len(self._conns) != side:
            raise self.world.failure("one connection came to be two")
        now, part = self.world.now, self.parts[side]
        finish = {"eof": "eof", "close": "close"}.get(part.ending, "keep")
        source = Source(
            conn, part.size, pattern=Pattern(side), chunk=part.chunk, rate_bps=part.write_bps,
            finish=finish,  # type: ignore[arg-type]
        )  # fmt: skip
        sink = Sink(conn, pattern=Pattern(1 - side), limit=part.read_limit, rate_bps=part.read_bps)
        self._conns.append(conn)
        self._sources.append(source)
        self._sinks.append(sink)
        writer: App = source
        if part.ending == "answer":
            writer = _After(sink, source)
        host.run(
            Stalling(sink, [(now + start, now + end) for start, end in part.read_stalls]),
            Stalling(writer, [(now + start, now + end) for start, end in part.write_stalls]),
        )
        if part.ending == "abort":
            self.world.after(part.abort_at, conn.abort)

    def _over(self) -> bool:
        """Whether no connection is left; looks at memory now and then."""
        self._looks += 1
        hosts = (self.world.a, self.world.b)
        if self._looks % _LOOK_EVERY == 0:
            for host, config in zip(hosts, self.configs, strict=True):
                for conn in host.endpoint.connections():
                    self._check_memory(host, conn, config)
        for host in hosts:
            for conn in host.endpoint.connections():
                if conn.state is not CLOSED and conn.state is not TIME_WAIT:
                    return False
        return True

    def _datagrams(self) -> int:
        return sum(link.stats.sent for link in self.world.network.links.values())

    # -- what must hold -----------------------------------------------------------------------

    def _check_memory(self, host: Host, conn: Connection, config: Config) -> None:
        rcv, flight = conn.rcv, conn.snd.flight
        held = rcv.buffer.size + rcv.reassembly.nbytes
        if held > config.recv_buffer:
            raise self.world.failure(f"{host.address} holds {held} bytes received")
        if len(rcv.reassembly.starts) > _MOST_RANGES:
            raise self.world.failure(f"{host.address} holds {len(rcv.reassembly.starts)} ranges")
        if conn.sndbuf > max(config.send_buffer, 0):
            raise self.world.failure(f"{host.address} has a send buffer of {conn.sndbuf} bytes")
        if flight.nxt - flight.una > max(conn.snd.max_snd_wnd, 1) + 2:
            raise self.world.failure(f"{host.address}: {flight.nxt - flight.una} bytes in flight")

    def _check_end(self) -> None:
        """Both sides know that it is over, and no byte is wrong, missing or too much."""
        world = self.world
        for side, (source, sink) in enumerate(zip(self._sources, self._sinks, strict=True)):
            # What has arrived may be read after the end, also by an application that has stalled.
            name = "ab"[side]
            if source.buffered_max > source.high + source.chunk:
                raise world.failure(f"{name}: {source.buffered_max} bytes were queued by a source")
            if self._conns[side].reason is Reason.NONE:
                raise world.failure(f"{name} has not been told that it is over")
            other = 1 - side
            written = self._sources[other].written if other < len(self._sources) else 0
            if sink.received > written or (sink.eof and sink.received != written):
                raise world.failure(f"{name} got {sink.received} of {written} bytes")
        if self.must_finish:
            self._check_finished()

    def _check_finished(self) -> None:
        world = self.world
        # A stalled reader may still have something to read.
        world.run_until(lambda: all(sink.eof or sink.broken for sink in self._sinks), _LIMIT)
        for side, sink in enumerate(self._sinks):
            reason = self._conns[side].reason
            if reason is not Reason.CLOSED:
                raise world.failure(f"{'ab'[side]} ended with {reason!r}")
            if not sink.eof or sink.received != self.parts[1 - side].size:
                raise world.failure(f"{'ab'[side]} got {sink.received} bytes, eof {sink.eof}")

    def _check_effort(self, elapsed: int, datagrams: int) -> None:
        least = sum(
            source.written // 60 + 2 if config.max_segment_size == 88 else source.written // 400 + 2
            for source, config in zip(self._sources, self.configs, strict=False)
        )
        most = _DATAGRAMS_ANYWAY + _DATAGRAMS_EACH * least
        most += _DATAGRAMS_PER_SECOND * (elapsed // SECOND)
        if datagrams > most:
            raise self.world.failure(f"{datagrams} datagrams were sent where {most} are many")


class _After(App):
    """Begins to write when the peer has said EOF, and then closes."""

    def __init__(self, sink: Sink, source: Source) -> None:
        self.conn = source.conn
        self._sink = sink
        self._source = source

    def act(self, now: int, events: int) -> None:
        """Write, once the stream that came in has been read."""
        sink, source = self._sink, self._source
        self.wake_at = NEVER
        self.broken = self.broken or sink.broken
        if self.done or self.broken:
            return
        if not sink.eof:
            # The sink acts on the same events, and before; but it may be stalled.
            self.wake_at = now + SECOND
            return
        source.act(now, events)
        self.wake_at, self.progress = source.wake_at, source.progress
        self.broken = source.broken
        if source.done:
            self.done = True
            source.conn.close()


def ordeal(seed: int, *, trace: bool = False) -> Outcome:
    """Draw and run one. Raises SimulationError, which tells the seed."""
    return Ordeal(seed, trace=trace).run()
