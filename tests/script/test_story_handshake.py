"""How a connection opens, and why that takes three segments: RFC 9293 §3.5, Figures 6 to 11.

The comments with numbers are the lines of the figures.
"""

from __future__ import annotations

import pytest

from tests.script.stage import Peer, opened, raw, stage
from utcp.config import Config
from utcp.core import Reason, events
from utcp.testing import SECOND


def test_figure_6_three_segments() -> None:
    a, b = stage()
    b.listen()
    assert (a.state, b.state) == ("CLOSED", "CLOSED")  # B listens, but has no connection
    a.connect()
    syn = a.sends("S")
    assert a.state == "SYN-SENT"
    b.receives(syn)  # 2
    assert b.state == "SYN-RECEIVED"
    syn_ack = b.sends("S.")
    assert syn_ack.ack32 == (syn.seq32 + 1) & 0xFFFF_FFFF
    a.receives(syn_ack)  # 3
    assert a.state == "ESTABLISHED"
    assert a.heard(events.CONNECTED)
    assert not b.has_connection
    ack = a.sends(".")
    assert ack.seq32 == syn_ack.ack32
    assert ack.ack32 == (syn_ack.seq32 + 1) & 0xFFFF_FFFF
    b.receives(ack)  # 4
    assert b.state == "ESTABLISHED"
    assert b.heard(events.CONNECTED)
    a.conn.write(b"data")
    data = a.sends(".", 4)
    # The ACK does not take sequence space; if it did, ACKs would be acknowledged.
    assert data.seq32 == ack.seq32
    b.receives(data)  # 5
    assert b.conn.read() == b"data"


@pytest.mark.rfc("MUST-10")
def test_figure_7_simultaneous_open() -> None:
    a, b = stage()
    a.connect()
    b.connect()
    syn_a, syn_b = a.sends("S"), b.sends("S")
    assert (a.state, b.state) == ("SYN-SENT", "SYN-SENT")
    a.receives(syn_b)  # 3
    assert a.state == "SYN-RECEIVED"
    b.receives(syn_a)  # 4
    assert b.state == "SYN-RECEIVED"
    syn_ack_a, syn_ack_b = a.sends("S."), b.sends("S.")
    assert syn_ack_a.seq32 == syn_a.seq32
    a.receives(syn_ack_b)  # 6
    assert a.state == "ESTABLISHED"
    b.receives(syn_ack_a)  # 7
    assert b.state == "ESTABLISHED"
    # It is one connection, and it works in both directions.
    assert len(a.endpoint.connections()) == len(b.endpoint.connections()) == 1
    a.conn.write(b"from A")
    b.conn.write(b"from B")
    from_a, from_b = a.sends(".", 6), b.sends(".", 6)
    a.receives(from_b)
    b.receives(from_a)
    assert (a.conn.read(), b.conn.read()) == (b"from B", b"from A")


@pytest.mark.rfc("MUST-10")
def test_simultaneous_open_with_a_syn_ack_lost() -> None:
    a, b = stage()
    a.connect()
    b.connect()
    syn_a, syn_b = a.sends("S"), b.sends("S")
    a.receives(syn_b)
    b.receives(syn_a)
    a.sends("S.")  # lost
    a.receives(b.sends("S."))
    assert (a.state, b.state) == ("ESTABLISHED", "SYN-RECEIVED")
    b.wait(SECOND)
    again = b.sends("S.")
    a.receives(again)
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")


@pytest.mark.rfc("MUST-10", "MUST-41", "MUST-42")
def test_simultaneous_open_while_listening() -> None:
    a, b = stage()
    a.listen()
    b.listen()
    a.connect()
    b.connect()
    syn_a, syn_b = a.sends("S"), b.sends("S")
    a.receives(syn_b)
    b.receives(syn_a)
    syn_ack_a, syn_ack_b = a.sends("S."), b.sends("S.")
    a.receives(syn_ack_b)
    b.receives(syn_ack_a)
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")
    assert not a.conn.passive
    assert a.endpoint.listening


