"""How a connection ends: RFC 9293 §3.6, Figures 12 and 13, and all that can go wrong there.

SYN and ACK travel together, FIN and ACK need not: the server may have more to say.
"""

from __future__ import annotations

import pytest

from tests.script.stage import Peer, opened
from utcp.config import Config
from utcp.core import Reason, events
from utcp.testing import MS, SECOND
from utcp.testing.segment_view import RST

MSL = 30 * SECOND


@pytest.mark.rfc("MUST-12", "MUST-13")
def test_figure_12_normal_close() -> None:
    a, b = opened()
    a.conn.close()
    fin = a.sends("F.")
    assert a.state == "FIN-WAIT-1"
    b.receives(fin)  # 2
    assert b.state == "CLOSE-WAIT"
    assert b.heard(events.EOF)
    ack = b.sends(".")
    assert ack.ack32 == (fin.seq32 + 1) & 0xFFFF_FFFF
    a.receives(ack)  # 3
    assert a.state == "FIN-WAIT-2"
    assert a.heard(events.FINISHED)
    b.conn.close()
    fin_b = b.sends("F.")
    assert b.state == "LAST-ACK"
    a.receives(fin_b)  # 4
    assert a.state == "TIME-WAIT"
    assert a.heard(events.CLOSED)
    assert a.reason is Reason.CLOSED
    last = a.sends(".")
    assert last.ack32 == (fin_b.seq32 + 1) & 0xFFFF_FFFF
    b.receives(last)  # 5
    assert b.state == "CLOSED"
    assert b.heard(events.CLOSED)
    assert b.reason is Reason.CLOSED
    assert b.has_nothing
    a.wait(2 * MSL - 1)
    assert a.state == "TIME-WAIT"
    a.wait(1)  # 6
    assert a.state == "CLOSED"
    assert a.has_nothing


def test_the_same_from_the_other_side() -> None:
    # Each state is seen on both sides: here the server closes first.
    a, b = opened()
    b.conn.close()
    a.receives(b.sends("F."))
    assert (a.state, b.state) == ("CLOSE-WAIT", "FIN-WAIT-1")
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("CLOSE-WAIT", "FIN-WAIT-2")
    a.conn.close()
    b.receives(a.sends("F."))
    assert (a.state, b.state) == ("LAST-ACK", "TIME-WAIT")
    a.receives(b.sends("."))
    assert (a.state, b.state) == ("CLOSED", "TIME-WAIT")
    b.wait(2 * MSL)
    assert b.has_nothing
    assert a.has_nothing
    assert a.reason is b.reason is Reason.CLOSED


def test_figure_13_simultaneous_close() -> None:
    a, b = opened()
    a.conn.close()
    b.conn.close()
    fin_a, fin_b = a.sends("F."), b.sends("F.")
    assert (a.state, b.state) == ("FIN-WAIT-1", "FIN-WAIT-1")
    a.receives(fin_b)
    b.receives(fin_a)
    assert (a.state, b.state) == ("CLOSING", "CLOSING")
    ack_a, ack_b = a.sends("."), b.sends(".")
    a.receives(ack_b)
    b.receives(ack_a)
    assert (a.state, b.state) == ("TIME-WAIT", "TIME-WAIT")
    assert a.reason is b.reason is Reason.CLOSED
    a.wait(2 * MSL)
    b.wait(0)
    assert a.has_nothing
    assert b.has_nothing


def test_three_segments_when_there_is_nothing_left_to_send() -> None:
    a, b = opened()
    a.conn.close()
    b.receives(a.sends("F."))
    assert b.heard(events.EOF)
    b.conn.close()  # at once, before the ACK is out: FIN and ACK travel together
    a.receives(b.sends("F."))
    assert a.state == "TIME-WAIT"
    b.receives(a.sends("."))
    assert b.state == "CLOSED"


