"""SEGMENT ARRIVES: every kind of segment in every state (RFC 9293 §3.10.7).

A row says: in these states, this segment is answered so, and leads to this state and to these
events. `=` is "no change". In the segments and answers, `rcv` is RCV.NXT, `nxt` is SND.NXT, `una`
is SND.UNA, `edge` is RCV.NXT+RCV.WND, each with an offset where one is written. The greatest
window that the peer has offered is 500.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import pytest

from tests.script.states import STATES, Scene
from utcp.core import Reason, events

OPEN: Final = "ESTABLISHED FIN-WAIT-1 FIN-WAIT-2"
FIN_SEEN: Final = "CLOSE-WAIT CLOSING LAST-ACK"
SYNC: Final = f"{OPEN} {FIN_SEEN}"
SYN_RECEIVED: Final = "SYN-RECEIVED SYN-RECEIVED*"

NOTHING: Final = ""
ACK: Final = ". nxt:nxt(0) ack rcv"  # also called a challenge
RESET: Final = "R"  # with the sequence number of the segment's ACK
CONNECTED, READABLE, EOF = events.CONNECTED, events.READABLE, events.EOF
FINISHED, CLOSED, ADVICE = events.FINISHED, events.CLOSED, events.ADVICE


class Row(NamedTuple):
    """What one kind of segment does in some states."""

    segment: str
    states: str
    answer: str = NOTHING
    after: str = "="
    told: int = 0
    readable: int = 0


ROWS: Final = [
    # -- RST ------------------------------------------------------------------------------------
    Row("R rcv:rcv(0)", "CLOSED LISTEN"),
    Row("R. rcv:rcv(0) ack nxt", "CLOSED LISTEN"),
    Row("R 0:0(0)", "SYN-SENT"),  # no ACK
    Row("R. 0:0(0) ack nxt+1", "SYN-SENT"),
    Row("R. 0:0(0) ack una", "SYN-SENT"),
    Row("R. 0:0(0) ack nxt", "SYN-SENT", NOTHING, "CLOSED", CLOSED),
    Row("R rcv:rcv(0)", "SYN-RECEIVED", NOTHING, "CLOSED"),
    Row("R rcv:rcv(0)", "SYN-RECEIVED*", NOTHING, "CLOSED", CLOSED),
    Row("R. rcv:rcv(0) ack nxt", SYN_RECEIVED[:12], NOTHING, "CLOSED"),
    Row("R. rcv:rcv(0) ack nxt", "SYN-RECEIVED*", NOTHING, "CLOSED", CLOSED),
    Row("R rcv:rcv(0)", SYNC, NOTHING, "CLOSED", CLOSED),
    Row("R. rcv:rcv(0) ack nxt+7", SYNC, NOTHING, "CLOSED", CLOSED),
    Row("R rcv:rcv(0)", "TIME-WAIT"),  # RFC 1337
    Row("R rcv+1:rcv+1(0)", f"{SYN_RECEIVED} {SYNC}", ACK),
    Row("R edge-1:edge-1(0)", f"{SYN_RECEIVED} {SYNC}", ACK),
    Row("R edge:edge(0)", f"{SYN_RECEIVED} {SYNC} TIME-WAIT"),
    Row("R rcv-1:rcv-1(0)", f"{SYN_RECEIVED} {SYNC} TIME-WAIT"),
    Row("R rcv+1:rcv+1(0)", "TIME-WAIT"),
    # -- SYN ------------------------------------------------------------------------------------
    Row("S 0:0(0)", "CLOSED", "R. 0:0(0) ack 1"),
    Row("S 0:0(0)", "LISTEN", "S. 0:0(0) ack 1", "SYN-RECEIVED"),
    Row("S 0:0(0)", "SYN-SENT", "S. 0:0(0) ack 1", "SYN-RECEIVED"),
    Row("S 0:0(0)", SYN_RECEIVED, "S. 0:0(0) ack 1"),
    Row("S rcv+5:rcv+5(0)", "SYN-RECEIVED", NOTHING, "CLOSED"),
    Row("S rcv+5:rcv+5(0)", "SYN-RECEIVED*", ACK),
    Row("S edge+5:edge+5(0)", SYN_RECEIVED, ACK),
    Row("S 0:0(0)", f"{SYNC} TIME-WAIT", ACK),
    Row("S rcv:rcv(0)", f"{SYNC} TIME-WAIT", ACK),
    Row("S edge+5:edge+5(0)", f"{SYNC} TIME-WAIT", ACK),
    # -- SYN,ACK --------------------------------------------------------------------------------
    Row("S. 0:0(0) ack 77", "CLOSED LISTEN", RESET),
    Row("S. 0:0(0) ack 77", "SYN-SENT", RESET, "=", ADVICE),
    Row("S. 0:0(0) ack una", "SYN-SENT", RESET, "=", ADVICE),
    Row("S. 0:0(0) ack nxt", "SYN-SENT", ". 1:1(0) ack 1", "ESTABLISHED", CONNECTED),
    Row("S. 0:10(10) ack nxt", "SYN-SENT", ". 1:1(0) ack 11", "ESTABLISHED", CONNECTED | READABLE,
        10),
    Row("S. 0:0(0) ack nxt", SYN_RECEIVED, NOTHING, "ESTABLISHED", CONNECTED),
    Row("S. 0:0(0) ack 77", SYN_RECEIVED, RESET),
    Row("S. 0:0(0) ack nxt", f"{SYNC} TIME-WAIT", ACK),
    # -- the ACK field --------------------------------------------------------------------------
    Row(". rcv:rcv(0) ack 77", "CLOSED LISTEN", RESET),
    Row(". rcv:rcv(0) ack 77", "SYN-SENT", RESET, "=", ADVICE),
    Row(". rcv:rcv(0) ack nxt", "SYN-SENT"),
    Row(". rcv:rcv(0) ack nxt", SYN_RECEIVED, NOTHING, "ESTABLISHED", CONNECTED),
    Row(". rcv:rcv(0) ack nxt+1", SYN_RECEIVED, RESET),
    Row(". rcv:rcv(0) ack una", SYN_RECEIVED, RESET),
    Row(". rcv:rcv(0) ack nxt", "ESTABLISHED FIN-WAIT-2 CLOSE-WAIT TIME-WAIT"),
    Row(". rcv:rcv(0) ack nxt", "FIN-WAIT-1", NOTHING, "FIN-WAIT-2", FINISHED),
    Row(". rcv:rcv(0) ack nxt", "CLOSING", NOTHING, "TIME-WAIT", FINISHED | CLOSED),
    Row(". rcv:rcv(0) ack nxt", "LAST-ACK", NOTHING, "CLOSED", FINISHED | CLOSED),
    Row(". rcv:rcv(0) ack una", f"{SYNC} TIME-WAIT"),
    Row(". rcv:rcv(0) ack una-500", f"{SYNC} TIME-WAIT"),  # as old as the window is large
    Row(". rcv:rcv(0) ack una-501", SYNC, ACK),
    Row(". rcv:rcv(0) ack nxt+1", SYNC, ACK),
    Row("P. rcv:rcv+10(10) ack nxt+1", f"{SYNC} TIME-WAIT", ACK),  # data and all are dropped
    Row("P. rcv:rcv+10(10) ack una-501", SYNC, ACK),
    Row("F. rcv:rcv(0) ack nxt+1", SYNC, ACK),
    # -- no ACK ---------------------------------------------------------------------------------
    Row("F 0:0(0)", "CLOSED", "R. 0:0(0) ack 1"),
    Row("F rcv:rcv(0)", f"LISTEN SYN-SENT {SYN_RECEIVED} {SYNC}"),
    Row("FP rcv:rcv+10(10)", f"LISTEN SYN-SENT {SYN_RECEIVED} {SYNC}"),
    Row("- 0:0(0)", "CLOSED", "R. 0:0(0) ack 0"),
    Row("- rcv:rcv(0)", " ".join(("LISTEN SYN-SENT", SYN_RECEIVED, SYNC, "TIME-WAIT"))),
    Row("P 0:10(10)", "CLOSED", "R. 0:0(0) ack 10"),
    Row("P rcv:rcv+10(10)", " ".join(("LISTEN SYN-SENT", SYN_RECEIVED, SYNC, "TIME-WAIT"))),
    # -- out of the window ----------------------------------------------------------------------
    Row(". rcv-1:rcv-1(0) ack nxt", f"{SYN_RECEIVED} {SYNC} TIME-WAIT", ACK),
    Row(". edge+1:edge+1(0) ack nxt", f"{SYN_RECEIVED} {SYNC} TIME-WAIT", ACK),
    Row("P. edge:edge+10(10) ack nxt", f"{SYN_RECEIVED} {SYNC} TIME-WAIT", ACK),
    # -- text -----------------------------------------------------------------------------------
    Row("P. 1:11(10) ack 77", "CLOSED LISTEN", RESET),
    Row("P. 1:11(10) ack 77", "SYN-SENT", RESET, "=", ADVICE),
    Row("P. rcv:rcv+10(10) ack nxt", "SYN-SENT"),
    Row("P. rcv:rcv+10(10) ack nxt", SYN_RECEIVED, ". nxt:nxt(0) ack rcv+10", "ESTABLISHED",
        CONNECTED | READABLE, 10),
    Row("P. rcv:rcv+10(10) ack una", OPEN, ". nxt:nxt(0) ack rcv+10", "=", READABLE, 10),
    Row("P. rcv+5:rcv+15(10) ack nxt", SYN_RECEIVED, ACK, "ESTABLISHED", CONNECTED),
    Row("P. rcv+5:rcv+15(10) ack una", OPEN, ACK),
    Row("P. rcv-10:rcv(10) ack una", f"{OPEN} {FIN_SEEN} TIME-WAIT", ACK),
    Row("P. rcv-5:rcv+5(10) ack una", OPEN, ". nxt:nxt(0) ack rcv+5", "=", READABLE, 5),
    Row("P. edge-5:edge+5(10) ack una", OPEN, ACK),
    Row("P. rcv:rcv+10(10) ack una", FIN_SEEN),  # behind the FIN there is no text
    Row("P. rcv:rcv+10(10) ack una", "TIME-WAIT", ACK),
    # -- FIN ------------------------------------------------------------------------------------
    Row("F. 1:1(0) ack 77", "CLOSED LISTEN", RESET),
    Row("F. 1:1(0) ack 77", "SYN-SENT", RESET, "=", ADVICE),
    Row("F. rcv:rcv(0) ack nxt", "SYN-SENT"),
    Row("F. rcv:rcv(0) ack nxt", SYN_RECEIVED, ". nxt:nxt(0) ack rcv+1", "CLOSE-WAIT",
        CONNECTED | EOF),
    Row("F. rcv:rcv(0) ack una", "ESTABLISHED", ". nxt:nxt(0) ack rcv+1", "CLOSE-WAIT", EOF),
    Row("F. rcv:rcv(0) ack una", "FIN-WAIT-1", ". nxt:nxt(0) ack rcv+1", "CLOSING", EOF),
    Row("F. rcv:rcv(0) ack nxt", "FIN-WAIT-1", ". nxt:nxt(0) ack rcv+1", "TIME-WAIT",
        EOF | FINISHED | CLOSED),
    Row("F. rcv:rcv(0) ack nxt", "FIN-WAIT-2", ". nxt:nxt(0) ack rcv+1", "TIME-WAIT", EOF | CLOSED),
    Row("FP. rcv:rcv+10(10) ack una", "ESTABLISHED", ". nxt:nxt(0) ack rcv+11", "CLOSE-WAIT",
        EOF | READABLE, 10),
    Row("FP. rcv-5:rcv+5(10) ack una", "ESTABLISHED", ". nxt:nxt(0) ack rcv+6", "CLOSE-WAIT",
        EOF | READABLE, 5),
    Row("FP. rcv+5:rcv+15(10) ack una", OPEN, ACK),
    Row("F. rcv+5:rcv+5(0) ack una", OPEN, ACK),
    Row("F. rcv-1:rcv-1(0) ack una", f"{FIN_SEEN} TIME-WAIT", ACK),  # the FIN again
    Row("F. edge+1:edge+1(0) ack una", f"{SYNC} TIME-WAIT", ACK),
]  # fmt: skip

CASES: Final = [
    pytest.param(row, state.replace("*", " (active)"), id=f"{state}: {row.segment}")
    for row in ROWS
    for state in row.states.split()
]


def numbers(text: str, scene: Scene, edge: int) -> str:
    """The text with numbers for the names."""
    values = {"rcv": scene.rcv, "nxt": scene.nxt, "una": scene.una, "edge": edge}

    def number(match: re.Match[str]) -> str:
        return str((values[match[1]] + int(match[2] or 0)) & 0xFFFF_FFFF)

    return re.sub(r"(rcv|nxt|una|edge)([+-]\d+)?", number, text)


@pytest.mark.rfc("MUST-11", "MUST-12", "MUST-66")
@pytest.mark.parametrize("stamps", [False, True], ids=["", "timestamps"])
@pytest.mark.parametrize(("row", "state"), CASES)
def test_segment_in_state(row: Row, state: str, stamps: bool) -> None:
    scene = Scene(state, stamps=stamps)
    s = scene.s
    segment = numbers(row.segment, scene, scene.rcv + scene.window)
    scene.peer(f"{segment} win 500")
    if row.answer == RESET:
        ack = re.search(r"ack (\d+)", segment)
        assert ack is not None
        s.expect(f"R {ack[1]}:{ack[1]}(0)" if s.iss is not None else "R *")
    elif row.answer:
        # Data in order are acknowledged later.
        s.expect(numbers(row.answer, scene, 0), within_ms=40)
    s.expect_nothing()
    before = state.removesuffix(" (active)").replace("LISTEN", "CLOSED")
    assert str(s.state) == (before if row.after == "=" else row.after)
    assert s.take_events() == row.told
    if s.conn is not None and state != "TIME-WAIT":
        assert s.conn.readable == row.readable
        assert s.conn.reason is reason(row, state)


def reason(row: Row, state: str) -> Reason:
    if not row.told & CLOSED:
        return Reason.NONE
    if not row.segment.startswith("R"):
        return Reason.CLOSED
    return Reason.REFUSED if state.startswith("SYN") else Reason.RESET


def test_every_state_has_its_rows() -> None:
    for state in STATES:
        seen = {
            row.segment for row in ROWS if state.replace(" (active)", "*") in row.states.split()
        }
        assert len(seen) >= 9, state


AGREED: Final = ("SYN-RECEIVED", "SYN-RECEIVED (active)", *SYNC.split())


@pytest.mark.parametrize("state", AGREED)
def test_without_the_timestamp_that_was_agreed(state: str) -> None:
    # RFC 7323 §3.2: dropped, in whatever state, RST excepted.
    scene = Scene(state, stamps=True)
    for segment in (". rcv:rcv(0) ack nxt", "P. rcv:rcv+10(10) ack nxt", "F. rcv:rcv(0) ack nxt"):
        scene.peer(numbers(segment, scene, 0), stamp=None)
    scene.s.expect_nothing(for_ms=40)
    assert str(scene.s.state) == state.removesuffix(" (active)")
    assert scene.s.take_events() == 0
    assert scene.s.endpoint.counters.paws_drops == 3


@pytest.mark.parametrize("state", AGREED)
def test_with_a_timestamp_from_before(state: str) -> None:
    # RFC 7323 §5.3 R1: acknowledged and dropped.
    scene = Scene(state, stamps=True)
    scene.peer(numbers("P. rcv:rcv+10(10) ack nxt", scene, 0), stamp=99)
    scene.s.expect(numbers(ACK, scene, 0))
    scene.s.expect_nothing(for_ms=40)
    assert str(scene.s.state) == state.removesuffix(" (active)")
    assert scene.s.take_events() == 0
    assert scene.s.endpoint.counters.paws_drops == 1


@pytest.mark.parametrize("state", AGREED)
def test_equal_answers_are_limited_per_connection(state: str) -> None:
    # RFC 5961 §7
    scene = Scene(state)
    for _ in range(10):
        scene.peer(numbers(". rcv-1:rcv-1(0) ack nxt", scene, 0))
    scene.s.expect(numbers(ACK, scene, 0))
    scene.s.expect_nothing()
    scene.s.advance(ms=500)
    scene.s.take()
    scene.peer(numbers(". rcv-1:rcv-1(0) ack nxt", scene, 0))
    scene.s.expect(numbers(ACK, scene, 0))