def test_figure_8_old_duplicate_syn() -> None:
    a, b = stage()
    b.listen()
    a.connect()
    old = a.sends("S")  # of a connection that A has given up long ago
    a.conn.close()
    assert a.is_silent()
    a.wait(100 * SECOND)
    a.connect()
    syn = a.sends("S")  # 2, delayed
    assert syn.seq32 != old.seq32
    b.receives(old)  # 3
    assert b.state == "SYN-RECEIVED"
    a.receives(b.sends("S."))  # 4: it acknowledges what A has not sent
    assert a.state == "SYN-SENT"
    reset = a.sends("R")
    assert reset.seq32 == (old.seq32 + 1) & 0xFFFF_FFFF
    b.receives(reset)  # 5
    assert b.has_nothing
    assert not b.has_connection
    assert b.endpoint.listening
    b.receives(syn)  # 6
    a.receives(b.sends("S."))  # 7
    b.receives(a.sends("."))  # 8
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")
    assert b.told == events.CONNECTED


@pytest.mark.rfc("MUST-11")
def test_why_there_is_a_third_segment() -> None:
    """An old duplicate SYN arrives when its connection is long gone.

    With two segments the server would now have a connection that nobody wants. It answers, but
    believes nothing before the client has acknowledged that answer; and the client resets it.
    """
    a, b = stage(Config(msl=1.0))
    b.listen()
    a.connect()
    syn = a.sends("S")
    b.receives(syn)
    a.receives(b.sends("S."))
    b.receives(a.sends("."))
    # The connection is used, closed, and forgotten on both sides.
    a.conn.close()
    b.receives(a.sends("F."))
    b.conn.close()
    a.receives(b.sends("F."))
    b.receives(a.sends("."))
    a.wait(2 * SECOND)
    assert a.has_nothing
    assert b.has_nothing
    b.told = 0

    b.receives(syn)  # the network delivers the first segment a second time
    assert b.state == "SYN-RECEIVED"
    a.receives(b.sends("S."))  # the server makes an offer,
    reset = a.sends("R")  # and the client knows nothing of it.
    b.receives(reset)
    assert b.is_silent()
    assert b.has_nothing
    assert b.told == 0


@pytest.mark.rfc("MUST-11")
def test_the_same_while_the_client_waits_in_time_wait() -> None:
    # RFC 9293 §3.6.1 (MAY-2) (2): back to TIME-WAIT, if the SYN turns out to be an old duplicate.
    a, b = stage(Config(timestamps=False))
    b.listen()
    a.connect()
    old = a.sends("S")
    b.receives(old)
    a.receives(b.sends("S."))
    b.receives(a.sends("."))
    b.conn.close()
    a.receives(b.sends("F."))
    a.conn.close()
    b.receives(a.sends("F."))
    a.receives(b.sends("."))
    assert (a.state, b.state) == ("CLOSED", "TIME-WAIT")
    a.wait(10 * SECOND)
    # A would like to connect again, but gives up; this SYN is late.
    a.connect()
    late = a.sends("S")
    a.conn.close()
    a.wait(SECOND)
    b.told = 0
    b.receives(late)
    assert b.state == "SYN-RECEIVED"
    a.receives(b.sends("S."))
    b.receives(a.sends("R"))
    assert b.state == "TIME-WAIT"
    assert b.told == 0
    b.wait(60 * SECOND)
    assert b.has_nothing


@pytest.mark.rfc("MUST-12")
def test_figure_9_half_open_connection_discovery() -> None:
    a, b = opened()
    a.reboot()  # 1
    a.connect()
    syn = a.sends("S")
    b.receives(syn)  # 3
    assert b.state == "ESTABLISHED"
    challenge = b.sends(".")
    a.receives(challenge)  # 4
    assert a.state == "SYN-SENT"
    reset = a.sends("R")
    assert reset.seq32 == challenge.ack32
    b.receives(reset)  # 5
    assert b.state == "CLOSED"
    assert b.heard(events.CLOSED)
    assert b.reason is Reason.RESET
    assert b.is_silent()
    a.wait(SECOND)
    b.receives(a.sends("S"))  # 7
    a.receives(b.sends("S."))
    assert a.state == "ESTABLISHED"


@pytest.mark.rfc("MUST-12")
def test_figure_10_active_side_causes_half_open_connection_discovery() -> None:
    a, b = opened()
    a.reboot()
    b.conn.write(b"0123456789")
    data = b.sends(".", 10)
    a.receives(data)  # 2
    reset = a.sends("R")
    assert reset.seq32 == data.ack32
    b.receives(reset)  # 3
    assert b.state == "CLOSED"
    assert b.reason is Reason.RESET