@pytest.mark.rfc("SHLD-3")
def test_data_on_the_fin_after_close_reset() -> None:
    a, b = opened()
    a.conn.close()
    b.receives(a.sends("F."))
    b.conn.write(b"and one thing more")
    b.conn.close()
    a.receives(b.sends("F.", 18))
    assert a.sends("R.").rst
    assert a.state == "CLOSED"


@pytest.mark.rfc("MUST-12")
def test_half_close() -> None:
    """The client has said everything and hears the answer: for as long as the server likes."""
    a, b = opened()
    a.conn.write(b"the whole question")
    a.conn.write_eof()
    b.receives(a.sends("F.", 18))
    assert b.conn.read() == b"the whole question"
    assert b.heard(events.EOF)
    assert b.conn.at_eof
    a.receives(b.sends("."))
    assert (a.state, b.state) == ("FIN-WAIT-2", "CLOSE-WAIT")
    assert a.heard(events.FINISHED)
    for part in (b"the answer, ", b"the rest of it"):
        a.wait(3600 * SECOND)
        b.conn.write(part)
        a.receives(b.sends(".", len(part)))
        assert a.conn.read() == part
        assert a.is_silent()
        a.wait(100 * MS)
        b.receives(a.sends("."))  # a delayed ACK
        assert (a.state, b.state) == ("FIN-WAIT-2", "CLOSE-WAIT")
    b.conn.close()
    a.receives(b.sends("F."))
    assert (a.state, b.state) == ("TIME-WAIT", "LAST-ACK")
    b.receives(a.sends("."))
    assert b.state == "CLOSED"
    assert a.reason is b.reason is Reason.CLOSED


def test_half_close_by_the_server() -> None:
    a, b = opened()
    b.conn.write_eof()
    a.receives(b.sends("F."))
    b.receives(a.sends("."))
    a.conn.write(b"still talking")
    b.receives(a.sends(".", 13))
    assert b.conn.read() == b"still talking"
    assert (a.state, b.state) == ("CLOSE-WAIT", "FIN-WAIT-2")


def close_to_last_ack() -> tuple[Peer, Peer]:
    """A in TIME-WAIT, its last ACK not yet sent; B in LAST-ACK."""
    a, b = opened()
    a.conn.close()
    b.receives(a.sends("F."))
    a.receives(b.sends("."))
    b.conn.close()
    a.receives(b.sends("F."))
    assert (a.state, b.state) == ("TIME-WAIT", "LAST-ACK")
    return a, b


@pytest.mark.rfc("MUST-13")
def test_last_ack_lost() -> None:
    a, b = close_to_last_ack()
    a.sends(".")  # lost
    b.wait(SECOND)
    fin = b.sends("F.")  # LAST-ACK sends its FIN again,
    a.wait(2 * MSL - 2 * SECOND)
    a.receives(fin)  # late as it may be,
    last = a.sends(".")  # TIME-WAIT answers,
    a.wait(2 * MSL - 1)
    assert a.state == "TIME-WAIT"  # and waits 2 MSL from then on.
    b.all_sent()
    a.wait(1)
    assert a.has_nothing
    b.receives(last)
    assert b.state == "CLOSED"
    assert b.reason is Reason.CLOSED


def test_the_last_ack_never_arrives() -> None:
    a, b = close_to_last_ack()
    a.reboot()
    while b.state == "LAST-ACK":
        b.all_sent()  # lost
        b.wait(SECOND)
    assert b.reason is Reason.TIMED_OUT
    assert b.has_nothing


def test_the_peer_in_last_ack_is_gone() -> None:
    a, b = close_to_last_ack()
    a.reboot()
    b.wait(SECOND)
    a.receives(b.sends("F."))
    b.receives(a.sends("R"))
    assert b.state == "CLOSED"
    assert b.reason is Reason.RESET


def test_fin_lost() -> None:
    a, b = opened()
    a.conn.close()
    fin = a.sends("F.")  # lost
    a.wait(SECOND)
    again = a.sends("F.")
    assert again.seq32 == fin.seq32
    b.receives(again)
    assert b.state == "CLOSE-WAIT"


