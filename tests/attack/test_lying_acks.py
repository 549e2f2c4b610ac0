"""Peers that lie about what they have received, to be sent more, faster (Savage et al. 1999).

The peer gets what it could get by telling the truth, and no more: its window and the congestion
window count bytes, and never more of them than were sent.
"""

from __future__ import annotations

import pytest

from tests.attack.foe import ACK, PSH, Foe, lines, sack, stamps
from utcp.config import Config
from utcp.testing import MS, SECOND

MSS = 1460
QUIET = Config(pacing=False, mtu_probing=False)
RENO = Config(pacing=False, mtu_probing=False, congestion_control="reno")


def loaded(config: Config = QUIET, *, sacks: bool = True, wscale: int = -1) -> Foe:
    """Much is written, and the initial window of ten segments is in flight."""
    foe = Foe.opens(config, sacks=sacks, wscale=wscale)
    foe.write(1_000_000)
    assert len(foe.take()) == 10
    return foe


def in_flight(foe: Foe) -> int:
    info = foe.conn.info()
    return info.unacked


# -- ACKs of what was not sent -----------------------------------------------------------------


@pytest.mark.parametrize("ahead", [1, 1000, 65_535, 1 << 20, (1 << 31) - 20_000])
def test_an_ack_of_what_was_not_sent_is_dropped_with_all_it_carries(ahead: int) -> None:
    # RFC 5961 §5.2
    foe = loaded()
    before = foe.conn.info()
    foe.send(PSH | ACK, 1, 14_601 + ahead, b"data", window=1)
    after = foe.conn.info()
    assert [segment.payload for segment in foe.take()] == [b""]
    assert (after.unacked, after.snd_wnd, after.snd_cwnd) == (
        before.unacked,
        before.snd_wnd,
        before.snd_cwnd,
    )
    assert foe.conn.readable == 0


def test_optimistic_acks_are_believed_only_up_to_what_was_sent() -> None:
    """One that runs ahead of its data, always by one segment: what it asks for too early it does
    not get."""
    foe = loaded()
    una = 1
    for _ in range(200):
        una += MSS
        foe.ack(una + 100_000)
        foe.advance(MS)
        una = max(una, 1)
    assert in_flight(foe) == 14_600
    # The answers are as few as those to any other nonsense; the rest are probes and time-outs.
    assert sum(len(segment.payload) for segment in foe.take()) <= 2 * MSS


def test_an_acknowledgment_lets_out_no_more_than_it_acknowledges_twice() -> None:
    # RFC 5681 §3.1: what is acknowledged, and as much again, in slow start.
    foe = loaded(wscale=7)
    una = 1
    for _ in range(30):
        before = in_flight(foe)
        una += 2 * MSS
        foe.ack(una)
        went = sum(len(segment.payload) for segment in foe.take())
        assert went <= 4 * MSS
        assert in_flight(foe) <= before + 2 * MSS


# -- ACK division ------------------------------------------------------------------------------


