from __future__ import annotations

import random

from tests.testing.fakes import FakeBurst, FakeNode
from utcp.core.timers import NEVER
from utcp.testing import (
    MS,
    Delay,
    Drop,
    Duplicate,
    Network,
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
    encode_segment,
    has_flags,
    has_payload,
    pair,
    partition,
)
from utcp.testing.segment_view import ACK, FIN, SYN

ISS = 0xFFFF_FFF0


def data(offset: int, size: int) -> bytes:
    """A data segment of a stream whose SYN had ISS."""
    return encode_segment(ACK, ISS + 1 + offset, payload=bytes(size))


def run(rules: RuleList, *datagrams: bytes, gap: int = 0) -> list[tuple[int, bytes]]:
    network = Network(random.Random(1), rules=rules)
    node = FakeNode()
    network.attach("b", node, gro=0)
    for i, datagram in enumerate(datagrams):
        network.send(i * gap, "a", FakeBurst("b", datagram))
    while (at := network.next_at()) != NEVER:
        network.deliver(at)
    return [(at, bytes(datagram)) for at, _, datagram, _, _ in node.received]


def passed(rules: RuleList, *datagrams: bytes, gap: int = 0) -> list[int]:
    """The indices of the datagrams that arrive, in the order of arrival."""
    return [datagrams.index(got) for _, got in run(rules, *datagrams, gap=gap)]


STREAM = [encode_segment(SYN, ISS), *(data(offset, 10) for offset in range(0, 50, 10))]


def test_no_rules() -> None:
    assert passed(RuleList(), *STREAM) == [0, 1, 2, 3, 4, 5]


def test_nth() -> None:
    assert passed(RuleList(drop_nth(2, 4)), *STREAM) == [0, 2, 4, 5]
    assert passed(RuleList(drop_nth(2, match=has_payload)), *STREAM) == [0, 1, 3, 4, 5]
    assert passed(RuleList(drop_nth(1, src="b")), *STREAM) == [0, 1, 2, 3, 4, 5]
    assert passed(RuleList(drop_nth(1, dst="b")), *STREAM) == [1, 2, 3, 4, 5]
    assert passed(RuleList(drop_nth(1, dst="a")), *STREAM) == [0, 1, 2, 3, 4, 5]


def test_delay_and_duplicate() -> None:
    assert passed(RuleList(delay_nth(1, ns=MS)), *STREAM) == [1, 2, 3, 4, 5, 0]
    got = passed(RuleList(duplicate_nth(2, copies=2)), *STREAM)
    assert got == [0, 1, 1, 1, 2, 3, 4, 5]


def test_flags_and_ranges() -> None:
    assert passed(RuleList(drop_matching(has_flags(SYN))), *STREAM) == [1, 2, 3, 4, 5]
    assert passed(RuleList(drop_matching(has_flags(0, without=SYN))), *STREAM) == [0]
    # The SYN tells where the stream begins, also across the wrap of sequence numbers.
    assert passed(RuleList(drop_matching(covers(19, 21))), *STREAM) == [0, 1, 4, 5]
    assert passed(RuleList(drop_matching(covers(0, 99))), *STREAM[1:]) == [0, 1, 2, 3, 4]
    both = all_of(has_payload, covers(0, 5))
    assert passed(RuleList(drop_matching(both)), *STREAM) == [0, 2, 3, 4, 5]


def test_limit() -> None:
    rules = RuleList(drop_matching(has_payload, limit=2))
    assert passed(rules, *STREAM) == [0, 3, 4, 5]
    assert (rules[0].seen, rules[0].hits) == (5, 2)


def test_partition() -> None:
    rules = RuleList(partition(2 * MS, 4 * MS))
    assert passed(rules, *STREAM, gap=MS) == [0, 1, 4, 5]


def test_first_rule_decides() -> None:
    rules = RuleList(Rule(has_flags(SYN), Pass()), drop_matching(any_packet))
    assert passed(rules, *STREAM) == [0]


def test_rewrite() -> None:
    def finish(packet: Packet) -> bytes:
        assert packet.segment is not None
        return packet.data[:1] + bytes((packet.segment.flags | FIN,)) + packet.data[2:]

    got = run(RuleList(Rule(has_payload, Rewrite(finish), limit=1)), *STREAM[:2])
    assert got[1][1][1] == ACK | FIN
    assert run(RuleList(Rule(any_packet, Rewrite(b"?"))), b"hello") == [(0, b"?")]


def test_what_is_no_segment_passes_predicates_by() -> None:
    rules = RuleList(
        Rule(has_payload, Drop()),
        Rule(has_flags(0), Drop()),
        Rule(covers(0, 10), Drop()),
        Rule(any_packet, Delay(5)),
    )
    assert run(rules, b"stun") == [(5, b"stun")]
    packet = Packet(0, "a", "b", b"stun", 0, None)
    assert packet.segment is None
    assert packet.seq == -1


def test_duplicates_by_rule_are_counted() -> None:
    network = Network(random.Random(1), rules=RuleList(Rule(any_packet, Duplicate(), limit=1)))
    network.attach("b", FakeNode())
    network.send(0, "a", FakeBurst("b", b"x"))
    network.deliver(0)
    stats = network.links["a", "b"].stats
    assert (stats.sent, stats.duplicated, stats.delivered) == (1, 1, 2)


def test_rules_may_come_after_the_syn() -> None:
    world = pair(seed=1, trace=False)
    client, _ = world.connect()
    world.rules.append(drop_matching(covers(5, 6), limit=1))
    client.write(b"0123456789")
    world.run_for(MS)
    assert world.rules[0].hits == 1
