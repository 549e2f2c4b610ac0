"""Peers that change their mind: the same numbers with other bytes, in every order.

What came first stands. Nothing is delivered twice, nothing that was delivered or held changes,
and FIN is where it was first said to be.
"""

from __future__ import annotations

import random

import pytest

from tests.attack.foe import ACK, FIN, PSH, SYN, Foe, stamps
from utcp.config import Config
from utcp.core import events
from utcp.testing import SECOND

CONFIG = Config(recv_buffer=65_536)


def reader(**knobs: int) -> Foe:
    foe = Foe.opens(CONFIG, **knobs)  # type: ignore[arg-type]
    foe.reads = True
    return foe


def test_what_was_delivered_is_not_delivered_again() -> None:
    foe = reader()
    foe.send(PSH | ACK, 1, 1, b"first")
    foe.send(PSH | ACK, 1, 1, b"again")
    foe.send(PSH | ACK, 1, 1, b"again!")
    assert foe.data == b"first!"


def test_what_is_held_does_not_change() -> None:
    foe = reader()
    foe.send(PSH | ACK, 4, 1, b"DEF")
    foe.send(PSH | ACK, 4, 1, b"xxx")
    foe.send(PSH | ACK, 3, 1, b"Cxxx")
    foe.send(PSH | ACK, 6, 1, b"xG")
    foe.send(PSH | ACK, 1, 1, b"ABxxxxxH")
    assert foe.data == b"ABCDEFGH"


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("stamped", [False, True])
def test_in_any_order_the_first_copy_wins(seed: int, stamped: bool) -> None:
    """Random segments over one range, each with bytes of its own; a model keeps the first."""
    rng = random.Random(seed)
    foe = reader(stamp=1000) if stamped else reader()
    size = 4000
    first: dict[int, int] = {}
    delivered = 0
    for _ in range(1000):
        if delivered == size:
            break
        start = rng.randrange(max(0, delivered - 100), min(size, delivered + 300))
        length = rng.choice([1, 1, 2, 10, 100, 500])
        data = bytes([rng.randrange(256)]) * min(length, size - start)
        for offset in range(len(data)):
            if start + offset >= delivered:
                first.setdefault(start + offset, data[0])
        while delivered in first:
            delivered += 1
        options = [stamps(1000)] if stamped else None
        foe.send(PSH | ACK, 1 + start, 1, data, options=options)
        assert len(foe.data) == delivered
    assert foe.data == bytes(first[at] for at in range(delivered))
    assert delivered > size // 2


def test_trains_that_overlap_themselves() -> None:
    foe = reader(stamp=1000)
    parts = [
        foe.segment(PSH | ACK, seq, 1, text, options=[stamps(1000)])
        for seq, text in ((1, b"abcd"), (3, b"XXXX"), (1, b"YYYY"), (7, b"ghij"), (5, b"ZZZZ"))
    ]
    foe.deliver(b"".join(parts), len(parts[0]))
    assert foe.data == b"abcdXXghij"


# -- FIN ---------------------------------------------------------------------------------------


def test_behind_the_fin_there_is_nothing() -> None:
    foe = reader()
    foe.send(FIN | PSH | ACK, 1, 1, b"the end")
    assert foe.events & events.EOF
    for seq in (8, 9, 10, 100):
        foe.send(PSH | ACK, seq, 1, b"and more")
    assert foe.data == b"the end"
    assert str(foe.state) == "CLOSE-WAIT"


def test_a_fin_ahead_cuts_what_comes_later() -> None:
    foe = reader()
    foe.send(FIN | ACK, 11, 1)
    foe.send(PSH | ACK, 6, 1, b"fghijKLMNOP")
    foe.send(PSH | ACK, 1, 1, b"abcde")
    assert foe.data == b"abcdefghij"
    assert str(foe.state) == "CLOSE-WAIT"


def test_a_second_fin_elsewhere_is_none() -> None:
    foe = reader()
    foe.send(FIN | ACK, 11, 1)
    foe.send(FIN | ACK, 6, 1)
    foe.send(FIN | ACK, 21, 1)
    foe.send(PSH | ACK, 1, 1, b"abcdefghijklmnopqrst")
    assert foe.data == b"abcdefghij"


