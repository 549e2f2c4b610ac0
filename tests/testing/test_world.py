from __future__ import annotations

import pytest

from tests.testing.fakes import FakeBurst, FakeNode
from utcp.config import Config
from utcp.core import NEVER, Reason, State, events
from utcp.testing import (
    MS,
    SECOND,
    App,
    LinkConfig,
    Pattern,
    SimulationError,
    Sink,
    Source,
    World,
    all_of,
    chaos_pair,
    check_invariants,
    check_transfer,
    drop_matching,
    drop_nth,
    has_flags,
    has_payload,
    ladder,
    pair,
    partition,
)
from utcp.testing.segment_view import FIN


def two_fakes(seed: int = 1) -> tuple[World, FakeNode, FakeNode]:
    world = World(seed)
    a, b = FakeNode(), FakeNode(echo=True)
    world.add("a", a)
    world.add("b", b)
    world.link("a", "b", LinkConfig(delay_ns=10 * MS), LinkConfig(delay_ns=5 * MS))
    return world, a, b


def test_events_in_their_order() -> None:
    world, a, b = two_fakes()
    start = world.now
    a.outbox.append(FakeBurst("b", b"ping"))
    a.timeout_at = start + 12 * MS
    world.after(11 * MS, lambda: a.outbox.append(FakeBurst("b", b"late")))
    assert world.step()
    assert world.elapsed == 10 * MS
    assert b.received == [(start + 10 * MS, "a", b"ping", 0, 0)]
    world.run_until_idle()
    assert [(at - start, data) for at, _, data, _, _ in a.received] == [
        (15 * MS, b"ping"),
        (26 * MS, b"late"),
    ]
    assert a.timeouts == [start + 12 * MS]
    assert b.settled > 0
    assert not world.step()
    assert not world.step(until=world.now + 5)
    assert world.elapsed == 26 * MS + 5


def test_lent_buffers_are_spoilt_after_settle() -> None:
    world, a, b = two_fakes()
    a.outbox.append(FakeBurst("b", b"ping"))
    world.run_until_idle()
    assert bytes(b.buffers[0]) == b"\xdd" * 4


def test_run_until() -> None:
    world, a, b = two_fakes()
    a.outbox.append(FakeBurst("b", b"ping"))
    world.run_until(lambda: b.received, limit_ns=SECOND)
    a.timeout_at = NEVER - 1
    with pytest.raises(SimulationError, match=r"not done after 1 virtual(.|\n)*seed=1:"):
        world.run_until(lambda: False, limit_ns=SECOND)
    assert world.elapsed == SECOND + 10 * MS
    a.timeout_at = NEVER
    with pytest.raises(SimulationError, match="nothing can happen"):
        world.run_until(lambda: False, limit_ns=SECOND)


def test_endless_loops_are_found() -> None:
    class Chatterbox(FakeNode):
        def poll_transmit(self, now: int) -> FakeBurst | None:
            return FakeBurst("b", b"x")

    class Sleepless(FakeNode):
        def poll_timeout(self) -> int:
            return 0

    world = World(1, trace=False)
    world.add("a", Chatterbox())
    with pytest.raises(SimulationError, match="never stops sending"):
        world.step()
    world = World(1)
    world.add("a", Sleepless())
    with pytest.raises(SimulationError, match="time stands still"):
        world.run_for(SECOND)


def test_never_idle() -> None:
    class Ticker(FakeNode):
        def handle_timeout(self, now: int) -> None:
            self.timeout_at = now + SECOND

    world = World(1)
    node = Ticker()
    node.timeout_at = world.now + SECOND
    world.add("a", node)
    with pytest.raises(SimulationError, match="not idle after 10"):
        world.run_until_idle(10 * SECOND)


def test_transfer_both_ways() -> None:
    world = pair(seed=5, link=LinkConfig(rate_bps=10_000_000, delay_ns=10 * MS))
    at_b, at_a = world.transfer(300_000, 100_000)
    assert (at_b.received, at_a.received) == (300_000, 100_000)
    check_invariants(world)
    assert world.a.node.poll_timeout() == NEVER


