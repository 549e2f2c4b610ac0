"""The endpoint: who gets a datagram, and what happens to connections that come and go."""

from __future__ import annotations

import gc
import random
from collections.abc import Hashable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.script.stage import opened, stage
from tests.script.states import STATES, Scene
from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, Reason
from utcp.testing import MS, SECOND, SegmentView, encode_segment
from utcp.testing.segment_view import ACK, FIN, PSH, RST, SYN

KEY = bytes(range(16))


def endpoint(config: Config | None = None) -> Endpoint:
    return Endpoint(config or Config(), KEY)


def receive(e: Endpoint, addr: Hashable, data: bytes, now: int = 0, stride: int = 0) -> None:
    e.receive(now, addr, data, len(data), stride)


def sent(e: Endpoint, now: int = 0) -> list[tuple[Hashable, SegmentView]]:
    out = []
    while (burst := e.poll_transmit(now)) is not None:
        out.append((burst.addr, SegmentView(burst.data[: burst.segment_size])))
    return out


# -- which datagram is whose -------------------------------------------------------------------


@pytest.mark.rfc("MUST-42")
def test_the_address_names_the_connection() -> None:
    e = endpoint()
    e.listen()
    addresses: list[Hashable] = ["a", "b", ("192.0.2.1", 80)]
    conns = {addr: e.connect(0, addr) for addr in addresses}
    for addr, conn in conns.items():
        assert addr in e
        assert conn.addr == addr
        assert not conn.passive
    segments = sent(e)
    assert [addr for addr, _ in segments] == list(conns)
    for addr, syn in segments:
        receive(e, addr, encode_segment(SYN | ACK, 5, syn.seq32 + 1))
        assert str(conns[addr].state) == "ESTABLISHED"
    receive(e, "c", encode_segment(SYN, 5))
    assert str(e.state("c")) == "SYN-RECEIVED"
    assert str(e.state("d")) == "CLOSED"
    assert "d" not in e
    assert len(e.connections()) == 4


def test_connect_twice() -> None:
    e = endpoint()
    e.connect(0, "a")
    with pytest.raises(ValueError, match="connection already exists: 'a'"):
        e.connect(0, "a")


def test_arguments() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Endpoint(Config(), bytes(15))
    with pytest.raises(ValueError, match="backlog"):
        endpoint().listen(0)


@pytest.mark.parametrize("listening", [False, True])
@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"", "malformed"),
        (b"\x50", "malformed"),
        (b"\x50\x10" + bytes(9), "malformed"),
        (b"\xf0\x10" + bytes(10), "malformed"),
        (b"\x60\x02" + bytes(10) + b"\x02\x00\x00\x00", "malformed"),
        (b"\x00\x01\x00\x00" + bytes(16), "not_ours"),
        (b"hello", "malformed"),
        (b"GET / HTTP/1.1", "not_ours"),
    ],
)
def test_what_is_no_segment_is_counted_and_never_answered(
    data: bytes, counter: str, listening: bool
) -> None:
    e = endpoint()
    if listening:
        e.listen()
    receive(e, "a", data)
    conn = e.connect(0, "b")
    sent(e)
    receive(e, "b", data)
    assert getattr(e.counters, counter) == 2
    assert e.counters.malformed + e.counters.not_ours == 2
    assert sent(e) == []
    assert str(conn.state) == "SYN-SENT"
    assert e.poll_ready() is None


def test_a_buffer_of_several_datagrams() -> None:
    e = endpoint()
    e.listen()
    syn = encode_segment(SYN, 100)
    # The second one is a datagram for the connection that the first one made.
    receive(e, "a", syn + encode_segment(RST, 101), stride=len(syn))
    assert str(e.state("a")) == "CLOSED"
    assert e.idle or sent(e) == []
    assert e.counters.segments_in == 2
    assert e.counters.datagrams_in == 1


def test_a_reset_ends_the_connection_in_the_middle_of_a_buffer() -> None:
    a, b = opened()
    b.conn.abort()
    (reset,) = b.all_sent()
    data = encode_segment(reset.flags, reset.seq32, reset.ack32)
    a.endpoint.receive(a.clock.now, "B", data + data + data, 3 * len(data), len(data))
    assert a.endpoint.poll_ready() is a.conn
    assert a.state == "CLOSED"
    assert a.is_silent()


