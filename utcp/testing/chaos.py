"""Many seeds, many troubles: drawing a network and a config from a seed, and what must hold.

    for seed in range(10):
        world = chaos_pair(seed)
        check_transfer(world, there=20_000, back=5_000)

A seed that fails once fails always, and its error names it.
"""

from __future__ import annotations

import random

from utcp.config import Config
from utcp.core.state import Reason
from utcp.core.timers import NEVER
from utcp.testing.apps import App, Sink, Source
from utcp.testing.clock import MS, SECOND, US
from utcp.testing.network import GilbertElliott, LinkConfig
from utcp.testing.world import Host, Pair, SimulationError, World, pair

__all__ = ["chaos_pair", "check_invariants", "check_transfer", "draw_config", "draw_link"]


def draw_link(rng: random.Random, mtu: int = 1500) -> LinkConfig:
    """A link with troubles that a TCP must survive: each is there in some of the draws."""

    def sometimes(chance: float, value: float) -> float:
        return value if rng.random() < chance else 0.0

    rate = rng.choice((0, 64_000, 1_000_000, 20_000_000, 1_000_000_000))
    delay = rng.choice((0, 50 * US, 5 * MS, 40 * MS, 300 * MS))
    # At least four packets fit; a link that holds less is no use to anybody.
    queue = rng.choice((4, 16, 64, 1000)) * mtu if rate else NEVER
    burst = None
    if rng.random() < 0.2:
        # Longer bursts than these end connections for good reason: time-outs double.
        burst = GilbertElliott(to_bad=rng.uniform(0.001, 0.02), to_good=rng.uniform(0.5, 0.9))
    return LinkConfig(
        rate_bps=rate,
        delay_ns=delay,
        jitter_ns=int(sometimes(0.4, rng.uniform(0, 20 * MS))),
        queue_bytes=queue,
        loss=sometimes(0.5, rng.choice((0.001, 0.01, 0.05, 0.1))),
        burst_loss=burst,
        duplicate=sometimes(0.3, rng.uniform(0, 0.05)),
        reorder=sometimes(0.4, rng.uniform(0, 0.1)),
        reorder_ns=rng.choice((1 * MS, 10 * MS, 100 * MS)),
        mtu=mtu,
        ecn_threshold=2 * mtu if rate and rng.random() < 0.3 else NEVER,
        coalesce_ns=int(sometimes(0.3, 50 * US)),
    )


def draw_config(rng: random.Random) -> Config:
    """A config whose features and buffer sizes are drawn."""
    return Config(
        # RFC 9293 §3.4.2: two minutes. With less, a last FIN that keeps getting lost outlives the
        # peer's TIME-WAIT and is reset, which is right but not what is looked for here.
        msl=120.0,
        timestamps=rng.random() < 0.8,
        window_scaling=rng.random() < 0.8,
        sack=rng.random() < 0.8,
        ecn=rng.random() < 0.7,
        nodelay=rng.random() < 0.7,
        delayed_ack=rng.choice((0.0, 0.01, 0.04, 0.2)),
        max_segment_size=rng.choice((0, 0, 0, 88, 536, 1000)),
        recv_buffer=rng.choice((2048, 10_000, 65_536, 1 << 20)),
        send_buffer=rng.choice((2048, 10_000, 65_536, 1 << 20)),
        initial_window=rng.choice((1, 4, 10)),
        pacing=rng.random() < 0.5,
    )


def chaos_pair(seed: int, *, trace: bool = True) -> Pair:
    """A world whose links, configs, merging of datagrams and burst sizes come from `seed`."""
    rng = random.Random(seed)
    mtu = rng.choice((576, 1280, 1500, 9000, 65_535))
    world = pair(
        seed,
        config=draw_config(rng),
        config_b=draw_config(rng),
        link=draw_link(rng, mtu),
        back=draw_link(rng, mtu),
        path_mtu=mtu,
        gro=rng.choice((0.0, 0.5, 1.0)),
        trace=trace,
    )
    for host in (world.a, world.b):
        host.endpoint.max_burst_segments = rng.choice((1, 2, 64))
    return world


def check_transfer(
    world: Pair, there: int, back: int = 0, *, limit_ns: int = 4 * 3600 * SECOND
) -> None:
    """Connect, send both ways at once, half-close, and check everything that must hold.

    Raises SimulationError (an AssertionError) that tells the seed.
    """
    try:
        world.transfer(there, back, limit_ns=limit_ns)
        check_invariants(world)
    except SimulationError:
        raise
    except Exception as error:
        # Whatever broke, how to see it again is the most important thing to know.
        raise world.failure(f"{type(error).__name__}: {error}") from error


def check_invariants(world: World) -> None:
    """What must hold after all applications have finished, else SimulationError:

    - every sink has got exactly the bytes it should (they check each one as it comes);
    - memory was bounded: nothing waited beyond the receive buffer, nor beyond a source's mark;
    - within 2 MSL and the retransmissions of a last FIN, both ends forget everything: no
      connection, no TIME-WAIT record, no timer, nothing under way;
    - every connection has ended in order.
    """
    for host in world.hosts.values():
        for app in host.apps:
            _check_app(world, host, app)
    world.run_until_idle()
    for host in world.hosts.values():
        if not host.endpoint.idle:
            raise world.failure(f"{host.address} is not idle: {host.endpoint.connections()}")
        for conn in host.connections:
            if conn.reason is not Reason.CLOSED:
                raise world.failure(f"{host.address}: a connection ended with {conn.reason!r}")


def _check_app(world: World, host: Host, app: App) -> None:
    if not app.done:
        raise world.failure(f"{host.address}: {type(app).__name__} has not finished")
    if isinstance(app, Sink):
        if app.size not in (-1, app.received):
            raise world.failure(f"{app.received} of {app.size} bytes arrived")
        if host.recv_buffer and app.readable_max > host.recv_buffer:
            raise world.failure(f"{app.readable_max} bytes waited for {host.recv_buffer} allowed")
    if isinstance(app, Source) and app.buffered_max > app.high + app.chunk:
        raise world.failure(f"{app.buffered_max} bytes were queued by a source")
