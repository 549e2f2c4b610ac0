"""User calls: OPEN, SEND, RECEIVE, CLOSE, ABORT and STATUS in every state (RFC 9293 §3.10)."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.script.states import STATES, Scene
from utcp.core import Connection, Reason, events
from utcp.testing import SegmentView

WITH_CONNECTION: Final = [state for state in STATES if state not in ("CLOSED", "LISTEN")]
SYNCHRONIZING: Final = ("SYN-SENT", "SYN-RECEIVED", "SYN-RECEIVED (active)")


def scene_of(state: str) -> tuple[Scene, Connection]:
    """The scene, and its connection, also where the application does not know it yet."""
    scene = Scene(state)
    known = scene.s.conn or scene.s.endpoint.connections()[0]
    assert isinstance(known, Connection)
    scene.s.conn = known
    return scene, known


def letters(segments: list[SegmentView]) -> list[str]:
    return [re.sub("P", "", segment.flag_letters()) for segment in segments]


@pytest.mark.rfc("MUST-41", "MUST-42")
@pytest.mark.parametrize("state", STATES)
def test_open(state: str) -> None:
    s = Scene(state).s
    if state in ("CLOSED", "LISTEN"):
        s.connect()
        assert letters(s.take()) == ["S"]
        assert str(s.state) == "SYN-SENT"
        assert s.endpoint.listening is (state == "LISTEN")
        return
    with pytest.raises(ValueError, match="TIME-WAIT" if state == "TIME-WAIT" else "exists"):
        s.connect()
    assert s.take() == []
    # A passive OPEN disturbs no connection that exists.
    s.listen()
    assert str(s.state) == state.removesuffix(" (active)")


@pytest.mark.parametrize("state", WITH_CONNECTION)
def test_send(state: str) -> None:
    scene, conn = scene_of(state)
    s = scene.s
    if state in ("FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "LAST-ACK", "TIME-WAIT"):
        with pytest.raises(BrokenPipeError, match="closing"):
            s.write(b"data")
        assert s.take() == []
        return
    s.write(b"data")
    assert conn.buffered == 4
    if state in SYNCHRONIZING:
        # Queued until the connection is established.
        assert s.take() == []
        assert conn.unsent == 4
        if state == "SYN-SENT":
            s.inject("S. 0:0(0) ack 1 win 500 <mss 1460>")
        else:
            s.inject(". 1:1(0) ack 1 win 500")
    segments = s.take()
    assert [segment.payload for segment in segments] == [b"data"]
    assert segments[0].ack
    assert conn.unsent == 0


@pytest.mark.parametrize("state", WITH_CONNECTION)
def test_receive(state: str) -> None:
    scene, conn = scene_of(state)
    assert conn.read() == b""
    assert conn.read(10) == b""
    assert conn.read_into(bytearray(10)) == 0
    if state in ("ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2"):
        scene.peer(f"P. {scene.rcv}:{scene.rcv + 5}(5) ack {scene.una} win 500")
        scene.peer(f"F. {scene.rcv + 5}:{scene.rcv + 5}(0) ack {scene.una} win 500")
        # What came before the FIN can be read after it, also when the connection is over.
        assert not conn.at_eof
        assert conn.read() == scene.s.payload(scene.rcv, scene.rcv + 5)
        assert conn.at_eof
    assert conn.read() == b""


@pytest.mark.parametrize("state", WITH_CONNECTION)
def test_half_close(state: str) -> None:
    scene, conn = scene_of(state)
    s = scene.s
    s.write_eof()
    s.write_eof()
    after = {
        "SYN-SENT": "SYN-SENT",
        "SYN-RECEIVED": "FIN-WAIT-1",
        "SYN-RECEIVED (active)": "FIN-WAIT-1",
        "ESTABLISHED": "FIN-WAIT-1",
        "CLOSE-WAIT": "LAST-ACK",
    }.get(state, state)
    assert str(s.state) == after
    if state in SYNCHRONIZING:
        assert s.take() == []
        text = "S. 0:0(0)" if state == "SYN-SENT" else ". 1:1(0)"
        s.inject(f"{text} ack 1 win 500")
        assert str(s.state) == "FIN-WAIT-1"
    expected = ["F."] if state in (*SYNCHRONIZING, "ESTABLISHED", "CLOSE-WAIT") else []
    assert letters(s.take()) == expected
    assert conn.reason is (Reason.CLOSED if state == "TIME-WAIT" else Reason.NONE)


@pytest.mark.parametrize("state", WITH_CONNECTION)
def test_close(state: str) -> None:
    scene, conn = scene_of(state)
    s = scene.s
    s.close()
    s.close()
    if state == "SYN-SENT":
        # The TCB is deleted; the peer has no state that would need a RST.
        assert s.take() == []
        assert str(s.state) == "CLOSED"
        assert s.take_events() == events.CLOSED
        assert conn.reason is Reason.CLOSED
        assert s.endpoint.idle
        return
    if state.startswith("SYN-RECEIVED"):
        s.inject(". 1:1(0) ack 1 win 500")
    after = {"ESTABLISHED": "FIN-WAIT-1", "CLOSE-WAIT": "LAST-ACK"}.get(state, state)
    assert str(s.state) == ("FIN-WAIT-1" if state in SYNCHRONIZING else after)
    expected = ["F."] if state in (*SYNCHRONIZING, "ESTABLISHED", "CLOSE-WAIT") else []
    assert letters(s.take()) == expected
    with pytest.raises((BrokenPipeError, ConnectionError)):
        s.write(b"more")


def test_close_in_syn_received_with_data_waits_for_established() -> None:
    scene, conn = scene_of("SYN-RECEIVED (active)")
    s = scene.s
    s.write(b"data")
    s.close()
    assert str(s.state) == "SYN-RECEIVED"
    s.inject("S. 0:0(0) ack 1 win 500 <mss 1460>")
    s.expect("FP. 1:5(4) ack 1")
    assert conn.reason is Reason.NONE
    assert str(s.state) == "FIN-WAIT-1"


@pytest.mark.rfc("MUST-12")
@pytest.mark.parametrize("state", WITH_CONNECTION)
def test_abort(state: str) -> None:
    scene, conn = scene_of(state)
    s = scene.s
    s.abort()
    s.abort()
    if state == "TIME-WAIT":
        # Nothing is left to abort; the record stays, for 2 MSL are not the application's affair.
        assert s.take() == []
        assert str(s.state) == "TIME-WAIT"
        return
    assert str(s.state) == "CLOSED"
    assert conn.reason is Reason.ABORTED
    assert s.take_events() == (events.CLOSED if state != "SYN-RECEIVED" else 0)
    segments = s.take()
    if state in ("SYN-SENT", "CLOSING", "LAST-ACK"):
        assert segments == []
    else:
        assert letters(segments) == ["R."]
        assert s.iss is not None
        assert segments[0].seq32 == (s.iss + scene.nxt) & 0xFFFF_FFFF
    assert conn.buffered == 0
    assert s.endpoint.idle
    with pytest.raises(ConnectionError):
        s.write(b"more")


@pytest.mark.parametrize("state", WITH_CONNECTION)
def test_status(state: str) -> None:
    scene, conn = scene_of(state)
    info = conn.info()
    assert info.state == state.removesuffix(" (active)") == str(scene.s.state)
    if state not in SYNCHRONIZING:
        assert info.bytes_acked >= 1500
        assert info.bytes_received == 100
        assert info.snd_wnd == 500
        assert info.unacked == (1 if state in ("FIN-WAIT-1", "CLOSING", "LAST-ACK") else 0)


def test_status_after_the_end() -> None:
    scene, conn = scene_of("ESTABLISHED")
    scene.s.abort()
    assert conn.info().state == "CLOSED"
    assert conn.reason is Reason.ABORTED
    conn.close()
    conn.write_eof()
    conn.abort()
    assert conn.reason is Reason.ABORTED
    scene.s.take()


def test_a_new_connection_after_the_end() -> None:
    scene, _ = scene_of("ESTABLISHED")
    scene.s.abort()
    scene.s.take()
    scene.s.connect()
    assert str(scene.s.state) == "SYN-SENT"
    assert letters(scene.s.take()) == ["S"]
