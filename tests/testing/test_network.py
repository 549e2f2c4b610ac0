from __future__ import annotations

import dataclasses
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.testing.fakes import FakeBurst, FakeNode
from utcp.core.timers import NEVER
from utcp.testing import (
    MS,
    SECOND,
    GilbertElliott,
    Link,
    LinkConfig,
    Network,
    RuleList,
    Trace,
    delay_nth,
    drop_nth,
)


def build(config: LinkConfig, seed: int = 1, gro: float = 0.0) -> tuple[Network, FakeNode, Link]:
    network = Network(random.Random(seed))
    node = FakeNode()
    network.attach("a", FakeNode())
    network.attach("b", node, gro=gro)
    return network, node, network.connect("a", "b", config)


def drain(network: Network) -> None:
    while (at := network.next_at()) != NEVER:
        network.deliver(at)


def flood(network: Network, count: int, size: int = 100, gap: int = 0, tos: int = 0) -> None:
    for i in range(count):
        network.send(i * gap, "a", FakeBurst("b", i.to_bytes(4, "big").ljust(size), tos=tos))
    drain(network)


def numbers(node: FakeNode) -> list[int]:
    return [int.from_bytes(data[:4], "big") for data in node.datagrams()]


def test_perfect_link_delivers_at_once() -> None:
    network, node, link = build(LinkConfig())
    network.send(7, "a", FakeBurst("b", b"hello"))
    assert network.next_at() == 7
    assert network.deliver(7) == ["b"]
    assert node.received == [(7, "a", b"hello", 0, 0)]
    assert network.next_at() == NEVER
    assert (link.stats.sent, link.stats.delivered, link.stats.delivered_bytes) == (1, 1, 5)


def test_rate_and_delay() -> None:
    # 972 + 28 bytes are 8000 bits: 8 ms at 1 Mbit/s.
    network, node, _ = build(LinkConfig(rate_bps=1_000_000, delay_ns=20 * MS))
    flood(network, 3, size=972)
    assert [at for at, *_ in node.received] == [28 * MS, 36 * MS, 44 * MS]


def test_burst_is_cut_into_datagrams() -> None:
    network, node, link = build(LinkConfig(rate_bps=1_000_000))
    network.send(0, "a", FakeBurst("b", b"x" * 972 + b"y" * 972 + b"z" * 10, 972))
    drain(network)
    assert [data for _, _, data, _, _ in node.received] == [b"x" * 972, b"y" * 972, b"z" * 10]
    assert [at for at, *_ in node.received] == [8 * MS, 16 * MS, 16 * MS + 304_000]
    assert link.stats.sent == 3


def test_queue_drops_at_the_tail() -> None:
    network, node, link = build(LinkConfig(rate_bps=1_000_000, queue_bytes=3000))
    flood(network, 10, size=972)
    assert numbers(node) == [0, 1, 2]
    assert link.stats.overflowed == 7
    assert link.stats.queue_max == 3000


def test_queue_drains_with_time() -> None:
    network, node, link = build(LinkConfig(rate_bps=1_000_000, queue_bytes=2000))
    flood(network, 20, size=972, gap=8 * MS)
    assert numbers(node) == list(range(20))
    assert link.stats.queue_max == 1000


def test_independent_loss() -> None:
    network, node, link = build(LinkConfig(loss=0.1))
    flood(network, 5000)
    assert 400 < link.stats.lost < 600
    assert link.stats.lost + len(node.datagrams()) == 5000


def test_burst_loss_comes_in_bursts() -> None:
    chain = GilbertElliott(to_bad=0.01, to_good=0.2)
    network, node, link = build(LinkConfig(burst_loss=chain))
    flood(network, 20_000)
    got = set(numbers(node))
    lost = [i for i in range(20_000) if i not in got]
    bursts = 1 + sum(b != a + 1 for a, b in itertools.pairwise(lost))
    # A bad state lasts 1 / to_good datagrams on average, and begins after 1 / to_bad good ones.
    assert 4 < len(lost) / bursts < 6
    assert len(lost) == link.stats.lost
    assert 0.03 < len(lost) / 20_000 < 0.07


def test_duplicates() -> None:
    network, node, link = build(LinkConfig(duplicate=0.2, delay_ns=MS))
    flood(network, 1000)
    assert link.stats.duplicated == len(node.datagrams()) - 1000
    assert 150 < link.stats.duplicated < 250
    assert set(numbers(node)) == set(range(1000))


def test_reordering_holds_back() -> None:
    config = LinkConfig(reorder=0.1, reorder_ns=5 * MS, delay_ns=MS)
    network, node, link = build(config)
    flood(network, 1000, gap=MS)
    got = numbers(node)
    assert sorted(got) == list(range(1000))
    assert got != sorted(got)
    assert 70 < link.stats.reordered < 130
    for at, _, data, _, _ in node.received:
        sent = int.from_bytes(data[:4], "big") * MS
        assert sent + MS <= at <= sent + 6 * MS