def test_ack_of_fin_lost() -> None:
    a, b = opened()
    a.conn.write_eof()
    b.receives(a.sends("F."))
    b.sends(".")  # lost
    assert (a.state, b.state) == ("FIN-WAIT-1", "CLOSE-WAIT")
    a.wait(SECOND)
    b.receives(a.sends("F."))
    a.receives(b.sends("."))
    assert (a.state, b.state) == ("FIN-WAIT-2", "CLOSE-WAIT")


def test_simultaneous_close_with_both_acks_lost() -> None:
    a, b = opened()
    a.conn.close()
    b.conn.close()
    fin_a, fin_b = a.sends("F."), b.sends("F.")
    a.receives(fin_b)
    b.receives(fin_a)
    a.sends(".")
    b.sends(".")
    a.wait(SECOND)
    b.wait(0)
    fin_a, fin_b = a.sends("F."), b.sends("F.")
    a.receives(fin_b)
    b.receives(fin_a)
    # RFC 9293 Appendix A.2: each FIN is old, but acknowledges the other one.
    assert (a.state, b.state) == ("TIME-WAIT", "TIME-WAIT")
    ack_a, ack_b = a.sends("."), b.sends(".")
    a.receives(ack_b)
    b.receives(ack_a)
    assert (a.state, b.state) == ("TIME-WAIT", "TIME-WAIT")


@pytest.mark.rfc("SHLD-3", "MUST-12")
def test_close_with_unread_data_resets() -> None:
    a, b = opened()
    b.conn.write(b"never read")
    a.receives(b.sends(".", 10))
    assert a.conn.readable == 10
    a.conn.close()
    reset = a.sends("R.")
    assert a.state == "CLOSED"
    assert a.reason is Reason.ABORTED
    b.receives(reset)
    assert b.state == "CLOSED"
    assert b.heard(events.CLOSED)
    assert b.reason is Reason.RESET


def test_close_with_everything_read_does_not() -> None:
    a, b = opened()
    b.conn.write(b"read")
    a.receives(b.sends(".", 4))
    a.conn.read()
    a.conn.close()
    a.sends("F.")
    assert a.state == "FIN-WAIT-1"


@pytest.mark.rfc("SHLD-3")
@pytest.mark.parametrize("acked", [False, True])
def test_data_after_close_reset(acked: bool) -> None:
    a, b = opened()
    a.conn.close()
    fin = a.sends("F.")
    if acked:
        b.receives(fin)
        a.receives(b.sends("."))
    b.conn.write(b"too late")
    a.receives(b.sends(".", 8))
    reset = a.sends("R.")
    assert a.state == "CLOSED"
    assert a.reason is Reason.ABORTED
    b.receives(reset)
    if not acked:
        # The FIN is lost, so the RST is ahead of what B expects: B asks back (RFC 5961 §3.2).
        challenge = b.sends(".")
        a.receives(challenge)
        b.receives(a.sends("R"))
    assert b.state == "CLOSED"
    assert b.reason is Reason.RESET


@pytest.mark.rfc("MUST-12")
def test_abort() -> None:
    a, b = opened()
    a.conn.write(b"this is dropped")
    a.conn.abort()
    assert a.conn.buffered == 0
    reset = a.sends("R.")
    assert a.has_nothing
    b.receives(reset)
    assert b.is_silent()
    assert b.has_nothing
    assert (a.reason, b.reason) == (Reason.ABORTED, Reason.RESET)
    assert a.heard(events.CLOSED)
    assert b.heard(events.CLOSED)


def test_a_reset_that_is_lost_is_made_again() -> None:
    a, b = opened()
    a.conn.abort()
    a.sends("R.")  # lost
    b.conn.write(b"are you there?")
    a.receives(b.sends(".", 14))
    b.receives(a.sends("R"))
    assert b.reason is Reason.RESET