def test_transfers_repeat_exactly() -> None:
    link = LinkConfig(
        rate_bps=5_000_000, delay_ns=10 * MS, loss=0.02, reorder=0.02, reorder_ns=9 * MS
    )

    def run(seed: int) -> list[tuple[int, bytes]]:
        world = pair(seed=seed, link=link, gro=0.5)
        check_transfer(world, 100_000, 50_000)
        return [(entry.sent_at, entry.data) for entry in world.trace]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_slow_reader_holds_the_writer_back() -> None:
    config = Config(recv_buffer=20_000, send_buffer=20_000)
    world = pair(seed=1, config=config, link=LinkConfig(delay_ns=MS))
    client, server = world.connect()
    source = Source(client, 200_000, chunk=1000, high=0, low=0, finish="close")
    sink = Sink(server, 200_000, rate_bps=800_000, finish="close")
    world.a.run(source)
    world.b.run(sink)
    start = world.now
    world.run_until(lambda: world.finished, limit_ns=60 * SECOND)
    # 200,000 bytes at 100,000 a second.
    assert 1.7 * SECOND < world.now - start < 2.3 * SECOND
    assert sink.readable_max <= 20_000
    check_invariants(world)


def test_slow_writer() -> None:
    world = pair(seed=1)
    client, server = world.connect()
    world.a.run(Source(client, 10_000, chunk=1000, rate_bps=80_000))
    world.b.run(Sink(server, 10_000, finish="eof"))
    start = world.now
    world.run_until(lambda: world.finished, limit_ns=60 * SECOND)
    assert world.now - start == pytest.approx(0.9 * SECOND, rel=0.01)


def test_accepting() -> None:
    world = pair(seed=1)
    sinks = []

    def accept(conn: object) -> None:
        sinks.append(Sink(conn, 1000, finish="close"))  # type: ignore[arg-type]
        world.b.run(sinks[-1])

    world.b.on_accept = accept
    client = world.open()
    world.a.run(Source(client, 1000))
    world.run_until(lambda: sinks and world.finished, limit_ns=SECOND)
    assert world.a.apps
    check_invariants(world)


def test_abort_at_a_time() -> None:
    world = pair(seed=1, link=LinkConfig(delay_ns=10 * MS))
    client, server = world.connect()
    world.after(5 * MS, client.abort)
    world.run_until(lambda: server.state is State.CLOSED, limit_ns=SECOND)
    assert (client.reason, server.reason) == (Reason.ABORTED, Reason.RESET)
    world.a.run(Source(client, 0, finish="keep"))
    with pytest.raises(SimulationError, match="ended with"):
        check_invariants(world)


def test_source_aborts() -> None:
    world = pair(seed=1)
    client, server = world.connect()
    world.a.run(Source(client, 100, finish="abort"))
    world.run_until(lambda: server.state is State.CLOSED, limit_ns=SECOND)
    assert server.reason is Reason.RESET


def test_slow_reader_of_a_broken_connection() -> None:
    world = pair(seed=1)
    client, server = world.connect()
    sink = Sink(server, 10_000, rate_bps=80_000)
    world.b.run(sink)
    world.a.run(Source(client, 10_000, finish="keep"))
    world.after(100 * MS, server.abort)
    world.run_for(10 * SECOND)
    assert sink.broken
    assert world.b.events_of(server) & events.CLOSED


def test_broken_connections() -> None:
    world = pair(seed=1, link=LinkConfig(delay_ns=10 * MS, rate_bps=1_000_000))
    client, server = world.connect()
    source, sink = Source(client, 1_000_000), Sink(server, 1_000_000)
    world.a.run(source)
    world.b.run(sink)
    world.after(100 * MS, server.abort)
    with pytest.raises(SimulationError, match="nothing can happen"):
        world.run_until(lambda: world.finished, limit_ns=60 * SECOND)
    assert (source.broken, sink.broken) == (True, True)
    assert (source.done, sink.done) == (False, False)


def test_rules_reach_the_segments() -> None:
    world = pair(seed=1, link=LinkConfig(delay_ns=10 * MS))
    world.rules += [
        drop_nth(2, 3, src="a", match=has_payload),
        drop_matching(has_flags(FIN), limit=1, src="b"),
    ]
    world.transfer(100_000, 100_000)
    assert [rule.hits for rule in world.rules] == [2, 1]
    check_invariants(world)


def test_partition_heals() -> None:
    world = pair(seed=1, link=LinkConfig(rate_bps=1_000_000, delay_ns=10 * MS))
    world.rules.append(partition(world.now + 500 * MS, world.now + 8 * SECOND))
    check_transfer(world, 200_000)
    assert world.elapsed > 8 * SECOND


def test_a_stall_is_found() -> None:
    world = pair(seed=77, stall_ns=100 * SECOND)
    world.rules.append(drop_matching(all_of(has_payload)))
    with pytest.raises(SimulationError, match=r"no progress for 100(.|\n)*seed=77"):
        world.transfer(1000)