def test_jitter_keeps_the_order() -> None:
    network, node, _ = build(LinkConfig(jitter_ns=10 * MS, delay_ns=MS))
    flood(network, 1000, gap=MS)
    assert numbers(node) == list(range(1000))
    waits = {at - i * MS for i, (at, *_) in enumerate(node.received)}
    assert len(waits) > 500
    assert min(waits) >= MS
    assert max(waits) <= 11 * MS


def test_shorter_delay_does_not_overtake() -> None:
    network, node, link = build(LinkConfig(delay_ns=100 * MS))
    network.send(0, "a", FakeBurst("b", b"first"))
    link.config = LinkConfig(delay_ns=MS)
    network.send(0, "a", FakeBurst("b", b"second"))
    drain(network)
    assert node.datagrams() == [b"first", b"second"]


def test_mtu_is_reported() -> None:
    network = Network(random.Random(1))
    a, b = FakeNode(), FakeNode()
    network.attach("a", a)
    network.attach("b", b)
    link = network.connect("a", "b", LinkConfig(mtu=1500, delay_ns=3 * MS))
    network.send(0, "a", FakeBurst("b", bytes(1472)))
    network.send(0, "a", FakeBurst("b", bytes(1473)))
    drain(network)
    assert [len(data) for data in b.datagrams()] == [1472]
    assert a.too_big == [(3 * MS, "b", 1500)]
    assert link.stats.too_big == 1


def test_mtu_black_hole() -> None:
    network, node, link = build(LinkConfig(mtu=100, report_too_big=False))
    flood(network, 1)
    assert link.stats.too_big == 1
    assert node.received == []
    assert network.next_at() == NEVER


@pytest.mark.parametrize(("tos", "marked"), [(0, 0), (2, 7), (1, 7), (3, 0)])
def test_ecn_marks_above_the_threshold(tos: int, marked: int) -> None:
    network, node, link = build(LinkConfig(rate_bps=1_000_000, ecn_threshold=3000))
    flood(network, 10, size=972, tos=tos)
    assert [ecn for *_, ecn in node.received] == [tos] * 3 + [3 if tos else 0] * 7
    assert link.stats.marked == marked


def test_dscp_is_not_touched() -> None:
    network, node, _ = build(LinkConfig(rate_bps=1_000_000, ecn_threshold=0))
    flood(network, 1, tos=46 << 2)
    assert node.received[0][4] == 0


def test_merging_like_gro() -> None:
    network, node, _ = build(LinkConfig(), gro=1.0)
    network.send(0, "a", FakeBurst("b", b"ABCDEFGHIJ", 3))
    network.send(0, "a", FakeBurst("b", b"KLM", 3))
    drain(network)
    # A shorter datagram ends a buffer.
    assert node.received == [(0, "a", b"ABCDEFGHIJ", 3, 0), (0, "a", b"KLM", 0, 0)]


def test_merging_stops_at_other_marks_and_sizes() -> None:
    network, node, _ = build(LinkConfig(), gro=1.0)
    for data, tos in ((b"aa", 2), (b"bb", 3), (b"cc", 3), (b"dddd", 3), (b"ee", 3)):
        network.send(0, "a", FakeBurst("b", data, tos=tos))
    drain(network)
    assert [(data, stride, ecn) for _, _, data, stride, ecn in node.received] == [
        (b"aa", 0, 2),
        (b"bbcc", 2, 3),
        (b"ddddee", 4, 3),
    ]


def test_merged_buffers_are_bounded() -> None:
    network, node, _ = build(LinkConfig(), gro=1.0)
    network.send(0, "a", FakeBurst("b", bytes(100 * 10), 10))
    network.send(0, "a", FakeBurst("b", bytes(9000 * 8), 9000))
    drain(network)
    assert [len(data) for _, _, data, _, _ in node.received] == [640, 360, 63_000, 9000]


@given(st.integers(0, 2**32), st.floats(0, 1), st.lists(st.integers(1, 4000), min_size=1))
def test_merging_changes_no_datagram(seed: int, gro: float, sizes: list[int]) -> None:
    config = LinkConfig(delay_ns=MS, duplicate=0.1)
    results = []
    for chance in (0.0, gro):
        network, node, _ = build(config, seed, chance)
        for number, size in enumerate(sizes):
            data = bytes(number % 256 for _ in range(size))
            network.send(0, "a", FakeBurst("b", data, 700))
        drain(network)
        results.append(node.datagrams())
    assert results[0] == results[1]


def test_interrupt_moderation() -> None:
    network, node, _ = build(LinkConfig(coalesce_ns=5 * MS), gro=1.0)
    flood(network, 0)
    for at in (0, 2 * MS, 4 * MS, 20 * MS):
        network.send(at, "a", FakeBurst("b", b"abc"))
    drain(network)
    assert [(at, stride) for at, _, _, stride, _ in node.received] == [(5 * MS, 3), (25 * MS, 0)]