def test_a_fin_in_front_of_what_is_held_is_none() -> None:
    foe = reader()
    foe.send(PSH | ACK, 11, 1, b"klmno")
    foe.send(FIN | ACK, 6, 1)
    foe.send(PSH | ACK, 1, 1, b"abcdefghij")
    assert foe.data == b"abcdefghijklmno"
    assert str(foe.state) == "ESTABLISHED"


@pytest.mark.parametrize("seq", [65_538, 70_000, 1 << 20, 1 << 31])
def test_a_fin_beyond_the_window_is_not_remembered(seq: int) -> None:
    foe = reader()
    foe.send(FIN | ACK, seq, 1)
    assert foe.conn.rcv.fin_seq < 0
    for at in range(1, 100_001, 1000):
        foe.send(PSH | ACK, at, 1, bytes(1000))
    assert len(foe.data) == 100_000
    assert str(foe.state) == "ESTABLISHED"


# -- SYN ---------------------------------------------------------------------------------------


def test_data_and_fin_on_syns() -> None:
    foe = Foe(CONFIG)
    foe.reads = True
    foe.endpoint.listen()
    # RFC 9293 §3.10.7.2 step 3 lets both wait; here they are sent again by whoever means them.
    foe.send(SYN | FIN, 0, data=b"early")
    syn_ack = foe.take()[-1]
    foe.iss = syn_ack.seq32
    assert syn_ack.payload == b""
    foe.send(ACK, 1, 1)
    assert foe.data == b""
    foe.send(PSH | ACK, 1, 1, b"early")
    assert foe.data == b"early"
    foe.send(SYN | PSH | ACK, 6, 1, b"injected")
    foe.advance(SECOND)
    foe.send(SYN | PSH, 5, 0, b"injected")
    assert foe.data == b"early"
    assert str(foe.state) == "ESTABLISHED"


# -- trains ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stamped", [False, True])
def test_a_train_behind_a_reset_goes_nowhere(stamped: bool) -> None:
    """One that was cut by UDP_GRO: what follows the RST belongs to no connection any more. A
    kernel would answer it; here it is taken for what was on the way."""
    foe = reader(stamp=1000) if stamped else reader()
    options = [stamps(1000)] if stamped else []
    data = foe.segment(PSH | ACK, 1, 1, b"abcd", options=options)
    reset = foe.segment(4 | ACK, 5, 1, b"....", options=options)
    after = foe.segment(PSH | ACK, 5, 1, b"XXXX", options=options)
    syn = foe.segment(SYN, 50_000, 0, b"....", options=options)
    foe.endpoint.listen()
    foe.deliver(data + reset + after + reset + syn + b"\x00" * len(data), len(data))
    assert foe.conn.readable + len(foe.data) == 4
    assert foe.take() == []
    assert str(foe.state) == "CLOSED"
    assert foe.endpoint.idle
    # The SYN comes again, and is welcome.
    foe.send(SYN, 50_000)
    assert foe.take()[-1].syn


def test_a_train_behind_the_last_fin_is_not_text() -> None:
    foe = reader()
    foe.conn.write_eof()
    foe.turn()
    foe.ack(2)
    fin = foe.segment(FIN | ACK, 1, 2, b"last")
    more = foe.segment(PSH | ACK, 5, 2, b"more")
    reset = foe.segment(4 | ACK, 6, 2, b"....")
    foe.take()
    foe.deliver(fin + more + reset + more + fin, len(fin))
    assert str(foe.state) == "TIME-WAIT"  # RFC 1337: the RST does not end it
    assert foe.conn.readable + len(foe.data) == 4
    assert len(foe.take()) <= 2


@pytest.mark.parametrize("stride", [1, 11, 12, 13, 24, 25, 40, 1000])
def test_trains_of_garbage(stride: int) -> None:
    rng = random.Random(stride)
    foe = reader(stamp=1000)
    for _ in range(30):
        # The first nibble says "ours" often enough.
        datagrams = [
            bytes((rng.randrange(0x40, 0x100),)) + rng.randbytes(stride - 1) for _ in range(60)
        ]
        foe.deliver(b"".join(datagrams), stride)
    assert foe.data == b""
    assert foe.conn.readable == 0
    assert str(foe.state) == "ESTABLISHED"
    assert len(foe.take()) <= 1 + 60
