"""TIME-WAIT under attack: assassination, old duplicates, reuse, and very many records."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.attack.crowd import Net, addresses, client, server
from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint
from utcp.core.timewait import TimeWait
from utcp.testing import MS, SECOND, SegmentView, encode_segment
from utcp.testing.segment_view import ACK, FIN, PSH, RST, SYN

STAMPS = [Config(), Config(timestamps=False)]


def connect(net: Net) -> tuple[Connection, Connection]:
    """A connection from "A" to "B"; both ends."""
    a, b = net.ends["A"], net.ends["B"]
    conn = a.connect(net.now, "B")
    net.carry()
    (accepted,) = [c for c in net.accepted(b) if c.addr == "A"]
    return conn, accepted


def talk(net: Net, one: Connection, other: Connection, text: bytes) -> None:
    """Both say `text`, in some segments, and the other hears just that."""
    for at in range(0, len(text), 10):
        one.write(text[at : at + 10])
        other.write(text[at : at + 10])
        net.carry()
        net.now += MS
    assert one.read() == text
    assert other.read() == text


def end(net: Net, first: Connection, second: Connection) -> None:
    """The first one closes first, so it is the one in TIME-WAIT."""
    first.close()
    net.carry()
    second.close()
    net.carry()
    assert str(second.state) == "CLOSED"


def in_time_wait(config: Config | None = None) -> tuple[Net, Endpoint]:
    """The server remembers the connection from "A"."""
    net = Net(A=client(config), B=server(config))
    conn, accepted = connect(net)
    talk(net, conn, accepted, b"the quick brown fox")
    end(net, accepted, conn)
    assert str(net.ends["B"].state("A")) == "TIME-WAIT"
    return net, net.ends["B"]


def arrives(net: Net, sender: str, to: str, data: bytes) -> None:
    net.ends[to].receive(net.now, sender, data, len(data))
    net.carry()


# -- assassination -----------------------------------------------------------------------------


@pytest.mark.parametrize("config", STAMPS, ids=["stamps", "none"])
def test_no_reset_ends_time_wait(config: Config) -> None:
    # RFC 1337 §3 (F1)
    net, b = in_time_wait(config)
    last = [SegmentView(d) for who, _, d in net.sent if who == "A"][-1]
    for offset in (-1, 0, 1, 1000, 1 << 31):
        for flags in (RST, RST | ACK):
            number = last.seq32 + last.length + offset & 0xFFFF_FFFF
            net.now += SECOND
            net.sent.clear()
            arrives(net, "A", "B", encode_segment(flags, number, last.ack32))
            assert str(b.state("A")) == "TIME-WAIT"
            assert net.sent == []


@pytest.mark.parametrize("config", STAMPS, ids=["stamps", "none"])
def test_old_duplicates_do_not_end_it_by_way_of_the_peer(config: Config) -> None:
    # RFC 1337 §2, Figure 1: an old segment, its ACK, and the RST of the peer that knows nothing.
    net, b = in_time_wait(config)
    old = [d for who, _, d in net.sent if who == "A"]
    net.sent.clear()
    for data in old:
        net.now += SECOND  # answers come at a limited rate
        arrives(net, "A", "B", data)
        assert str(b.state("A")) == "TIME-WAIT"
    assert any(SegmentView(d).rst for who, _, d in net.sent if who == "A")


def test_two_in_time_wait_do_not_keep_each_other_awake() -> None:
    net = Net(A=client(), B=server())
    conn, accepted = connect(net)
    conn.close()
    accepted.close()  # both at once
    net.carry()
    assert {str(net.ends["A"].state("B")), str(net.ends["B"].state("A"))} == {"TIME-WAIT"}
    old = [(who, to, d) for who, to, d in net.sent]
    for _ in range(3):
        net.sent.clear()
        for who, to, data in old:
            assert isinstance(who, str)
            assert isinstance(to, str)
            arrives(net, who, to, data)
        assert len(net.sent) <= 2 * len(old)
    net.wait(200 * SECOND, SECOND)
    assert net.ends["A"].idle
    assert net.ends["B"].idle


# -- old duplicates in a new incarnation -------------------------------------------------------


@pytest.mark.parametrize("closes_first", ["A", "B"])
@pytest.mark.parametrize("cookies", ["auto", "always"])
@pytest.mark.parametrize("config", STAMPS, ids=["stamps", "none"])
def test_old_duplicates_change_nothing_in_a_new_incarnation(
    config: Config, cookies: str, closes_first: str
) -> None:
    # Everything that the old connection sent comes again, both ways, and twice.
    server_config = Config(timestamps=config.timestamps, syn_cookies=cookies)
    net = Net(A=client(config), B=server(server_config))
    conn, accepted = connect(net)
    talk(net, conn, accepted, b"all this is old and must not be heard again")
    end(net, *((conn, accepted) if closes_first == "A" else (accepted, conn)))
    old = list(net.sent)
    # Without timestamps whoever is in TIME-WAIT itself does not connect before its end.
    net.wait(2 * SECOND if config.timestamps or closes_first == "B" else 61 * SECOND, SECOND)

    conn, accepted = connect(net)
    for _ in range(2):
        for who, to, data in old:
            assert isinstance(who, str)
            assert isinstance(to, str)
            arrives(net, who, to, data)
            net.now += MS
            assert (str(conn.state), str(accepted.state)) == ("ESTABLISHED", "ESTABLISHED")
            assert conn.readable == accepted.readable == 0
        talk(net, conn, accepted, b"what is new")
    end(net, conn, accepted)


def test_an_old_duplicate_with_numbers_that_fit_is_known_by_its_timestamp() -> None:
    # RFC 7323 §5: when sequence numbers have wrapped, or by chance.
    net, b = in_time_wait()
    *_, old = (SegmentView(d).timestamps for who, _, d in net.sent if who == "A")
    assert old is not None
    net.now += 2 * SECOND
    conn, accepted = connect(net)
    stamps = [(1, b""), (1, b""), (8, old[0].to_bytes(4) + old[1].to_bytes(4))]
    fits = encode_segment(ACK | PSH, conn.snd.snd_nxt, conn.rcv.rcv_nxt, 500, stamps, b"old news")
    arrives(net, "A", "B", fits)
    assert accepted.readable == 0
    assert b.counters.paws_drops == 1
    talk(net, conn, accepted, b"what is new")


@pytest.mark.parametrize("moment", range(3))
def test_old_duplicates_change_nothing_in_a_new_handshake(moment: int) -> None:
    net, _ = in_time_wait()
    # But for RSTs there is nothing that could end the attempt; and none was sent.
    old = [(who, to, data) for who, to, data in net.sent]
    assert not any(SegmentView(data).rst for _, _, data in old)
    net.now += 2 * SECOND
    conn = net.ends["A"].connect(net.now, "B")
    seen = [0]

    def lose(_who: object, _segment: SegmentView) -> bool:
        seen[0] += 1
        return seen[0] > moment

    net.lose = lose
    net.carry()
    for who, to, data in old:
        net.ends[to].receive(net.now, who, data, len(data))
        while any(end.poll_transmit(net.now) for end in net.ends.values()):
            pass  # lost, too
    net.lose = lambda _who, _segment: False
    net.wait(10 * SECOND)
    assert str(conn.state) == "ESTABLISHED"
    (accepted,) = net.accepted(net.ends["B"])
    talk(net, conn, accepted, b"what is new")


# -- reuse -------------------------------------------------------------------------------------


@pytest.mark.parametrize("closes_first", ["A", "B"])
@pytest.mark.parametrize("cookies", ["auto", "always"])
def test_a_thousand_connections_one_after_the_other(closes_first: str, cookies: str) -> None:
    # RFC 6191: the same two addresses, and TIME-WAIT is no obstacle to either.
    net = Net(A=client(), B=server(Config(syn_cookies=cookies)))
    for _ in range(1000):
        conn, accepted = connect(net)
        conn.write(b"x")
        net.carry()
        assert accepted.read() == b"x"
        end(net, *((conn, accepted) if closes_first == "A" else (accepted, conn)))
        net.now += 2 * MS
        net.sent.clear()
        net.told.clear()
        assert sum(endpoint.time_wait_count for endpoint in net.ends.values()) == 1
    net.wait(61 * SECOND, SECOND)
    assert net.ends["A"].idle
    assert net.ends["B"].idle


def test_a_syn_that_may_be_an_old_duplicate_opens_nothing() -> None:
    net, b = in_time_wait()
    (syn, *_) = [d for who, _, d in net.sent if who == "A"]
    for after in (0, SECOND, 20 * SECOND):
        net.now += after
        arrives(net, "A", "B", syn)
        assert str(b.state("A")) == "TIME-WAIT"
    assert b.counters.connections_accepted == 1


def test_what_was_reopened_by_a_forged_syn_goes_back() -> None:
    # The peer knows nothing of it and says so: back to TIME-WAIT (RFC 9293 §3.6.1).
    net, b = in_time_wait()
    last = [SegmentView(d) for who, _, d in net.sent if who == "A"][-1]
    assert last.timestamps is not None
    stamps = (8, (last.timestamps[0] + 5000).to_bytes(4) + bytes(4))
    forged = encode_segment(SYN, last.seq32 + 100_000 & 0xFFFF_FFFF, options=[stamps])
    net.now += 5 * SECOND
    b.receive(net.now, "A", forged, len(forged))
    assert str(b.state("A")) == "SYN-RECEIVED"
    net.carry()  # its SYN-ACK, and the RST of "A"
    assert str(b.state("A")) == "TIME-WAIT"
    assert b.time_wait_count == 1


# -- very many ---------------------------------------------------------------------------------

MANY = 50_000


def crowded(count: int) -> tuple[Net, Endpoint]:
    """A listener with so many more records, a millisecond apart."""
    net, b = in_time_wait()
    accepted = next(iter(conn for conn in net.told if conn.passive))
    for number, addr in enumerate(addresses(count)):
        at = net.now + number * MS
        b._time_waits.keep(at, addr, TimeWait(accepted, at))
    net.now += count * MS
    return net, b


def calls(do: Callable[[], object]) -> int:
    """How many functions are called by `do`, builtins included."""
    count = 0

    def note(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(None)
    return count


def test_fifty_thousand_records_are_small() -> None:
    _, b = in_time_wait()
    del b
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    _, b = crowded(MANY)
    gc.collect()
    each = (tracemalloc.get_traced_memory()[0] - before) / MANY
    tracemalloc.stop()
    assert b.time_wait_count == MANY + 1
    assert each < 700  # with the address, and the table


def test_among_fifty_thousand_records_a_segment_costs_what_it_costs_among_five() -> None:
    costs = []
    for count in (5, MANY):
        net, b = crowded(count)
        middle = list(addresses(count))[count // 2]
        segments = [
            encode_segment(flags, number, number)
            for flags in (ACK, ACK | PSH, FIN | ACK, RST, SYN)
            for number in (1, 1 << 20, 1 << 31)
        ]

        def work(net: Net = net, b: Endpoint = b, addr: object = middle, s: Any = segments) -> None:
            for data in s:
                b.receive(net.now, addr, data, len(data))
                while b.poll_transmit(net.now) is not None:
                    pass
                b.poll_timeout()
            b.handle_timeout(net.now)

        costs.append(calls(work))
    # Whether one of the numbers is a new one differs: a few calls, and not thousands.
    assert abs(costs[0] - costs[1]) < 10


def test_fifty_thousand_records_go_when_their_time_comes() -> None:
    net, b = crowded(MANY)
    start = net.now - MANY * MS
    for done in (0, 1, 1000, MANY):
        at = start + 60 * SECOND + (done - 1) * MS
        if done:
            b.handle_timeout(at)
        left = MANY - done
        assert b.time_wait_count == left + (not done)
        assert (b.poll_timeout() == NEVER) == (not left)
    assert b.idle
