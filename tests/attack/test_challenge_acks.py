"""Answers as a tool: to learn what they are about, to hit somebody else, or to have two ends
answer each other for ever.

Every answer is bounded by what came, in number and in bytes, and what one address gets does not
depend on what others send (CVE-2016-5696).
"""

from __future__ import annotations

import pytest

from tests.attack.foe import ACK, ADDRESS, FIN, PSH, RST, SYN, Foe, stamps
from tests.script.stage import opened
from tests.script.states import STATES, Scene
from utcp.config import Config
from utcp.core import Endpoint
from utcp.testing import MS, SECOND, SegmentView, encode_segment

ME = ("198.51.100.66", 6666)
SPOOFED = ("192.0.2.1", 1000)


def answers(endpoint: Endpoint, now: int) -> dict[object, list[SegmentView]]:
    """What goes out, by address."""
    out: dict[object, list[SegmentView]] = {}
    while (burst := endpoint.poll_transmit(now)) is not None:
        out.setdefault(burst.addr, []).append(SegmentView(burst.data))
    return out


# -- what can be learnt ------------------------------------------------------------------------


def resets_for_me(probes: int, connected: bool) -> int:
    """How many RSTs I get for 200 strays, if I have first sent some in somebody else's name."""
    foe = Foe.opens() if connected else Foe()
    for _ in range(probes):
        foe.send(ACK, 1 << 30, 1 << 30)
    foe.endpoint.poll_transmit(foe.now)
    for _ in range(200):
        data = encode_segment(ACK, 1, 1)
        foe.endpoint.receive(foe.now, ME, data, len(data))
    return len(answers(foe.endpoint, foe.now).get(ME, []))


def test_the_number_of_my_resets_says_nothing_of_others() -> None:
    # Whether there is a connection with an address that is not mine.
    seen = {
        resets_for_me(probes, connected)
        for probes in (0, 1, 50, 500)
        for connected in (False, True)
    }
    assert seen == {Config().reset_rate}


def test_challenges_of_one_connection_are_not_counted_with_those_of_another() -> None:
    endpoint = Endpoint(Config(), bytes(32))
    endpoint.listen()
    now = SECOND
    isses = {}
    for number in range(100):
        addr = ("192.0.2.1", number)
        syn = encode_segment(SYN, 0)
        endpoint.receive(now, addr, syn, len(syn))
        isses[addr] = answers(endpoint, now)[addr][0].seq32
        last = encode_segment(ACK, 1, isses[addr] + 1)
        endpoint.receive(now, addr, last, len(last))
    assert answers(endpoint, now) == {}
    # All at once, each is challenged: there is no common number to be used up.
    for _ in range(3):
        for addr in isses:
            data = encode_segment(SYN, 77)
            endpoint.receive(now, addr, data, len(data))
    out = answers(endpoint, now)
    assert {addr: len(found) for addr, found in out.items()} == dict.fromkeys(isses, 1)


@pytest.mark.parametrize("seq", [1, 30_000, 70_000, 1 << 31])
def test_what_a_guess_was_worth_is_not_told_to_who_guessed(seq: int) -> None:
    # All answers go to the connection's own peer, whoever sent what they answer.
    foe = Foe.opens(Config(recv_buffer=65_536))
    for flags in (SYN, RST, ACK, PSH | ACK):
        foe.send(flags, seq + (flags == RST), 1 << 31)
    assert set(foe.addresses) <= {ADDRESS}


# -- somebody else -----------------------------------------------------------------------------

SEGMENTS = [
    encode_segment(flags, 77_000, 99_000, payload=payload)
    for flags in (SYN | ACK, ACK, PSH | ACK, FIN | ACK, FIN, RST, RST | ACK)
    for payload in (b"", b"x", bytes(1000))
]


@pytest.mark.parametrize("state", ["CLOSED", "LISTEN"])
def test_a_stray_is_answered_with_no_more_than_it_was(state: str) -> None:
    # A SYN for a listener is not one: see the tests of SYN floods.
    for data in SEGMENTS:
        endpoint = Endpoint(Config(), bytes(32))
        if state == "LISTEN":
            endpoint.listen()
        endpoint.receive(SECOND, SPOOFED, data, len(data))
        out = answers(endpoint, SECOND)
        assert sum(len(found) for found in out.values()) <= 1
        assert endpoint.poll_transmit(SECOND) is None
        for (answer,) in out.values():
            assert answer.payload == b""
            assert len(answer.options) <= 3  # timestamps, if it had them
            assert (24 if answer.timestamps else 12) <= len(data)
        # And nothing is remembered, so nothing is sent again.
        assert endpoint.idle
        assert not endpoint.connections()


