"""SYN floods (RFC 4987): forged addresses cost next to nothing, and honest clients get in."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from tests.attack.crowd import (
    FORGED,
    MSS,
    SACK_OK,
    STAMPS,
    WSCALE,
    Net,
    addresses,
    client,
    objects,
    server,
)
from utcp.config import Config
from utcp.core import NEVER
from utcp.testing import (
    SECOND,
    SegmentView,
    encode_segment,
)
from utcp.testing.segment_view import CWR, ECE, SYN

ALWAYS = Config(syn_cookies="always")
NEVER_COOKIES = Config(syn_cookies="never")


# -- the flood ---------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_a_hundred_thousand_forged_syns() -> None:
    b = server(backlog=128)
    net = Net(B=b)
    weights = []
    tries = []
    for number, addr in enumerate(addresses(100_000)):
        net.now += 100_000  # ten thousand per second
        if number % 10 == 0:
            b.handle_timeout(net.now)
        b.receive(net.now, addr, FORGED, len(FORGED))
        while (burst := b.poll_transmit(net.now)) is not None:
            assert len(burst.data) <= len(FORGED)
        if number % 20_000 == 10_000:
            weights.append(objects())
            a = net.ends["A"] = client()
            conn = a.connect(net.now, "B")
            net.sent.clear()
            net.carry()
            tries.append(sum(who == "A" and SegmentView(d).syn for who, _, d in net.sent))
            assert str(conn.state) == "ESTABLISHED"
            conn.abort()
            net.carry()
            net.told.clear()
    assert tries == [1] * 5
    assert len(b.connections()) == 128
    assert max(weights) - weights[0] < 100
    assert b.counters.syn_cookies_sent > 99_000
    assert b.counters.syn_cookies_accepted == 5
    assert b.counters.connections_refused == 0
    assert b.poll_timeout() < NEVER
    net.wait(130 * SECOND, SECOND)
    assert b.idle
    assert b.poll_timeout() == NEVER


def test_without_cookies_a_client_comes_in_when_the_flood_lets_it() -> None:
    b = server(NEVER_COOKIES, backlog=128)
    net = Net(A=client(), B=b)
    for addr in addresses(1000):
        net.forged(b, addr)
    assert b.counters.connections_refused == 1000 - 128
    conn = net.ends["A"].connect(net.now, "B")
    net.carry()
    assert str(conn.state) == "SYN-SENT"
    net.wait(3 * SECOND)
    assert str(conn.state) == "ESTABLISHED"


def test_in_a_flood_no_syn_ack_is_sent_again() -> None:
    b = server(backlog=16)
    net = Net(B=b)
    for addr in addresses(16):
        net.forged(b, addr)
    net.sent.clear()
    net.wait(100 * SECOND, SECOND)
    assert net.sent == []
    assert b.idle


def test_a_few_handshakes_are_given_every_help() -> None:
    b = server(backlog=16)
    net = Net(B=b)
    for addr in addresses(8):
        net.forged(b, addr)
    net.wait(100 * SECOND, SECOND)
    assert len(net.sent) == 8 * Config().synack_retries


def test_in_a_flood_a_syn_that_comes_again_is_answered_again() -> None:
    b = server(backlog=4)
    net = Net(B=b)
    for addr in addresses(4):
        net.forged(b, addr)
    net.now += SECOND
    (first, *_) = addresses(1)
    (again,) = net.forged(b, first)
    assert again.syn
    assert b.counters.syn_cookies_sent == 0


def test_what_waits_for_the_socket_is_bounded() -> None:
    # The socket takes nothing for a while: every answer would be kept.
    b = server(ALWAYS)
    for addr in addresses(20_000):
        b.receive(0, addr, FORGED, len(FORGED))
    sent = 0
    while b.poll_transmit(0) is not None:
        sent += 1
    assert sent == 8192
    assert b.counters.replies_dropped == 20_000 - 8192


# -- no reply is larger than what came ---------------------------------------------------------

SUBSETS = list(
    chain.from_iterable(combinations((MSS, SACK_OK, STAMPS, WSCALE), n) for n in range(5))
)


@pytest.mark.parametrize("options", SUBSETS, ids=lambda s: "-".join(str(o[0]) for o in s) or "none")
@pytest.mark.parametrize("config", [ALWAYS, NEVER_COOKIES], ids=["cookie", "remembered"])
def test_no_syn_ack_is_larger_than_its_syn(
    config: Config, options: tuple[tuple[int, bytes], ...]
) -> None:
    syn = encode_segment(SYN | ECE | CWR, 1, options=list(options))
    b = server(config)
    b.receive(0, "C", syn, len(syn))
    burst = b.poll_transmit(0)
    assert burst is not None
    assert len(burst.data) <= len(syn)
    view = SegmentView(bytes(burst.data))
    assert (view.mss is not None) == (MSS in options)
    assert (view.timestamps is not None) == (STAMPS in options)
    # A cookie has no other place for these.
    told = config is NEVER_COOKIES or STAMPS in options
    assert view.sack_permitted == (SACK_OK in options and told)
    assert (view.window_scale is not None) == (WSCALE in options and told)
    assert bool(view.flags & ECE) == told


# -- beside TIME-WAIT --------------------------------------------------------------------------


def test_a_peer_in_time_wait_gets_no_cookie() -> None:
    # A cookie's ISS lies anywhere, that of a successor must lie above its predecessor's numbers.
    a, b = client(), server(ALWAYS, backlog=4)
    net = Net(A=a, B=b)
    first = a.connect(net.now, "B")
    net.carry()
    (accepted,) = net.accepted(b)
    accepted.close()
    net.carry()
    first.close()
    net.carry()
    assert str(b.state("A")) == "TIME-WAIT"
    last = accepted.snd.snd_nxt
    net.now += SECOND
    for addr in addresses(4):
        net.forged(b, addr)
    sent = b.counters.syn_cookies_sent
    second = a.connect(net.now, "B")
    net.carry()
    assert str(second.state) == "ESTABLISHED"
    assert b.counters.syn_cookies_sent == sent
    assert 0 < (second.rcv.irs - last) & 0xFFFF_FFFF < 1 << 31


def test_a_peer_in_time_wait_goes_before_the_oldest_handshake() -> None:
    a, b = client(), server(backlog=4)
    net = Net(A=a, B=b)
    first = a.connect(net.now, "B")
    net.carry()
    net.accepted(b)[0].close()
    net.carry()
    first.close()
    net.carry()
    net.now += SECOND
    crowd = list(addresses(4))
    for addr in crowd:
        net.forged(b, addr)
    second = a.connect(net.now, "B")
    net.carry()
    assert str(second.state) == "ESTABLISHED"
    assert str(b.state(crowd[0])) == "CLOSED"
    assert [str(b.state(addr)) for addr in crowd[1:]] == ["SYN-RECEIVED"] * 3
