"""Attackers off the path: they know addresses and ports, and have to guess all numbers.

RFC 5961: RST, SYN and data without the exact number change nothing, whatever the state. What a
guess must hit, and what it is answered with, is in `tests/script/test_arrival_matrix.py`; here
it is what a whole campaign of guesses comes to.
"""

from __future__ import annotations

import random

import pytest

from tests.attack.foe import ACK, FIN, PSH, RST, SYN, Foe, stamps
from tests.script.states import STATES, Scene
from utcp.config import Config
from utcp.core import Reason
from utcp.testing import SECOND, Script

SYNCHRONISED = tuple(STATES[STATES.index("ESTABLISHED") :])
GUESSES = 3000


def guesses(seed: int, window: int) -> list[int]:
    """Sequence numbers, relative: anywhere, or in the window, but never the right one."""
    rng = random.Random(seed)
    anywhere = [rng.getrandbits(32) for _ in range(GUESSES // 2)]
    inside = [rng.randrange(2, window) for _ in range(GUESSES // 2)]
    return [seq for seq in anywhere + inside if seq != 0]


@pytest.mark.parametrize("state", SYNCHRONISED)
@pytest.mark.parametrize("flags", ["R", "R.", "S", "S."])
def test_no_guess_but_the_exact_one_ends_a_connection(state: str, flags: str) -> None:
    scene = Scene(state)
    s = scene.s
    for guess in guesses(1, scene.window)[::20]:
        seq = scene.rcv + guess & 0xFFFF_FFFF
        s.inject(f"{flags} {seq}:{seq}(0) ack {scene.nxt} win 500")
    # RFC 5961 §7: one answer in half a second, however many guesses.
    assert len(s.take()) <= 1
    assert str(s.state) == state
    assert s.take_events() == 0


def test_a_reset_that_hits_exactly_ends_it() -> None:
    # RFC 5961 §3.2: for else nobody could reset anything.
    foe = Foe.opens()
    foe.send(RST, 1)
    assert foe.conn.reason is Reason.RESET


@pytest.mark.parametrize("ack", [None, 0, 2, 1 << 31, (1 << 32) - 1])
def test_a_reset_while_connecting_must_acknowledge_the_syn(ack: int | None) -> None:
    with Script() as s:
        s.connect()
        s.take()
        s.inject("R 0:0(0)" if ack is None else f"R. 0:0(0) ack {ack}")
        s.inject("R 1:1(0)" if ack is None else f"R. 1:1(0) ack {ack}")
        assert str(s.state) == "SYN-SENT"
        s.expect_nothing()


def test_challenges_are_as_few_in_a_minute_as_their_limit_says() -> None:
    foe = Foe.opens(Config(challenge_ack_interval=0.5))
    for at, guess in enumerate(guesses(2, 60_000)):
        foe.send((RST, SYN, SYN | ACK, ACK)[at % 4], guess, 1 << 31)
        foe.advance(20_000_000)  # a minute in all
    assert str(foe.state) == "ESTABLISHED"
    assert len(foe.take()) <= 121
    assert foe.went < foe.came / 10


@pytest.mark.parametrize("ack", [1 << 31, 2, 70_000, (1 << 32) - 70_000])
def test_data_without_an_acceptable_acknowledgment_is_not_taken(ack: int) -> None:
    # RFC 5961 §5.2
    foe = Foe.opens(Config(), window=1000)
    foe.send(PSH | ACK, 1, ack, b"injected")
    foe.send(PSH | ACK, 101, ack, b"injected")
    foe.send(FIN | ACK, 1, ack)
    assert len(foe.take()) <= 1
    assert foe.conn.readable == 0
    foe.send(PSH | ACK, 1, 1, bytes(200))
    assert foe.conn.read() == bytes(200)
    assert str(foe.state) == "ESTABLISHED"


def test_an_acknowledgment_from_before_the_first_byte_is_a_ghost() -> None:
    # RFC 5961 §5.2 allows what is as old as the greatest window, which may be 1 GiB: early in a
    # connection that reaches to numbers that were never used.
    foe = Foe.opens(wscale=14, window=65_535)
    assert foe.conn.snd.max_snd_wnd == 65_535 << 14
    foe.write(100)
    foe.ack(101)
    foe.take()
    for ack in (0, -1, -100_000, -(1 << 29)):
        foe.advance(SECOND)
        foe.send(PSH | ACK, 1, ack, b"injected")
        assert [segment.flags for segment in foe.take()] == [ACK]
    assert foe.conn.readable == 0


def test_data_without_a_timestamp_is_dropped_in_silence() -> None:
    # RFC 7323 §3.2: so whoever guesses has 32 more bits to think of.
    foe = Foe.opens(stamp=1000)
    for seq in range(1, 60_000, 100):
        foe.send(PSH | ACK, seq, 1, bytes(100))
    assert foe.take() == []
    assert foe.conn.readable == foe.conn.rcv.reassembly.nbytes == 0


def test_old_timestamps_are_dropped_and_forgotten() -> None:
    # RFC 7323 §5.3 R1. TS.Recent is not theirs to set, or the peer's would be the old ones.
    foe = Foe.opens(stamp=1000)
    for val in (999, 500, 1000 - (1 << 31) + 1, 1000 + (1 << 31)):
        foe.advance(SECOND)
        foe.send(PSH | ACK, 1, 1, b"injected", options=[stamps(val)])
        assert foe.take()[-1].timestamps is not None
        assert foe.conn.rcv.ts_recent == 1000
    assert foe.conn.readable == 0
    foe.send(PSH | ACK, 1, 1, b"fine", options=[stamps(1000)])
    assert foe.conn.read() == b"fine"


@pytest.mark.parametrize(
    ("seq", "ack", "data"),
    [
        (1, 1 << 31, b"injected"),  # the ACK is out of range
        (101, 1, b"injected"),  # ahead of what was acknowledged last
        (70_000, 1, b"injected"),  # outside of the window
        (70_000, 1, b""),
        (0, 1 << 30, b""),
    ],
)
def test_a_forged_timestamp_from_the_future_does_not_stay(seq: int, ack: int, data: bytes) -> None:
    # RFC 7323 §4.3 (2), §5.3: else everything that the peer sends would from then on be old.
    config = Config(recv_buffer=65_536)
    foe = Foe.opens(config, stamp=1000)
    foe.send(PSH | ACK, seq, ack, data, options=[stamps(1000 + (1 << 30))])
    assert foe.conn.rcv.ts_recent == 1000
    foe.send(PSH | ACK, 1, 1, b"fine", options=[stamps(1001)])
    assert foe.conn.read() == b"fine"


def test_a_segment_from_another_port_is_a_stranger() -> None:
    foe = Foe.opens()
    foe.send(RST, 1, addr=("192.0.2.1", 4322))
    foe.send(PSH | ACK, 1, 1, b"injected", addr=("192.0.2.7", 4321))
    assert foe.addresses == [("192.0.2.7", 4321)]
    assert [segment.rst for segment in foe.take()] == [True]
    assert str(foe.state) == "ESTABLISHED"
    assert foe.conn.readable == 0


@pytest.mark.parametrize("state", ["SYN-RECEIVED", *SYNCHRONISED])
@pytest.mark.parametrize("stamped", [False, True])
def test_random_segments_change_nothing(state: str, stamped: bool) -> None:
    """All flags, numbers that are nearly always wrong: no bytes, no events, few answers."""
    scene = Scene(state, stamps=stamped)
    s = scene.s
    endpoint = s.endpoint
    rng = random.Random(7)
    answers = 0
    for _ in range(1000):
        # Not within the window, which a random number hits once in 65,000.
        seq = (scene.rcv + rng.randrange(100_000, (1 << 32) - 100_000)) & 0xFFFF_FFFF
        header = bytes((0x50, rng.randrange(256), 1, 0)) + (seq + 1000 & 0xFFFF_FFFF).to_bytes(4)
        data = header + rng.randbytes(4)
        endpoint.receive(s.now, s.peer, data, len(data))
        endpoint.settle()
        while endpoint.poll_transmit(s.now) is not None:
            answers += 1
    assert endpoint.poll_ready() is None
    assert str(s.state) == state
    # An out-of-window FIN is answered, for the peer may wait for just that; nothing else is, but
    # once.
    assert answers <= (1 if stamped else 300)


# -- the handshake -----------------------------------------------------------------------------

REAL = "S. 0:0(0) ack 1 win 1000 <mss 1460,sackOK,nop,wscale 7>"
FORGED = "S 7000000:7000000(0) win 5 <mss 100>"


def connecting() -> Script:
    s = Script(config=Config(ecn=False, timestamps=False), peer_iss=1000)
    s.connect()
    s.take()
    return s


def test_a_forged_syn_does_not_keep_us_from_connecting() -> None:
    # Simultaneous open needs no number that is hard to guess. So what it brings about is not
    # believed for longer than until a SYN,ACK shows that its sender has seen our SYN.
    with connecting() as s:
        s.inject(FORGED)
        s.expect("S. 0:0(0) ack 7000001")
        s.inject(REAL)
        s.expect(". 1:1(0) ack 1")
        assert str(s.state) == "ESTABLISHED"
        info = s.conn.info()
        assert (info.snd_mss, info.snd_wnd, info.rcv_wscale > 0) == (1460, 1000, True)
        assert "sack" in info.options
        # What the server answered to our answer comes now.
        s.inject("R 7000001:7000001(0)")
        assert str(s.state) == "ESTABLISHED"