def test_strays_in_the_name_of_one_host_reach_it_at_a_bounded_rate() -> None:
    endpoint = Endpoint(Config(reset_rate=20), bytes(32))
    data = encode_segment(ACK, 1, 1)
    went = 0
    for at in range(5000):
        now = SECOND + at * MS
        endpoint.receive(now, ("192.0.2.1", at), data, len(data))
        went += sum(len(found) for found in answers(endpoint, now).values())
    assert went <= 20 * 6


def test_strays_of_many_hosts_are_remembered_for_a_second_at_most() -> None:
    endpoint = Endpoint(Config(), bytes(32))
    data = encode_segment(ACK, 1, 1)
    for at in range(20_000):
        endpoint.receive(SECOND, (f"h{at}", 1), data, len(data))
        endpoint.poll_transmit(SECOND)
    assert len(endpoint._agenda.resets._spent) <= 1024


@pytest.mark.parametrize("state", STATES[STATES.index("ESTABLISHED") :])
def test_no_state_answers_more_than_it_gets(state: str) -> None:
    """Whatever comes with numbers that are wrong: one segment at most for each, of which bare
    ones are limited, and those for data are ACKs."""
    scene = Scene(state, stamps=True)
    endpoint, now, peer = scene.s.endpoint, scene.s.now, scene.s.peer
    for flags in (SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK):
        for payload in (b"", b"x" * 100):
            data = encode_segment(flags, 1 << 31, 1 << 31, options=[stamps(50)], payload=payload)
            endpoint.receive(now, peer, data, len(data))
            endpoint.settle()
            out = []
            while (burst := endpoint.poll_transmit(now)) is not None:
                out.append(burst)
            assert len(out) <= 1
            if out:
                view = SegmentView(out[0].data)
                assert view.flags == ACK
                assert view.payload == b""
                # 12 bytes for timestamps, 12 to report one duplicate.
                assert len(out[0].data) <= 36


# -- each other --------------------------------------------------------------------------------


def desynchronised(delay_ms: int) -> int:
    """Two ends whose numbers do not fit any more: how many segments they exchange in a minute."""
    a, b = opened(Config(keepalive=False))
    b.conn.rcv.rcv_nxt += 1 << 30
    b.conn.rcv.rcv_adv += 1 << 30
    b.conn.snd.snd_una += 1 << 30
    b.conn.snd.snd_nxt += 1 << 30
    first = encode_segment(ACK, 12345, 54321)
    a.endpoint.receive(a.clock.now, a.other, first, len(first))
    count = 0
    for _ in range(60_000 // delay_ms):
        for sender, receiver in ((a, b), (b, a)):
            out = sender.all_sent()
            count += len(out)
            a.clock.now += delay_ms * MS
            receiver.receives(*out)
    return count


@pytest.mark.parametrize("delay_ms", [1, 10, 100, 249])
def test_an_ack_war_ends(delay_ms: int) -> None:
    # Each end answers what it cannot use, but not within half a second again.
    assert desynchronised(delay_ms) <= 4


def test_an_ack_war_over_a_very_long_path_stays_one_segment_at_a_time() -> None:
    # Its round trip is longer than the limit; 100 of them, and one segment each way.
    assert desynchronised(600) <= 200


def test_resets_do_not_breed() -> None:
    # Neither end knows the other.
    a, b = Endpoint(Config(), bytes(32)), Endpoint(Config(), bytes(32))
    data = encode_segment(ACK, 1, 1)
    a.receive(SECOND, "b", data, len(data))
    count = 0
    for _ in range(10):
        for sender, name, receiver in ((a, "a", b), (b, "b", a)):
            while (burst := sender.poll_transmit(SECOND)) is not None:
                count += 1
                receiver.receive(SECOND, name, burst.data, len(burst.data))
    assert count == 1


def test_keepalive_probes_without_end_are_answered_at_a_bounded_rate() -> None:
    foe = Foe.opens()
    for _ in range(10_000):
        foe.send(ACK, 0, 1)
        foe.advance(MS)
    assert len(foe.take()) <= 21
    assert foe.conn.rcv.reassembly.nbytes == 0


def test_old_data_is_answered_once_for_each_wake_up() -> None:
    # A peer that lost our ACKs waits for just that. But a train of 64 gets one, not 64.
    foe = Foe.opens()
    foe.send(PSH | ACK, 1, 1, bytes(1000))
    foe.advance(SECOND)
    foe.take()
    one = foe.segment(PSH | ACK, 1, 1, bytes(1000))
    foe.deliver(one * 64, len(one))
    assert len(foe.take()) == 1