@pytest.mark.rfc("MUST-11")
def test_figure_11_old_duplicate_syn_and_two_passive_sockets() -> None:
    a, b = stage()
    b.listen()
    a.connect()
    old = a.sends("S")
    a.reboot()
    a.listen()
    b.receives(old)  # 2
    assert b.state == "SYN-RECEIVED"
    a.receives(b.sends("S."))  # 3
    assert a.state == "CLOSED"
    b.receives(a.sends("R"))  # 4
    assert b.has_nothing  # 5
    assert a.has_nothing
    assert a.endpoint.listening
    assert b.endpoint.listening
    assert a.told == b.told == 0


@pytest.mark.rfc("MUST-22", "MUST-23")
def test_nobody_answers() -> None:
    a, _ = stage()
    a.connect()
    first = a.clock.now
    sent = 0
    while a.state == "SYN-SENT":
        segments = a.all_sent()
        assert all(segment.flag_letters() in ("S", "SEW") for segment in segments)
        sent += len(segments)
        a.wait(SECOND)
    assert a.reason is Reason.TIMED_OUT
    assert sent == 8
    assert a.clock.now - first >= 180 * SECOND
    assert a.has_nothing


def test_nobody_listens() -> None:
    a, b = stage()
    a.connect()
    syn = a.sends("S")
    b.receives(syn)
    reset = b.sends("R.")
    assert reset.seq32 == 0
    assert reset.ack32 == (syn.seq32 + 1) & 0xFFFF_FFFF
    a.receives(reset)
    assert a.state == "CLOSED"
    assert a.reason is Reason.REFUSED
    assert a.is_silent()
    assert a.has_nothing


def test_syn_lost() -> None:
    a, b = stage()
    b.listen()
    a.connect()
    a.sends("S")  # lost
    a.wait(SECOND)
    b.receives(a.sends("S"))
    a.receives(b.sends("S."))
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")


def test_syn_ack_lost() -> None:
    a, b = stage()
    b.listen()
    a.connect()
    b.receives(a.sends("S"))
    first = b.sends("S.")  # lost
    a.wait(SECOND)
    b.receives(a.sends("S"))
    again = b.sends("S.")
    assert again.seq32 == first.seq32
    assert again.ack32 == first.ack32
    a.receives(again)
    b.receives(a.sends("."))
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")


def test_third_segment_lost() -> None:
    a, b = opened_half()
    a.sends(".")  # lost
    assert (a.state, b.state) == ("ESTABLISHED", "SYN-RECEIVED")
    b.wait(SECOND)
    a.receives(b.sends("S."))
    b.receives(a.sends("."))
    assert b.state == "ESTABLISHED"


def test_third_segment_lost_but_data_follow() -> None:
    a, b = opened_half()
    a.sends(".")  # lost
    a.conn.write(b"data")
    b.receives(a.sends(".", 4))
    assert b.state == "ESTABLISHED"
    assert b.told == events.CONNECTED | events.READABLE
    assert b.conn.read() == b"data"


def test_third_segment_lost_but_fin_follows() -> None:
    a, b = opened_half()
    a.sends(".")  # lost
    a.conn.close()
    b.receives(a.sends("F."))
    assert b.state == "CLOSE-WAIT"
    assert b.told == events.CONNECTED | events.EOF


def test_a_half_open_server_forgets() -> None:
    a, b = stage(Config(synack_retries=3))
    b.listen()
    a.connect()
    b.receives(a.sends("S"))
    count = 0
    for _ in range(30):
        count += len(b.all_sent())
        b.wait(SECOND)
    assert count == 4
    assert b.has_nothing
    assert b.told == 0


def test_the_backlog_bounds_the_handshakes() -> None:
    _, b = stage(Config(syn_cookies="never"))
    b.endpoint.listen(backlog=2)
    now = b.clock.now
    a, _ = stage()
    a.connect()
    syn = a.sends("S")
    for addr in ("C", "D", "E"):
        data = raw(syn)
        b.endpoint.receive(now, addr, data, len(data))
    assert len(b.endpoint.connections()) == 2
    assert b.endpoint.counters.connections_refused == 1
    assert str(b.endpoint.state("E")) == "CLOSED"


def opened_half() -> tuple[Peer, Peer]:
    """A has the SYN-ACK, B waits for its acknowledgment."""
    a, b = stage()
    b.listen()
    a.connect()
    b.receives(a.sends("S"))
    a.receives(b.sends("S."))
    return a, b