def window_after(pieces: int, config: Config, *, slow_start: bool, stamp: int = -1) -> int:
    """The congestion window when one window of data has been acknowledged in so many pieces."""
    foe = Foe.opens(config, wscale=7, stamp=stamp)
    if not slow_start:
        foe.conn.snd.cc.ssthresh = 5 * MSS
    foe.write(1_000_000)
    end = in_flight(foe)
    foe.advance(10 * MS)
    for n in range(1, pieces + 1):
        foe.ack(1 + end * n // pieces)
    return foe.conn.info().snd_cwnd


@pytest.mark.parametrize("config", [QUIET, RENO], ids=["cubic", "reno"])
@pytest.mark.parametrize("slow_start", [True, False])
def test_dividing_acknowledgments_gains_nothing(config: Config, slow_start: bool) -> None:
    # RFC 3465: bytes count, not ACKs.
    honest = window_after(10, config, slow_start=slow_start)
    for pieces in (20, 1460, 14_600):
        assert window_after(pieces, config, slow_start=slow_start) <= honest + MSS


@pytest.mark.parametrize("sacks", [False, True])
def test_dividing_acknowledgments_in_recovery_sends_nothing_twice(sacks: bool) -> None:
    """A thousand ACKs of a byte each, while the first segment is repaired: it goes once."""
    foe = loaded(sacks=sacks)
    foe.advance(100 * MS)
    for n in range(1, 5):
        blocks = [(1 + MSS, 1 + MSS + n * MSS)] if sacks else []
        foe.ack(1, *blocks)
    again = [segment for segment in foe.take() if segment.seq32 == foe.iss + 1]
    assert len(again) == 1
    for n in range(2, 1000):
        foe.ack(n, *([(1 + MSS, 1 + 5 * MSS)] if sacks else []))
    old = [segment for segment in foe.take() if segment.seq32 - foe.iss < 1 + MSS]
    assert sum(len(segment.payload) for segment in old) <= MSS


def test_an_acknowledged_byte_costs_the_same_however_many_there_were() -> None:
    foe = loaded()

    def cost(first: int) -> int:
        return max(lines(lambda n=n: foe.ack(n)) for n in range(first, first + 20))  # type: ignore[misc]

    early = cost(2)
    for n in range(22, 1400):
        foe.ack(n)
    assert cost(1400) <= 1.2 * early


# -- duplicate ACKs ----------------------------------------------------------------------------


def test_spoofed_duplicates_count_for_no_more_than_is_outstanding() -> None:
    # RFC 5681 §3.2 step 4: each stands for a segment that has left the network; there are ten.
    foe = loaded(sacks=False)
    went = 0
    for _ in range(10_000):
        foe.ack(1, window=65_535)
        went += sum(len(segment.payload) for segment in foe.take())
        assert foe.conn.snd.flight.pipe >= 0
    # Never beyond the window that the peer has itself offered, and the first segment again.
    assert in_flight(foe) <= 65_535
    assert went <= 65_535 + 2 * MSS
    assert foe.conn.info().snd_cwnd <= 14_600


def test_spoofed_duplicates_of_a_peer_with_sack_say_nothing() -> None:
    # RFC 6675 §2: a duplicate has news in its blocks, or is none.
    foe = loaded()
    for _ in range(1000):
        foe.ack(1)
    assert foe.take() == []
    assert foe.conn.info().snd_cwnd == 14_600


# -- echoes and reports ------------------------------------------------------------------------


def test_lies_about_duplicates_bring_back_no_more_than_was_given_up() -> None:
    # RFC 2883 D-SACK, RFC 4015: undone is undone, once, up to where the window was.
    foe = loaded()
    for round_ in range(50):
        base = 1 + round_
        foe.ack(base, (base + MSS, base + 4 * MSS))
        twice = (1, base) if base > 1 else (base + MSS, base + 2 * MSS)
        foe.ack(base, twice, (base + MSS, base + 5 * MSS))
        foe.advance(50 * MS)
        assert foe.conn.info().snd_cwnd <= 14_600 + 64 * MSS
        assert in_flight(foe) <= 65_535
    assert str(foe.state) == "ESTABLISHED"


@pytest.mark.parametrize("echo", [0, 1, 1 << 31, (1 << 32) - 1])
def test_lies_about_echoes_measure_nothing_absurd(echo: int) -> None:
    foe = Foe.opens(QUIET, stamp=1000)
    foe.write(1_000_000)
    foe.take()
    for n in range(1, 9):
        blocks = sack((1 + 1448, 1 + 1448 * (n + 1)), base=foe.iss)
        foe.send(ACK, 1, 1, options=[stamps(1000 + n, echo), blocks])
        foe.advance(10 * MS)
    foe.send(ACK, 1, 1 + 1448, options=[stamps(2000, echo)])
    info = foe.conn.info()
    assert 0 < info.rto <= 120_000_000
    assert 0 < info.rtt <= 10_000_000
    assert info.rcv_space <= QUIET.recv_buffer


def test_a_fin_that_is_never_acknowledged_ends_a_closed_connection() -> None:
    """The FIN is never acknowledged, whatever else is said, for an hour."""
    foe = Foe.opens(QUIET)
    foe.write(100)
    foe.conn.close()
    foe.turn()
    gone_at = 0
    for second in range(3600):
        foe.ack(1 + min(second, 100))
        foe.send(ACK, 0, 1)
        foe.advance(SECOND)
        if foe.endpoint.idle:
            gone_at = second
            break
    assert 0 < gone_at < 1000
    assert foe.endpoint.poll_timeout() > foe.now + 3600 * SECOND