def test_a_blind_reset_does_not_hit() -> None:
    # RFC 5961 §3.2: anywhere in the window but at its beginning, it gets a challenge; and the peer
    # that did not send it does nothing.
    a, b = opened()
    a.conn.write(b"x")
    guess = a.sends(".", 1)  # the attacker knows the addresses, and guesses the rest
    guess.flags = RST
    guess.seq32 = (guess.seq32 + 1000) & 0xFFFF_FFFF
    guess.payload = b""
    b.receives(guess)
    challenge = b.sends(".")
    a.receives(challenge)
    assert a.state == b.state == "ESTABLISHED"
    assert b.endpoint.counters.challenge_acks == 1


def test_closing_loses_nothing() -> None:
    a, b = opened()
    data = bytes(range(256)) * 400
    a.conn.write(data)
    a.conn.close()
    received = b""
    for _ in range(1000):
        b.receives(*a.all_sent())
        received += b.conn.read()
        a.receives(*b.all_sent())
        if b.heard(events.EOF):
            break
    assert received == data
    assert (a.state, b.state) == ("FIN-WAIT-2", "CLOSE-WAIT")


def test_a_peer_that_never_closes_does_not_keep_a_closed_connection() -> None:
    a, b = opened(Config(fin_wait2_timeout=5.0))
    a.conn.close()
    b.receives(a.sends("F."))
    a.receives(b.sends("."))
    assert a.is_silent()
    a.wait(5 * SECOND)
    assert a.has_nothing
    b.conn.write(b"anybody?")
    a.receives(b.sends(".", 8))
    b.receives(a.sends("R"))
    assert b.reason is Reason.RESET


@pytest.mark.rfc("SHLD-4")
def test_a_new_connection_from_time_wait() -> None:
    """RFC 6191: with a newer timestamp the old connection's rest need not be waited for."""
    a, b = opened()
    b.conn.close()
    a.receives(b.sends("F."))
    a.conn.close()
    b.receives(a.sends("F."))
    last = b.sends(".")
    a.receives(last)
    assert (a.state, b.state) == ("CLOSED", "TIME-WAIT")
    a.wait(2 * MS)
    a.connect()
    b.receives(a.sends("S"))
    assert b.state == "SYN-RECEIVED"
    syn_ack = b.sends("S.")
    # MAY-2 (1): above all that the old connection used.
    assert 0 < (syn_ack.seq32 - last.seq32) & 0xFFFF_FFFF < 1 << 31
    a.receives(syn_ack)
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")
    assert b.endpoint.time_wait_count == 0


@pytest.mark.rfc("SHLD-4", "MUST-13")
def test_the_side_in_time_wait_connects_again() -> None:
    a, b = close_to_last_ack()
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("TIME-WAIT", "CLOSED")
    assert not a.endpoint.can_reuse(a.clock.now, "B")
    with pytest.raises(ValueError, match="TIME-WAIT"):
        a.connect()
    a.wait(2 * MS)
    assert a.endpoint.can_reuse(a.clock.now, "B")
    a.connect()
    b.receives(a.sends("S"))
    a.receives(b.sends("S."))
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")


def test_it_does_not_without_timestamps() -> None:
    a, b = opened(Config(timestamps=False))
    a.conn.close()
    b.receives(a.sends("F."))
    b.conn.close()
    a.receives(b.sends("F."))
    a.wait(59 * SECOND)
    assert not a.endpoint.can_reuse(a.clock.now, "B")
    with pytest.raises(ValueError, match="TIME-WAIT"):
        a.connect()


def test_connecting_again_while_the_peer_is_in_last_ack() -> None:
    # The last ACK was lost, and instead of it a new SYN arrives: a half-open connection again.
    a, b = close_to_last_ack()
    a.sends(".")  # lost
    a.wait(2 * MS)
    a.connect()
    b.receives(a.sends("S"))
    assert b.state == "LAST-ACK"
    a.receives(b.sends("."))
    b.receives(a.sends("R"))
    assert b.state == "CLOSED"
    a.wait(SECOND)
    b.receives(a.sends("S"))
    a.receives(b.sends("S."))
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")