@settings(max_examples=60)
@given(
    st.sampled_from([state for state in STATES if state != "CLOSED"]),
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.builds(
                encode_segment,
                st.sampled_from([ACK, SYN, SYN | ACK, RST, RST | ACK, FIN | ACK, ACK | PSH, FIN]),
                st.integers(0, 2000).map(lambda n: n + 600),
                st.integers(0, 0xFFFF_FFFF),
                st.integers(0, 0xFFFF),
                st.lists(st.tuples(st.integers(2, 9), st.binary(max_size=4)), max_size=2),
                st.binary(max_size=30),
            ),
        ),
        max_size=12,
    ),
)
def test_nothing_that_arrives_raises(state: str, datagrams: list[bytes]) -> None:
    scene = Scene(state)
    for data in datagrams:
        scene.s.inject_raw(data)
        scene.s.advance(ms=10)
    scene.s.advance(ms=1000)


@pytest.mark.parametrize("seed", range(3))
def test_no_storm_of_answers(seed: int) -> None:
    # Two endpoints that send each other nonsense become quiet by themselves.
    a, b = opened()
    rng = random.Random(seed)
    for _ in range(50):
        flags = rng.choice([ACK, SYN, RST, FIN | ACK, ACK | PSH, SYN | ACK])
        data = encode_segment(flags, rng.getrandbits(32), rng.getrandbits(32), payload=b"x")
        a.endpoint.receive(a.clock.now, "B", data, len(data))
    for _ in range(5):
        b.receives(*a.all_sent())
        a.receives(*b.all_sent())
    assert b.is_silent()
    assert a.is_silent()


# -- strays ------------------------------------------------------------------------------------


def test_a_stray_gets_a_reset() -> None:
    e = endpoint()
    receive(e, "a", encode_segment(ACK, 7, 9))
    receive(e, "b", encode_segment(SYN, 7, payload=b"12345"))
    (a, first), (b, second) = sent(e)
    assert (a, first.flags, first.seq32) == ("a", RST, 9)
    assert (b, second.flags, second.seq32, second.ack32) == ("b", RST | ACK, 0, 13)
    assert e.counters.strays == 2
    assert e.counters.resets_out == 2
    assert e.idle


def test_a_stray_reset_gets_nothing() -> None:
    e = endpoint()
    receive(e, "a", encode_segment(RST, 7))
    receive(e, "a", encode_segment(RST | ACK, 7, 9))
    assert sent(e) == []
    assert e.counters.resets_in == 2
    assert e.counters.resets_out == 0


def test_resets_are_limited() -> None:
    e = endpoint(Config(reset_rate=10))
    for number in range(25):
        receive(e, ("a", number), encode_segment(ACK, 7, 9), now=SECOND)
    assert len(sent(e, SECOND)) == 10
    assert e.counters.resets_suppressed == 15
    receive(e, ("a", 1), encode_segment(ACK, 7, 9), now=2 * SECOND)
    assert len(sent(e, 2 * SECOND)) == 1


# -- listening ---------------------------------------------------------------------------------


@pytest.mark.rfc("MUST-41", "MUST-42")
def test_unlisten() -> None:
    a, b = stage()
    b.listen()
    a.connect()
    b.receives(a.sends("S"))
    b.endpoint.unlisten()
    assert not b.endpoint.listening
    a.receives(b.sends("S."))
    b.receives(a.sends("."))
    assert b.state == "ESTABLISHED"  # the handshake that had begun comes to its end
    receive(b.endpoint, "C", encode_segment(SYN, 5), now=b.clock.now)
    assert [segment.flags for _, segment in sent(b.endpoint, b.clock.now)] == [RST | ACK]


def test_the_backlog_counts_handshakes_only() -> None:
    e = endpoint(Config(syn_cookies="never"))
    e.listen(backlog=1)
    for number in range(5):
        receive(e, number, encode_segment(SYN, 100))
        ((_, syn_ack),) = sent(e)
        receive(e, "other", encode_segment(SYN, 100))
        assert sent(e) == []
        receive(e, number, encode_segment(ACK, 101, syn_ack.seq32 + 1))
        assert str(e.state(number)) == "ESTABLISHED"
    assert e.counters.connections_refused == 5
    assert e.counters.connections_accepted == 5


