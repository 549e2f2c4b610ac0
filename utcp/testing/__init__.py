"""Tools to test programs that use utcp, and utcp itself, in virtual time.

Everything here is repeatable: the same seed and the same calls give the same run, to the last
nanosecond and byte, and nothing sleeps. All times are whole nanoseconds; `US`, `MS` and `SECOND`
help to write them.

**asyncio programs in virtual time.** `run_virtual(main())` is `asyncio.run` on a `VirtualLoop`:
sleeps and time-outs take no real time, and a program that hangs raises `DeadlockError`.

**Two endpoints on a simulated network.** `pair` makes a `World` of two endpoints and a link each
way, described by `LinkConfig`: rate, delay, jitter, queue, loss (independent, or in bursts:
`GilbertElliott`), duplication, reordering, MTU, ECN marking. A `Source` writes, a `Sink` reads
and checks:

    world = pair(seed=1, link=LinkConfig(rate_bps=10_000_000, delay_ns=20 * MS, loss=0.01))
    client, server = world.connect()
    world.a.run(Source(client, 1_000_000))
    world.b.run(Sink(server, 1_000_000, finish="close"))
    world.run_until(lambda: world.finished, limit_ns=60 * SECOND)
    print(ladder(world.trace))

`ladder` draws what went over the wire, with the states of both ends; `write_pcap` writes it for
Wireshark, as native TCP. Failures are `SimulationError`s, which tell the seed.

**Chosen segments.** `world.rules` is a list of `Rule`s, asked in order, which lose, delay,
duplicate or rewrite datagrams: `drop_nth(2, src="a", match=has_payload)`,
`partition(world.now, world.now + 5 * SECOND)`.

**Packet scripts.** `Script` plays the peer of one endpoint, in packetdrill's notation:

    with Script() as s:
        s.connect()
        s.expect("SEW 0:0(0) <mss 1460,...>")
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 1")

**Chaos.** `chaos_pair(seed)` draws network and configuration from a seed; `check_transfer`
transfers data over it and checks all that must hold. `ordeal(seed)` draws the applications, too:
they stall, half-close, close and abort, while paths change their MTU and fail.

**Reference models** (`utcp.testing.models`) do reassembly, send buffer and SACK scoreboard byte
by byte, to compare with. `SegmentView` and `encode_segment` are a second, independent codec.
"""

from utcp.testing.apps import App, Pattern, Sink, Source
from utcp.testing.chaos import (
    chaos_pair,
    check_invariants,
    check_transfer,
    draw_config,
    draw_link,
)
from utcp.testing.clock import (
    MS,
    SECOND,
    US,
    DeadlockError,
    VirtualClock,
    VirtualLoop,
    run_virtual,
)
from utcp.testing.models import ReassemblyModel, ScoreboardModel, SendBufferModel
from utcp.testing.network import GilbertElliott, Link, LinkConfig, LinkStats, Network
from utcp.testing.ordeal import Ordeal, Outcome, Stalling, ordeal
from utcp.testing.pcap import from_native, to_native, write_pcap
from utcp.testing.rules import (
    Delay,
    Drop,
    Duplicate,
    Packet,
    Pass,
    Rewrite,
    Rule,
    RuleList,
    all_of,
    any_packet,
    covers,
    delay_nth,
    drop_matching,
    drop_nth,
    duplicate_nth,
    has_flags,
    has_payload,
    partition,
)
from utcp.testing.script import Script
from utcp.testing.segment_view import SegmentView, encode_segment
from utcp.testing.trace import Trace, TraceEntry, ladder
from utcp.testing.world import Host, Pair, SimulationError, World, pair

__all__ = [
    "MS",
    "SECOND",
    "US",
    "App",
    "DeadlockError",
    "Delay",
    "Drop",
    "Duplicate",
    "GilbertElliott",
    "Host",
    "Link",
    "LinkConfig",
    "LinkStats",
    "Network",
    "Ordeal",
    "Outcome",
    "Packet",
    "Pair",
    "Pass",
    "Pattern",
    "ReassemblyModel",
    "Rewrite",
    "Rule",
    "RuleList",
    "ScoreboardModel",
    "Script",
    "SegmentView",
    "SendBufferModel",
    "SimulationError",
    "Sink",
    "Source",
    "Stalling",
    "Trace",
    "TraceEntry",
    "VirtualClock",
    "VirtualLoop",
    "World",
    "all_of",
    "any_packet",
    "chaos_pair",
    "check_invariants",
    "check_transfer",
    "covers",
    "delay_nth",
    "draw_config",
    "draw_link",
    "drop_matching",
    "drop_nth",
    "duplicate_nth",
    "encode_segment",
    "from_native",
    "has_flags",
    "has_payload",
    "ladder",
    "ordeal",
    "pair",
    "partition",
    "run_virtual",
    "to_native",
    "write_pcap",
]
