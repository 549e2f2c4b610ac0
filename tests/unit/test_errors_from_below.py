"""Errors from below: ICMP unreachable, packet too big (RFC 9293 §3.9.2.2, RFC 5927)."""

from __future__ import annotations

import pytest

from tests.script.stage import opened
from tests.script.states import STATES, Scene
from utcp.config import Config
from utcp.core import Endpoint, Reason, events
from utcp.testing import Script, SegmentView, encode_segment
from utcp.testing.segment_view import SYN


def endpoint() -> Endpoint:
    return Endpoint(Config(), bytes(16))


@pytest.mark.rfc("MUST-54", "SHLD-26")
def test_port_unreachable_while_connecting() -> None:
    with Script() as s:
        s.connect()
        s.take()
        s.unreachable(hard=True)
        assert s.conn.reason is Reason.REFUSED
        assert s.take_events() == events.CLOSED
        assert s.endpoint.idle


def test_port_unreachable_while_connecting_may_pass() -> None:
    """The peer is about to connect to us, and its NAT, or its port, is still shut."""
    with Script(config=Config(icmp_refuses=False)) as s:
        s.connect()
        s.take()
        s.unreachable(hard=True)
        assert str(s.state) == "SYN-SENT"
        assert s.take_events() == events.ADVICE
        assert s.conn.soft_error == "port unreachable"
        s.advance(ms=300_000)
        s.take()
        assert s.conn.reason is Reason.REFUSED  # to the end


@pytest.mark.rfc("MUST-47", "MUST-54", "MUST-56", "SHLD-25")
def test_host_unreachable_while_connecting() -> None:
    with Script() as s:
        s.connect()
        s.take()
        s.unreachable(hard=False)
        assert str(s.state) == "SYN-SENT"
        assert s.take_events() == events.ADVICE
        assert s.conn.soft_error == "host unreachable"
        s.advance(ms=300_000)
        s.take()
        assert s.conn.reason is Reason.UNREACHABLE


@pytest.mark.rfc("MUST-47", "MUST-54", "MUST-56", "SHLD-25")
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize(
    "state",
    [s for s in STATES if s not in ("CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED")],
)
def test_unreachable_later_only_warns(state: str, hard: bool) -> None:
    # RFC 5927 §5.2: in a synchronised state also a hard error is taken for a soft one.
    scene = Scene(state)
    s = scene.s
    s.unreachable(hard=hard)
    s.expect_nothing()
    assert str(s.state) == state.removesuffix(" (active)")
    assert s.take_events() == (0 if state == "TIME-WAIT" else events.ADVICE)


@pytest.mark.rfc("SHLD-26")
def test_whoever_gave_up_connecting_is_not_waited_for() -> None:
    # RFC 5927 §5.2: SYN-RECEIVED is no synchronised state. There a port that is closed again
    # means that the peer has cancelled its connect, and left nobody to answer our SYN-ACK.
    scene = Scene("SYN-RECEIVED")
    s = scene.s
    s.unreachable(hard=False)
    assert str(s.state) == "SYN-RECEIVED"
    s.unreachable(hard=True)
    s.expect_nothing()
    assert s.endpoint.connections() == []
    assert s.endpoint.poll_ready() is None


def test_an_error_must_quote_what_is_in_flight() -> None:
    # RFC 5927 §4.1
    e = endpoint()
    conn = e.connect(0, "a")
    burst = e.poll_transmit(0)
    assert burst is not None
    syn = SegmentView(burst.data)
    for seq32 in (syn.seq32 - 1, syn.seq32 + 2, syn.seq32 + (1 << 31)):
        e.unreachable(0, "a", True, encode_segment(SYN, seq32))
        assert str(conn.state) == "SYN-SENT"
    e.unreachable(0, "b", True)
    assert str(conn.state) == "SYN-SENT"
    e.unreachable(0, "a", True, encode_segment(SYN, syn.seq32))
    assert str(conn.state) == "CLOSED"
    assert conn.reason is Reason.REFUSED


def test_errors_about_nobody() -> None:
    e = endpoint()
    e.unreachable(0, "a", True)
    e.packet_too_big(0, "a", 1000)
    assert e.idle


@pytest.mark.parametrize(("mtu", "mss"), [(1400, 1348), (600, 548), (100, 500), (1500, 1448)])
def test_packet_too_big(mtu: int, mss: int) -> None:
    # Never below 552 bytes, as Linux, whatever somebody sends us.
    a, b = opened()
    a.conn.write(bytes(3000))
    big = a.all_sent()
    assert len(big[0].payload) == 1448
    a.endpoint.packet_too_big(a.clock.now, "B", mtu)
    assert a.conn.info().snd_mss == mss
    again = a.all_sent()
    if mtu < 1500:
        assert again[0].seq32 == big[0].seq32
        assert len(again[0].payload) == mss
    else:
        assert again == []
    b.receives(*again)
