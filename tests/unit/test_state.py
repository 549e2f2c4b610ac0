"""The states and the moves between them."""

from __future__ import annotations

import pytest

from utcp.config import Config
from utcp.core import Endpoint, Reason, State
from utcp.core.state import SYNCHRONIZED, TRANSITIONS, dot


def test_eleven_states() -> None:
    assert len(State) == 11
    assert TRANSITIONS.keys() == set(State)
    assert {str(state) for state in State} == {
        "CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2",
        "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
    }  # fmt: skip


def test_every_state_is_reached_from_closed_and_leads_back_to_it() -> None:
    reached = {State.CLOSED}
    while more := {b for a in reached for b in TRANSITIONS[a]} - reached:
        reached |= more
    assert reached == set(State)
    for state in State:
        assert state is State.CLOSED or State.CLOSED in TRANSITIONS[state]


def test_moves_of_figure_5() -> None:
    # RFC 9293 §3.3.2, the arrows of the diagram.
    for move in (
        "CLOSED LISTEN", "CLOSED SYN-SENT", "LISTEN SYN-RECEIVED", "LISTEN CLOSED",
        "SYN-SENT SYN-RECEIVED", "SYN-SENT ESTABLISHED", "SYN-SENT CLOSED",
        "SYN-RECEIVED ESTABLISHED", "SYN-RECEIVED FIN-WAIT-1", "ESTABLISHED FIN-WAIT-1",
        "ESTABLISHED CLOSE-WAIT", "FIN-WAIT-1 FIN-WAIT-2", "FIN-WAIT-1 CLOSING",
        "FIN-WAIT-2 TIME-WAIT", "CLOSING TIME-WAIT", "CLOSE-WAIT LAST-ACK", "LAST-ACK CLOSED",
        "TIME-WAIT CLOSED",
    ):  # fmt: skip
        before, after = (State[name.replace("-", "_")] for name in move.split())
        assert after in TRANSITIONS[before], move


def test_synchronized() -> None:
    assert set(State) - SYNCHRONIZED == {
        State.CLOSED,
        State.LISTEN,
        State.SYN_SENT,
        State.SYN_RECEIVED,
    }


def test_other_moves_are_refused() -> None:
    conn = Endpoint(Config(), bytes(16)).connect(0, "peer")
    with pytest.raises(AssertionError, match="no transition from SYN-SENT to TIME-WAIT"):
        conn.move(State.TIME_WAIT)
    assert conn.state is State.SYN_SENT
    assert conn.reason is Reason.NONE


def test_dot() -> None:
    text = dot()
    assert text.startswith("digraph tcp {\n")
    assert '"SYN-SENT" -> "ESTABLISHED";' in text
    assert text.count("->") == sum(map(len, TRANSITIONS.values()))