def test_handshakes_that_end_make_room() -> None:
    e = endpoint()
    e.listen(backlog=1)
    for number in range(5):
        receive(e, number, encode_segment(SYN, 100))
        assert str(e.state(number)) == "SYN-RECEIVED"
        receive(e, number, encode_segment(RST, 101))
        assert str(e.state(number)) == "CLOSED"
    assert e.counters.connections_refused == 0


def test_handshakes_that_nobody_finishes_make_room() -> None:
    # A SYN costs its sender nothing: a hundred from addresses where nobody answers would
    # otherwise shut everyone out until the last SYN-ACK is given up, a minute later.
    e = endpoint(Config(syn_cookies="never"))
    e.listen(backlog=10)
    receive(e, "old", encode_segment(SYN, 100))
    sent(e)
    for number in range(9):
        receive(e, number, encode_segment(SYN, 100), now=SECOND // 2)
    sent(e, SECOND // 2)
    receive(e, "C", encode_segment(SYN, 100), now=SECOND // 2)
    assert sent(e, SECOND // 2) == []  # all are young: their ACKs may be on the way

    e.handle_timeout(SECOND)
    assert sent(e, SECOND) == []  # it had its time; with so many, nothing is sent again
    receive(e, "C", encode_segment(SYN, 100), now=SECOND)
    assert [addr for addr, _ in sent(e, SECOND)] == ["C"]
    assert str(e.state("old")) == "CLOSED"
    assert e.poll_ready() is None  # the application has never heard of it
    receive(e, "D", encode_segment(SYN, 100), now=SECOND)
    assert sent(e, SECOND) == []
    assert len(e.connections()) == 10
    assert e.counters.connections_refused == 2


def test_each_new_connection_takes_the_path_mtu_of_its_time() -> None:
    e = endpoint()
    e.listen()
    announced = []
    for number, mtu in enumerate((1500, 9000, 65_536)):
        e.path_mtu = mtu
        receive(e, number, encode_segment(SYN, 100, options=[(2, b"\xff\xff")]))
        announced.append(sent(e)[0][1].mss)
    assert announced == [1460, 8960, 65_495]


# -- time --------------------------------------------------------------------------------------


def test_nothing_to_wait_for() -> None:
    e = endpoint()
    assert e.poll_timeout() == NEVER
    assert e.idle
    e.handle_timeout(0)
    e.handle_timeout(1 << 61)
    assert sent(e) == []
    assert e.poll_ready() is None


def test_waking_early_late_or_twice_does_no_harm() -> None:
    e = endpoint()
    conn = e.connect(0, "a")
    sent(e)
    assert e.poll_timeout() == SECOND
    for now in range(0, SECOND, 100 * MS):
        e.handle_timeout(now)
        assert sent(e, now) == []
    e.handle_timeout(SECOND + 5)
    e.handle_timeout(SECOND + 5)
    assert len(sent(e, SECOND + 5)) == 1
    e.handle_timeout(SECOND + 6)
    assert sent(e, SECOND + 6) == []
    assert conn.info().total_retrans == 1


@pytest.mark.rfc("MUST-13")
def test_time_wait_records_expire_in_their_order() -> None:
    e = endpoint(Config(msl=1.0))
    fins = {}
    for number in range(20):
        now = number * 10 * MS
        fins[number] = end_in_time_wait(e, number, now)
        assert str(e.state(number)) == "TIME-WAIT"
        assert number in e
    assert e.time_wait_count == 20
    assert e.connections() == []
    assert e.poll_timeout() == 2 * SECOND
    # The first one starts again, and is then the last.
    receive(e, 0, fins[0], now=SECOND)
    assert len(sent(e, SECOND)) == 1
    assert e.poll_timeout() == 2 * SECOND + 10 * MS
    e.handle_timeout(2 * SECOND + 190 * MS)
    assert e.time_wait_count == 1
    assert e.poll_timeout() == 3 * SECOND
    e.handle_timeout(3 * SECOND - 1)
    assert 0 in e
    e.handle_timeout(3 * SECOND)
    assert e.idle
    assert e.poll_timeout() == NEVER


def end_in_time_wait(e: Endpoint, addr: Hashable, now: int) -> bytes:
    """A connection that comes and goes; returns the peer's FIN."""
    conn = e.connect(now, addr)
    ((_, syn),) = sent(e, now)
    receive(e, addr, encode_segment(SYN | ACK, 100, syn.seq32 + 1), now)
    conn.close()
    sent(e, now)
    fin = encode_segment(FIN | ACK, 101, syn.seq32 + 2)
    receive(e, addr, fin, now)
    assert [segment.ack32 for _, segment in sent(e, now)] == [102]
    while e.poll_ready() is not None:
        pass
    return fin


def test_forget() -> None:
    e = endpoint()
    end_in_time_wait(e, "a", 0)
    e.forget("a")
    e.forget("b")
    assert e.idle
    assert e.poll_timeout() == NEVER
    end_in_time_wait(e, "a", 0)
    assert str(e.state("a")) == "TIME-WAIT"


def test_reuse_a_thousand_times() -> None:
    a, b = opened()
    for _ in range(1000):
        a.conn.close()
        b.receives(*a.all_sent())
        b.conn.close()
        a.receives(*b.all_sent())
        b.receives(*a.all_sent())
        assert (a.state, b.state) == ("TIME-WAIT", "CLOSED")
        a.clock.now += 2 * MS
        assert a.endpoint.can_reuse(a.clock.now, "B")
        a.connect()
        b.receives(a.sends("S"))
        a.receives(b.sends("S."))
        b.receives(a.sends("."))
        assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")
    assert a.endpoint.time_wait_count == b.endpoint.time_wait_count == 0
    for e in (a.endpoint, b.endpoint):
        assert len(e._deadlines._heap) <= 66
        assert not e._time_waits.records
        assert not e._time_waits._reopened


def test_connections_that_are_over_are_not_kept() -> None:
    def alive() -> int:
        gc.collect()
        return sum(type(thing) is Connection for thing in gc.get_objects())

    before = alive()
    e = endpoint()
    for number in range(100):
        e.connect(0, number)
    sent(e)
    for conn in e.connections():
        conn.abort()
    del conn
    assert sent(e) == []
    while e.poll_ready() is not None:
        pass
    assert e.idle
    assert alive() == before


# -- received buffers --------------------------------------------------------------------------


def test_settle() -> None:
    a, b = opened()
    b.conn.write(b"stays what it is")
    (segment,) = b.all_sent()
    data = bytearray(
        encode_segment(
            segment.flags, segment.seq32, segment.ack32, segment.window, segment.options,
            segment.payload,
        )
    )  # fmt: skip
    a.endpoint.receive(a.clock.now, "B", data, len(data))
    a.endpoint.settle()
    data[:] = bytes(len(data))
    assert a.conn.read() == b"stays what it is"


def test_what_was_received_can_be_read_when_all_is_over() -> None:
    a, b = opened()
    b.conn.write(b"last words")
    (words,) = b.all_sent()
    b.conn.abort()
    a.receives(words, *b.all_sent())
    assert a.reason is Reason.RESET
    assert a.conn.read() == b"last words"


def test_out_of_order_data_outlive_the_buffer() -> None:
    s = Scene("ESTABLISHED").s
    payload = s.payload(111, 121)
    buffer = bytearray(encode_segment(ACK, s.peer_iss + 111, (s.iss or 0) + 1501, 500, [], payload))
    s.endpoint.receive(s.now, s.peer, buffer, len(buffer))
    s.endpoint.settle()
    buffer[:] = bytes(len(buffer))
    s.inject("P. 101:111(10) ack 1501 win 500")
    assert s.read() == s.payload(101, 121)


# -- fairness ----------------------------------------------------------------------------------


def test_connections_take_turns() -> None:
    e = endpoint()
    e.max_burst_segments = 1
    for name in ("a", "b"):
        e.connect(0, name)
    for addr, syn in sent(e):
        receive(e, addr, encode_segment(SYN | ACK, 100, syn.seq32 + 1, 65_535, [(2, b"\x05\xb4")]))
    for conn in e.connections():
        conn.write(bytes(5 * 1460))
    order = [addr for addr, segment in sent(e) if segment.payload]
    assert order == ["a", "b"] * 5