def test_failures_name_the_seed() -> None:
    world = pair(seed=42)
    client, server = world.connect()
    world.a.run(Source(client, 1000))
    world.b.run(Sink(server, 500))
    with pytest.raises(
        AssertionError, match=r"b: 1000 bytes came of a stream of 500(.|\n)*seed=42"
    ):
        world.run_until(lambda: world.finished, limit_ns=SECOND)

    world = pair(seed=43)
    client, server = world.connect()
    world.a.run(Source(client, 1000, pattern=Pattern(1)))
    world.b.run(Sink(server))
    with pytest.raises(AssertionError, match="byte 0 of the stream is wrong"):
        world.run_until(lambda: world.finished, limit_ns=SECOND)

    world = pair(seed=44)
    client, server = world.connect()
    world.a.run(Source(client, 1000))
    world.b.run(Sink(server, 1001))
    with pytest.raises(AssertionError, match="ended after 1000 of 1001"):
        world.run_until(lambda: world.finished, limit_ns=SECOND)
    with pytest.raises(SimulationError, match=r"Sink has not finished(.|\n)*seed=44"):
        check_invariants(world)


def test_any_error_in_a_chaos_transfer_names_the_seed() -> None:
    world = pair(seed=45)
    world.b.on_accept = lambda conn: 1 // 0
    with pytest.raises(SimulationError, match=r"ZeroDivisionError(.|\n)*seed=45"):
        check_transfer(world, 10)


@pytest.mark.parametrize("seed", range(30))
def test_chaos(seed: int) -> None:
    check_transfer(chaos_pair(seed), 20_000, 5_000)


def test_ladder() -> None:
    world = pair(seed=1, config=Config(ecn=False), link=LinkConfig(delay_ns=10 * MS))
    world.rules.append(drop_nth(1, src="b"))
    client, _ = world.connect()
    client.close()
    world.run_for(MS)
    lines = ladder(world.trace).splitlines()
    assert lines[0].split() == ["ms", "a", "b"]
    assert lines[1].split()[:3] == ["0.000", "SYN-SENT", "S"]
    assert lines[1].endswith("--> SYN-RECEIVED")
    assert "X-- S. 0:0(0) ack 1" in lines[2]
    assert "(dropped)" in lines[2]
    assert lines[-1].split()[1:5] == ["FIN-WAIT-1", "F.", "1:1(0)", "ack"]
    assert len(ladder(world.trace, last=2).splitlines()) == 3
    assert ladder(world.trace, last=2).splitlines()[-1].split() == lines[-1].split()
    assert "TS val" in ladder(world.trace, all_options=True).splitlines()[-1]
    assert ladder(world.trace, left="b").splitlines()[0].split() == ["ms", "b", "a"]
    assert ladder([]) == "(nothing was sent)\n"


def test_ladder_of_what_is_no_segment() -> None:
    world, a, _ = two_fakes()
    a.outbox.append(FakeBurst("b", b"stun"))
    world.run_until_idle()
    lines = ladder(world.trace).splitlines()
    assert "4 bytes that are no segment --> S1" in lines[1]
    assert "<-- 4 bytes" in lines[2]
    assert "stun" not in repr(world.trace[0])


def test_pattern() -> None:
    pattern = Pattern(9)
    long = pattern.data(0, 5 * Pattern.PERIOD)
    for offset, size in ((0, 1), (65_520, 10), (100, 4 * 65_521), (65_521 * 2 + 5, 100)):
        assert pattern.data(offset, size) == long[offset : offset + size]
    assert Pattern(8).data(0, 10) != long[:10]


def test_an_endpoint_is_wanted() -> None:
    world, _, _ = two_fakes()
    with pytest.raises(TypeError, match="no Endpoint"):
        _ = world.hosts["a"].endpoint
    with pytest.raises(NotImplementedError):
        App().act(0, 0)


def test_invariants_look_at_memory_and_length() -> None:
    world = pair(seed=1)
    client, server = world.connect()
    source, sink = Source(client, 1000), Sink(server, 1000)
    world.a.run(source, Sink(client, 0))
    world.b.run(sink, Source(server, 0))
    world.run_until(lambda: world.finished, limit_ns=SECOND)
    source.buffered_max = 10**9
    with pytest.raises(SimulationError, match="queued by a source"):
        check_invariants(world)
    source.buffered_max = 0
    sink.readable_max = 10**9
    with pytest.raises(SimulationError, match="bytes waited for"):
        check_invariants(world)
    sink.received = 999
    with pytest.raises(SimulationError, match="999 of 1000"):
        check_invariants(world)
    sink.readable_max = 0
    sink.received = 1000
    check_invariants(world)
