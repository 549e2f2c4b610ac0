"""SYN cookies (RFC 4987 §3.6): what they carry, for whom they are good, and what comes of them."""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import replace
from itertools import chain, combinations

import pytest

from tests.attack.crowd import (
    FORGED,
    LINUX,
    MSS,
    SACK_OK,
    STAMPS,
    WSCALE,
    Net,
    addresses,
    client,
    server,
)
from utcp.config import Config
from utcp.core import NEVER, Endpoint, cookies, events
from utcp.core.cookies import MSS as MSS_TABLE
from utcp.core.cookies import PERIOD_NS
from utcp.testing import (
    MS,
    SECOND,
    LinkConfig,
    SegmentView,
    Sink,
    Source,
    encode_segment,
    pair,
)
from utcp.testing.segment_view import ACK, CWR, ECE, FIN, PSH, RST, SYN

ALWAYS = Config(syn_cookies="always")
NEVER_COOKIES = Config(syn_cookies="never")


SUBSETS = list(
    chain.from_iterable(combinations((MSS, SACK_OK, STAMPS, WSCALE), n) for n in range(5))
)


def cookie_of(
    net: Net, endpoint: Endpoint, addr: Hashable = "C", syn: bytes = FORGED
) -> SegmentView:
    """The SYN-ACK for a SYN, of which nothing is remembered."""
    before = len(endpoint.connections())
    (syn_ack,) = net.forged(endpoint, addr, syn)
    assert syn_ack.flags & (SYN | ACK) == SYN | ACK
    assert len(endpoint.connections()) == before
    return syn_ack


def third(syn_ack: SegmentView, *, flags: int = ACK, seq: int = 0, payload: bytes = b"") -> bytes:
    """What an honest client with FORGED as its SYN answers; `seq` from the first byte on."""
    stamps = []
    if syn_ack.timestamps is not None:
        stamps = [(1, b""), (1, b""), (8, bytes(4) + syn_ack.timestamps[0].to_bytes(4))]
    number = syn_ack.ack32 + seq & 0xFFFF_FFFF
    return encode_segment(flags, number, syn_ack.seq32 + 1, 500, stamps, payload)


# -- what a cookie carries ---------------------------------------------------------------------


@pytest.mark.parametrize("flags", [SYN, SYN | ECE | CWR])
@pytest.mark.parametrize("options", SUBSETS, ids=lambda s: "-".join(str(o[0]) for o in s) or "none")
def test_a_cookie_carries_what_the_syn_said(
    options: tuple[tuple[int, bytes], ...], flags: int
) -> None:
    net = Net()
    syn = encode_segment(flags, 12_345, options=list(options))
    agreed = []
    for config in (ALWAYS, NEVER_COOKIES):
        b = server(config)
        (syn_ack,) = net.forged(b, "C", syn)
        assert net.forged(b, "C", third(syn_ack)) == []
        (conn,) = net.accepted(b)
        info = conn.info()
        scale = 0 if syn_ack.window_scale is None else syn_ack.window_scale
        assert info.rcv_wscale == scale
        assert info.rcv_wnd >= syn_ack.window  # what was offered holds
        assert conn.snd.snd_wnd == 500 << info.snd_wscale
        agreed.append((info.options, info.snd_mss, info.snd_wscale, info.rcv_mss))
        # What a peer without the option is held to be able to take.
        assert conn.snd.peer_mss == (1460 if MSS in options else 536)
    if STAMPS in options:
        assert agreed[0] == agreed[1]
    else:
        assert agreed[0][0] == ()


@pytest.mark.parametrize("mss", [0, 59, 60, 535, 536, 1219, 1220, 1399, 1460, 8959, 65_475, 65_535])
def test_the_mss_is_rounded_down(mss: int) -> None:
    net = Net()
    b = server(ALWAYS, path_mtu=65_536)
    syn = encode_segment(SYN, 12_345, options=[(2, mss.to_bytes(2))])
    net.forged(b, "C", third(cookie_of(net, b, syn=syn)))
    (conn,) = net.accepted(b)
    assert conn.snd.peer_mss == max([60, *(each for each in MSS_TABLE if each <= mss)])


@pytest.mark.parametrize("ipv6", [False, True])
def test_a_peer_that_does_not_tell_its_mss(ipv6: bool) -> None:
    # RFC 9293 §3.7.1 (MUST-15)
    net = Net()
    b = server(ALWAYS, ipv6=ipv6)
    net.forged(b, "C", third(cookie_of(net, b, syn=encode_segment(SYN, 12_345))))
    (conn,) = net.accepted(b)
    assert conn.snd.peer_mss == (1220 if ipv6 else 536)