def test_nobody_there() -> None:
    network = Network(random.Random(1), default=LinkConfig(delay_ns=MS))
    a = FakeNode()
    network.attach("a", a)
    network.send(0, "a", FakeBurst("nobody", b"hello"))
    drain(network)
    assert a.gone == [(2 * MS, "nobody", True)]


def test_detached_node_gets_nothing() -> None:
    network, node, _ = build(LinkConfig(delay_ns=MS))
    network.send(0, "a", FakeBurst("b", b"hello"))
    network.detach("b")
    drain(network)
    assert node.received == []
    with pytest.raises(ValueError, match="already"):
        network.attach("a", node)


def test_shared_bottleneck() -> None:
    network = Network(random.Random(1))
    nodes = {name: FakeNode() for name in "abcd"}
    for name, node in nodes.items():
        network.attach(name, node)
    link = network.connect("a", "c", LinkConfig(rate_bps=1_000_000))
    network.route("b", "d", link)
    network.send(0, "a", FakeBurst("c", bytes(972)))
    network.send(0, "b", FakeBurst("d", bytes(972)))
    drain(network)
    assert nodes["c"].received[0][:2] == (8 * MS, "a")
    assert nodes["d"].received[0][:2] == (16 * MS, "b")


def test_lent_buffers_are_overwritten() -> None:
    network = Network(random.Random(1))
    node = FakeNode()
    network.attach("b", node, lend=True)
    network.send(0, "a", FakeBurst("b", b"hello"))
    drain(network)
    assert node.received[0][2] == b"hello"
    network.reclaim("b")
    assert bytes(node.buffers[0]) == b"\xdd" * 5


TROUBLED = LinkConfig(
    rate_bps=5_000_000,
    delay_ns=10 * MS,
    jitter_ns=3 * MS,
    queue_bytes=20_000,
    loss=0.05,
    burst_loss=GilbertElliott(0.02, 0.3),
    duplicate=0.05,
    reorder=0.05,
    reorder_ns=5 * MS,
)


def test_the_seed_decides_everything() -> None:
    def run(seed: int) -> list[tuple[int, object, bytes, int, int]]:
        network, node, _ = build(TROUBLED, seed, 0.5)
        flood(network, 500, gap=MS // 10)
        return node.received

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_trace_and_idle_rules_change_nothing() -> None:
    def run(watched: bool) -> list[tuple[int, object, bytes, int, int]]:
        rules = RuleList(drop_nth(10**9)) if watched else RuleList()
        network = Network(random.Random(5), rules=rules, trace=Trace() if watched else None)
        node = FakeNode()
        network.attach("b", node, gro=0.5)
        network.connect("a", "b", TROUBLED)
        flood(network, 300, gap=MS // 10)
        return node.received

    assert run(False) == run(True)


def test_accounts_balance() -> None:
    network, node, link = build(TROUBLED)
    flood(network, 2000, gap=MS // 10)
    stats = link.stats
    gone = stats.lost + stats.overflowed + stats.too_big + stats.ruled_out
    assert stats.sent - gone + stats.duplicated == stats.delivered == len(node.datagrams())
    assert min(stats.lost, stats.overflowed, stats.duplicated, stats.reordered) > 0


def test_config_is_checked() -> None:
    with pytest.raises(ValueError, match="negative"):
        LinkConfig(delay_ns=-1)
    with pytest.raises(ValueError, match="probability"):
        LinkConfig(loss=1.5)
    assert dataclasses.replace(LinkConfig(), loss=1.0).loss == 1.0


def test_long_idle_does_not_fill_the_queue() -> None:
    network, _, link = build(LinkConfig(rate_bps=1000))
    network.send(0, "a", FakeBurst("b", bytes(97)))
    network.send(3600 * SECOND, "a", FakeBurst("b", bytes(97)))
    drain(network)
    assert link.stats.queue_max == 125


def test_a_burst_without_a_segment_size_is_one_datagram() -> None:
    network, node, link = build(LinkConfig())
    link.send(0, "a", "b", b"whole", 0, 0)
    link.send(0, "a", "b", b"", 0, 0)
    network.send(0, "a", FakeBurst("b", b"x"))
    drain(network)
    assert node.datagrams() == [b"whole", b"", b"x"]


def test_what_overtakes_moves_the_next_event_forward() -> None:
    network, node, link = build(LinkConfig(delay_ns=50 * MS))
    other = network.connect("c", "b", LinkConfig(delay_ns=MS))
    network.send(0, "a", FakeBurst("b", b"slow"))
    network.rules.append(delay_nth(1, ns=20 * MS, src="c"))
    network.send(0, "c", FakeBurst("b", b"held"))
    assert network.next_at() == 21 * MS
    network.send(0, "c", FakeBurst("b", b"fast"))
    assert network.next_at() == MS
    drain(network)
    assert node.datagrams() == [b"fast", b"held", b"slow"]
    assert network.next_at() == NEVER
    assert (link.due_at(), other.due_at()) == (NEVER, NEVER)
