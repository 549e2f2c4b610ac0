"""Windows that are shut, shrunk, absurd, or opened a byte at a time; and tiny segments.

A peer may keep us from sending for as long as an application wants to wait for it, and no longer;
waiting costs a probe now and then, and what was written.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.attack.foe import ACK, SYN, Foe, lines, memory
from utcp.config import Config
from utcp.core import Reason
from utcp.testing import MS, SECOND
from utcp.testing.segment_view import MSS_KIND

MSS = 1460
CONFIG = Config(pacing=False, mtu_probing=False)
HOUR = 3600 * SECOND


def shut(config: Config = CONFIG) -> Foe:
    """Ten segments acknowledged, the window is shut, and more is waiting."""
    foe = Foe.opens(config)
    foe.write(100_000)
    foe.ack(14_601, window=0)
    foe.take()
    return foe


# -- shut --------------------------------------------------------------------------------------


def test_a_window_shut_for_ever_costs_a_probe_in_two_minutes() -> None:
    # RFC 9293 §3.8.6.1 (MUST-37): it is answered, so the connection stays.
    foe = shut()

    def day() -> None:
        for _ in range(24 * 60):
            foe.advance(60 * SECOND)
            if foe.sent:
                foe.take()
                foe.ack(14_601, window=0)

    day()
    assert str(foe.state) == "ESTABLISHED"
    probes = foe.conn.info().segs_out
    assert memory(day) < 50_000
    assert foe.conn.info().segs_out - probes <= 24 * 31
    assert foe.conn.buffered == 100_000 - 14_600


@pytest.mark.parametrize("in_flight", [False, True])
def test_nobody_waits_for_a_shut_window_once_the_application_has_closed(in_flight: bool) -> None:
    # Sockstress: connections that are over for everybody but TCP. As in Linux, they end.
    foe = Foe.opens(CONFIG)
    foe.write(14_600 if in_flight else 100_000)
    if in_flight:
        foe.ack(1, window=0)
    else:
        foe.ack(14_601, window=0)
    foe.conn.close()
    foe.turn()
    foe.take()
    una = 1 if in_flight else 14_601
    elapsed = 0
    while not foe.endpoint.idle and elapsed < 2 * HOUR:
        foe.advance(SECOND)
        elapsed += SECOND
        if foe.sent and not foe.take()[-1].rst:
            foe.ack(una, window=0)
    assert 120 * SECOND < elapsed < HOUR
    assert foe.conn.reason is Reason.TIMED_OUT


def test_nor_for_one_that_opens_now_and_then_and_takes_nothing() -> None:
    foe = shut()
    foe.conn.close()
    foe.turn()
    elapsed = 0
    while not foe.endpoint.idle and elapsed < 2 * HOUR:
        foe.advance(SECOND)
        elapsed += SECOND
        if foe.sent and not foe.take()[-1].rst:
            foe.ack(14_601, window=0 if elapsed // SECOND % 20 else 5000)
    assert elapsed < HOUR
    assert foe.conn.reason is Reason.TIMED_OUT


def test_a_window_that_opens_in_time_lets_a_closed_connection_finish() -> None:
    foe = shut()
    foe.conn.close()
    foe.turn()
    for _ in range(100):
        foe.advance(SECOND)
        if foe.sent:
            foe.take()
            foe.ack(14_601, window=0)
    assert str(foe.state) == "FIN-WAIT-1"
    position = 14_601
    while not any(segment.fin for segment in foe.sent):
        position = foe.conn.snd.snd_nxt - foe.conn.snd.iss
        foe.take()
        foe.ack(position)
        foe.advance(10 * MS)
        assert position <= 100_001
    foe.ack(100_002)
    assert str(foe.state) == "FIN-WAIT-2"


def test_a_user_time_out_ends_what_is_kept_waiting() -> None:
    foe = shut(Config(pacing=False, mtu_probing=False, user_timeout=60))
    for _ in range(120):
        foe.advance(SECOND)
        if foe.sent and str(foe.state) == "ESTABLISHED":
            foe.take()
            foe.ack(14_601, window=0)
    assert foe.conn.reason is Reason.TIMED_OUT


# -- shrunk, absurd ----------------------------------------------------------------------------


@pytest.mark.parametrize("window", [0, 1, 100, 1459, 5000])
def test_nothing_goes_beyond_a_window_that_shrinks(window: int) -> None:
    # RFC 9293 §3.8.6 (SHLD-16), nor back: SND.NXT stays where it is.
    foe = Foe.opens(CONFIG)
    foe.write(100_000)
    foe.take()
    foe.ack(1461, window=window)
    for _ in range(30):
        foe.advance(SECOND)
        for segment in foe.take():
            end = segment.seq32 - foe.iss + len(segment.payload)
            assert end <= 1461 + max(window, 1)
    assert foe.conn.snd.snd_nxt - foe.conn.snd.iss >= 14_601


def test_a_window_that_breathes_makes_no_storm() -> None:
    foe = Foe.opens(CONFIG)
    foe.write(1_000_000)
    foe.take()
    went = 0
    for _ in range(2000):
        foe.ack(1461, window=0)
        foe.ack(1461, window=65_535)
        went += sum(len(segment.payload) for segment in foe.take())
        foe.advance(MS)
    # What a shut window may have dropped goes again when it opens, but not with every ACK: after
    # a probe, or when a timer says so.
    assert went <= 20 * 16_060


@pytest.mark.parametrize("wscale", [14, 15, 200, 255])
def test_a_window_scale_is_fourteen_at_most(wscale: int) -> None:
    # RFC 7323 §2.3
    foe = Foe.opens(CONFIG, wscale=wscale)
    assert foe.conn.info().snd_wscale == 14
    assert foe.conn.info().snd_wnd == 65_535 << 14
    # A gigabyte of window is no reason to take as much from the application.
    assert foe.conn.sndbuf <= CONFIG.send_buffer


def test_a_window_of_a_gigabyte_lets_out_a_congestion_window() -> None:
    foe = Foe.opens(CONFIG, wscale=14)
    foe.write(1_000_000)
    assert sum(len(segment.payload) for segment in foe.take()) == 14_600


def test_a_window_opened_byte_by_byte_is_used_so_and_costs_no_more() -> None:
    # RFC 9293 §3.8.6.2.1: half of the greatest window that there ever was is waited for.
    foe = Foe.opens(CONFIG)
    foe.write(200_000)
    acked = 1
    for _ in range(3):
        acked = foe.conn.snd.snd_nxt - foe.conn.snd.iss
        foe.ack(acked)
    acked = foe.conn.snd.snd_nxt - foe.conn.snd.iss
    foe.take()
    for window in range(1, 1000):
        foe.ack(acked, window=window)
    assert foe.take() == []


# -- tiny segments -----------------------------------------------------------------------------


@pytest.mark.parametrize("mss", [0, 1, 47, 48])
def test_tiny_maximum_sizes_are_raised_to_linuxs_floor(mss: int) -> None:
    foe = Foe.opens(CONFIG, mss=mss)
    foe.write(100_000)
    out = foe.take()
    assert {len(segment.payload) for segment in out} == {48}
    assert len(out) == 10


def test_tiny_segments_cost_as_little_each_as_large_ones() -> None:
    def cost(mss: int) -> float:
        foe = Foe.opens(CONFIG, mss=mss)
        foe.conn.snd.cc.cwnd = 400 * max(mss, 48)
        foe.conn.write(bytes(1_000_000))
        count = lines(foe.turn)
        return count / len(foe.take())

    assert cost(0) <= 1.5 * cost(1460)


def test_tiny_segments_and_much_data_are_still_a_record_for_each_burst() -> None:
    foe = Foe.opens(CONFIG, mss=1, wscale=7)
    foe.conn.snd.cc.cwnd = 100_000
    foe.conn.write(bytes(1_000_000))
    used = memory(foe.turn)
    foe.sent.clear()
    assert len(foe.conn.snd.flight) <= 100_000 // 48 // 64 + 2
    assert used < 30_000_000  # nearly all of it is what this test keeps of what was sent


def test_a_syn_of_every_size_that_can_be_said() -> None:
    for mss in (0, 1, 535, 536, 1460, 9000, 65_495, 65_535):
        foe = Foe(CONFIG)
        foe.endpoint.listen()
        foe.send(SYN, 0, options=[(MSS_KIND, mss.to_bytes(2))])
        foe.iss = foe.sent[-1].seq32
        foe.send(ACK, 1, 1)
        assert 48 <= foe.conn.info().snd_mss <= 1460


def test_an_ack_of_a_tiny_segment_costs_the_same_in_a_large_flight() -> None:
    def cost(size: int) -> int:
        foe = Foe.opens(CONFIG, mss=1, wscale=7)
        foe.conn.snd.cc.cwnd = size
        foe.conn.write(bytes(2 * size))
        foe.turn()
        foe.conn.snd.cc.cwnd = 1
        return max(lines(partial(foe.ack, 1 + 48 * n)) for n in range(1, 20))

    assert cost(200_000) <= 1.2 * cost(10_000)