@pytest.mark.parametrize("off", ["timestamps", "window_scaling", "sack", "ecn"])
def test_what_is_turned_off_is_in_no_cookie(off: str) -> None:
    syn = encode_segment(SYN | ECE | CWR, 12_345, options=LINUX)
    seen = []
    for config in (ALWAYS, NEVER_COOKIES):
        net = Net()
        b = server(replace(config, **{off: False}))  # type: ignore[arg-type]
        (syn_ack,) = net.forged(b, "C", syn)
        net.forged(b, "C", third(syn_ack))
        kinds = [kind for kind, _ in syn_ack.options]
        seen.append((net.accepted(b)[0].info().options, kinds, syn_ack.flags))
    if off != "timestamps":
        assert seen[0] == seen[1]
    else:
        assert seen[0] == ((), [2], SYN | ACK)


# -- a cookie is good for its peer, and for a while --------------------------------------------


def test_nothing_is_remembered() -> None:
    net = Net()
    b = server(ALWAYS)
    cookie_of(net, b)
    assert b.idle
    assert b.poll_timeout() == NEVER
    assert str(b.state("C")) == "CLOSED"


@pytest.mark.parametrize("into_period", [0, 1, PERIOD_NS // 2, PERIOD_NS - 1])
def test_a_cookie_lasts_for_a_period_and_the_next(into_period: int) -> None:
    for age, good in (
        (0, True),
        (PERIOD_NS, True),
        (2 * PERIOD_NS - into_period - 1, True),
        (2 * PERIOD_NS - into_period, False),
        (4 * PERIOD_NS, False),
        (1 << 50, False),
    ):
        net = Net()
        b = server(ALWAYS)
        net.now = 1000 * PERIOD_NS + into_period
        ack = third(cookie_of(net, b))
        net.now += age
        cookie_of(net, b, "somebody else")  # so that there are young cookies, too
        answer = net.forged(b, "C", ack)
        assert bool(net.accepted(b)) == good, age
        assert [view.flags for view in answer] == ([] if good else [RST])


@pytest.mark.parametrize("later", [0, PERIOD_NS - 1, PERIOD_NS, 2 * PERIOD_NS - 1])
def test_a_cookie_opens_one_connection(later: int) -> None:
    # The client has closed first, so the server keeps no TIME-WAIT record, and then the network
    # delivers the first segment again: its data must not be heard twice.
    b = server(ALWAYS)
    net = Net(B=b)
    net.now = 1000 * PERIOD_NS
    data = third(cookie_of(net, b), flags=ACK | PSH, payload=b"pay 100")
    net.forged(b, "C", data)
    (conn,) = net.accepted(b)
    assert conn.read() == b"pay 100"
    conn.abort()
    net.carry()
    assert str(b.state("C")) == "CLOSED"
    net.now += later // 2
    cookie_of(net, b, "somebody else")
    net.now += later - later // 2
    for _ in range(2):
        net.forged(b, "C", data)
    assert b.connections() == []
    assert b.counters.syn_cookies_accepted == 1
    # A new connection of the same peer is another matter.
    net.forged(b, "C", third(cookie_of(net, b, syn=encode_segment(SYN, 99, options=LINUX))))
    assert len(net.accepted(b)) == 1


def test_what_is_known_of_cookies_that_came_back_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cookies, "_MOST_SPENT", 10)
    b = server(ALWAYS)
    net = Net(B=b)
    for period in range(4):
        for addr in addresses(30):
            net.forged(b, addr, third(cookie_of(net, b, addr)))
        for conn in b.connections():
            conn.abort()
        net.carry()
        spent = len(b._cookies._spent), len(b._cookies._spent_before)
        assert spent == (10, 10 if period else 0)
        net.now += PERIOD_NS
    net.now += PERIOD_NS
    net.forged(b, "C", third(cookie_of(net, b)))
    assert (len(b._cookies._spent), len(b._cookies._spent_before)) == (1, 0)


def test_a_cookie_is_good_for_its_peer_and_its_syn_only() -> None:
    net = Net()
    b = server(ALWAYS)
    syn_ack = cookie_of(net, b)
    for addr in addresses(100):
        assert [view.flags for view in net.forged(b, addr, third(syn_ack))] == [RST]
    for seq in (-1000, -1, 1, 2, 65_536):
        assert [view.flags for view in net.forged(b, "C", third(syn_ack, seq=seq))] == [RST]
    assert b.connections() == []
    assert b.counters.syn_cookies_failed == 105
    other = Endpoint(ALWAYS, b"another secret, 16 bytes")
    other.listen()
    cookie_of(net, other, "D")
    net.forged(other, "C", third(syn_ack))
    assert other.connections() == []


def test_a_cookie_cannot_be_guessed_from_another() -> None:
    net = Net()
    b = server(ALWAYS)
    syn_ack = cookie_of(net, b)
    good = syn_ack.seq32
    rng = random.Random(1)
    wrong = {good ^ 1 << bit for bit in range(32)} | {good + n for n in range(-50, 50) if n}
    wrong |= {rng.getrandbits(32) for _ in range(20_000)}
    for iss in wrong - {good}:
        syn_ack.seq32 = iss & 0xFFFF_FFFF
        net.forged(b, "C", third(syn_ack))
    assert b.connections() == []
    syn_ack.seq32 = good
    net.forged(b, "C", third(syn_ack))
    assert len(net.accepted(b)) == 1


def test_cookies_look_random() -> None:
    # Of peers that differ little, and of one peer over time: no two share their upper half.
    net = Net()
    b = server(ALWAYS)
    halves = [cookie_of(net, b, f"10.0.0.{n}").seq32 >> 16 for n in range(40)]
    for _ in range(40):
        net.now += PERIOD_NS
        halves.append(cookie_of(net, b).seq32 >> 16)
    assert len(set(halves)) >= 79


def test_while_no_cookie_is_out_no_ack_is_taken_for_one() -> None:
    net = Net()
    b = server()
    for number in range(100):
        (reply,) = net.forged(b, "C", encode_segment(ACK, number, number))
        assert reply.flags == RST
    assert b.counters.syn_cookies_failed == 0


# -- the connection that comes of it -----------------------------------------------------------


def test_data_on_the_third_segment_is_delivered() -> None:
    net = Net()
    b = server(ALWAYS)
    data = third(cookie_of(net, b), flags=ACK | PSH, payload=b"hello")
    b.receive(net.now, "C", data, len(data))
    conn = b.poll_ready()
    assert conn is not None
    assert conn.take_events() == events.CONNECTED | events.READABLE
    assert conn.read() == b"hello"
    assert b.counters.segments_in == 2


def test_a_fin_on_the_third_segment_counts() -> None:
    net = Net()
    b = server(ALWAYS)
    net.forged(b, "C", third(cookie_of(net, b), flags=ACK | FIN, payload=b"hello"))
    (conn,) = net.accepted(b)
    assert str(conn.state) == "CLOSE-WAIT"
    assert conn.read() == b"hello"
    assert conn.at_eof


def test_a_train_that_begins_with_the_cookie() -> None:
    net = Net()
    b = server(ALWAYS)
    syn_ack = cookie_of(net, b)
    first = third(syn_ack, payload=b"12345")
    second = third(syn_ack, seq=5, payload=b"67890")
    b.receive(net.now, "C", first + second, len(first) * 2, len(first))
    (conn,) = b.connections()
    assert conn.read() == b"1234567890"


def test_the_third_segment_is_lost_and_data_follows() -> None:
    net = Net(A=client(), B=server(ALWAYS))
    conn = net.ends["A"].connect(net.now, "B")
    net.lose = lambda who, segment: who == "A" and segment.flags == ACK and not segment.payload
    net.carry()
    assert str(conn.state) == "ESTABLISHED"
    assert net.ends["B"].idle
    net.lose = lambda _who, _segment: False
    conn.write(b"hello")
    net.carry()
    (accepted,) = net.accepted(net.ends["B"])
    assert accepted.read() == b"hello"


def test_the_segment_with_the_cookie_is_lost_and_more_follows() -> None:
    # What follows must not be answered with RST: it is the client's, and its first segment comes
    # again.
    net = Net(A=client(), B=server(ALWAYS))
    conn = net.ends["A"].connect(net.now, "B")
    conn.write(bytes(range(256)) * 20)
    lost: list[SegmentView] = []

    def lose(who: object, segment: SegmentView) -> bool:
        first = who == "A" and segment.seq32 == conn.snd.iss + 1 & 0xFFFF_FFFF
        if first and not lost:
            lost.append(segment)
            return True
        return False

    net.lose = lose
    net.carry()
    assert len(lost) == 1
    assert net.ends["B"].counters.syn_cookies_failed == 3
    assert str(conn.state) == "ESTABLISHED"
    net.wait(5 * SECOND)
    (accepted,) = net.accepted(net.ends["B"])
    assert accepted.read() == bytes(range(256)) * 20
    assert net.ends["B"].counters.resets_out == 0


def test_a_server_that_speaks_first_waits_for_the_client() -> None:
    # The price (RFC 4987 §3.6): with the ACK lost the server knows of nothing and sends nothing
    # again, so a client that only waits goes on waiting. Its first byte, or a keep-alive, helps.
    net = Net(A=client(Config(keepalive=True, keepalive_idle=30)), B=server(ALWAYS))
    conn = net.ends["A"].connect(net.now, "B")
    net.lose = lambda who, segment: who == "A" and segment.flags == ACK
    net.carry()
    net.lose = lambda _who, _segment: False
    net.wait(29 * SECOND, SECOND)
    assert net.ends["B"].idle
    assert str(conn.state) == "ESTABLISHED"
    net.wait(2 * SECOND, SECOND)
    assert str(conn.state) == "CLOSED"  # the server says that it knows nothing


def test_the_handshake_says_nothing_of_the_round_trip() -> None:
    net = Net()
    b = server(ALWAYS)
    ack = third(cookie_of(net, b))
    net.now += 30 * SECOND
    net.forged(b, "C", ack)
    (conn,) = net.accepted(b)
    assert conn.info().rtt == 0
    assert conn.info().rto == 1_000_000
    assert conn.info().snd_cwnd == 10 * conn.info().snd_mss


@pytest.mark.parametrize("at_ms", range(0, 130, 9))
def test_the_clock_of_the_timestamps_goes_on(at_ms: int) -> None:
    # RFC 7323 §5.3: were the cookie's timestamp ahead of the clock, the client would drop what
    # the server sends in the milliseconds after it.
    net = Net(A=client(), B=server(ALWAYS))
    net.now += at_ms * MS
    conn = net.ends["A"].connect(net.now, "B")
    net.carry()
    (accepted,) = net.accepted(net.ends["B"])
    for _ in range(100):
        accepted.write(b"x")
        net.carry()
        assert conn.read() == b"x"
        net.now += MS
    assert net.ends["A"].counters.paws_drops == 0
    stamps = [SegmentView(d).timestamps for who, _, d in net.sent if who == "B"]
    values = [stamp[0] for stamp in stamps if stamp is not None]
    assert values == sorted(values)
    assert len(values) == len(stamps)


def test_the_clock_of_the_timestamps_where_it_wraps() -> None:
    net = Net()
    b = server(ALWAYS)
    (probe,) = net.forged(b, "C", FORGED)
    assert probe.timestamps is not None
    net.now = net.now // MS * MS + ((1 << 32) - probe.timestamps[0] - 64) * MS
    for _ in range(200):
        net.now += MS
        (view,) = net.forged(b, "C", FORGED)
        assert view.timestamps is not None
        conn_clock = net.now // MS + b._secrets.numbers(0, "C")[1] & 0xFFFF_FFFF
        assert 0 <= (conn_clock - view.timestamps[0]) & 0xFFFF_FFFF < 64


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stamps", [True, False])
def test_transfers_over_cookie_connections(seed: int, stamps: bool) -> None:
    world = pair(
        seed=seed,
        config=Config(syn_cookies="always", timestamps=stamps),
        link=LinkConfig(rate_bps=20_000_000, delay_ns=15 * MS, loss=0.02, duplicate=0.01),
    )
    client_end = world.open()
    world.a.run(Source(client_end, 300_000), Sink(client_end, 300_000))

    def accepted(conn: object) -> None:
        world.b.run(Source(conn, 300_000), Sink(conn, 300_000))  # type: ignore[arg-type]

    world.b.on_accept = accepted
    world.run_until(lambda: world.finished, limit_ns=120 * SECOND)
    assert world.b.endpoint.counters.syn_cookies_accepted == 1


# -- the end -----------------------------------------------------------------------------------


def test_cookies_end_with_the_listener() -> None:
    net = Net()
    b = server(ALWAYS)
    ack = third(cookie_of(net, b))
    b.unlisten()
    assert [view.flags for view in net.forged(b, "C", ack)] == [RST]
    assert b.connections() == []
