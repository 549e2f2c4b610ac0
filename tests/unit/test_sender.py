"""The sender alone: what may be sent, by its windows and by the rules against small segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.core import cc
from utcp.core.pmtu import MIN_MSS
from utcp.core.rtt import RttEstimator
from utcp.core.sample import AckSample
from utcp.core.sender import Sender

ISS = 1000
MSS = 100


def sender(
    *, wnd: int = 10_000, cwnd: int = 10_000, nodelay: bool = True, queued: int = 0
) -> Sender:
    """Open, nothing in flight, `queued` bytes written."""
    rtt = RttEstimator(10**9, 2 * 10**8, 120 * 10**9)
    snd = Sender(ISS, MSS, rtt, cc.create("reno", MSS, 10), AckSample(), nodelay)
    snd.snd_una = snd.snd_nxt = ISS + 1
    snd.flight.una = snd.flight.nxt = ISS + 1
    snd.update_window(1, ISS + 1, wnd)
    snd.cc.cwnd = cwnd
    snd.buffer.append(bytes(queued))
    return snd


def send(snd: Sender, size: int = MSS) -> int:
    """Send what may be sent now; returns how many bytes."""
    start, end = snd.snd_nxt, snd.new_data_end(size)
    assert start <= end <= snd.buffer.end
    if end > start:
        snd.flight.sent(start, end, 0)
        snd.snd_nxt = end
        if (end - start) % size:
            snd.small_end = end
    return end - start


def test_nothing_is_written() -> None:
    assert send(sender()) == 0


@pytest.mark.rfc("SHLD-28")
@pytest.mark.parametrize(
    ("queued", "wnd", "cwnd", "expected", "limited"),
    [
        (1, 10_000, 10_000, 1, False),
        (250, 10_000, 10_000, 250, False),
        (10_000, 10_000, 10_000, 10_000, True),
        # The congestion window lets whole segments through only.
        (1000, 10_000, 250, 200, True),
        (1000, 10_000, 99, 0, True),
        (1000, 10_000, 1000, 1000, True),
        (50, 10_000, 49, 0, True),
        # So does the peer's, unless half of the largest is open.
        (1000, 250, 10_000, 200, False),
        (1000, 150, 10_000, 100, False),
        (1000, 99, 10_000, 99, False),
        (1000, 0, 10_000, 0, False),
        # The lesser of the two counts, and says who is to blame.
        (1000, 500, 300, 300, True),
        (1000, 300, 500, 300, False),
    ],
)
def test_windows(queued: int, wnd: int, cwnd: int, expected: int, limited: bool) -> None:
    snd = sender(wnd=wnd, cwnd=cwnd, queued=queued)
    assert send(snd) == expected
    assert snd.cwnd_limited is limited


@pytest.mark.rfc("MUST-38")
def test_a_small_rest_of_the_window_waits_for_the_override() -> None:
    snd = sender(wnd=250, queued=1000)
    assert send(snd) == 200
    assert send(snd) == 0
    snd.override = True
    assert send(snd) == 50


@pytest.mark.rfc("MUST-34", "SHLD-15")
def test_a_negative_usable_window() -> None:
    snd = sender(wnd=500, queued=1000)
    assert send(snd) == 500
    snd.update_window(1, ISS + 1, 100)
    assert send(snd) == 0
    snd.override = True
    assert send(snd) == 0


@pytest.mark.rfc("SHLD-7", "MUST-17")
def test_nagle_knows_the_last_small_segment() -> None:
    snd = sender(nodelay=False, queued=250)
    assert send(snd) == 250
    snd.buffer.append(bytes(130))
    assert send(snd) == 100
    assert send(snd) == 0
    snd.nodelay = True
    assert send(snd) == 30
    snd.nodelay = False
    snd.buffer.append(bytes(30))
    assert send(snd) == 0
    snd.snd_una = snd.snd_nxt
    assert send(snd) == 30
    snd.buffer.append(bytes(30))
    snd.fin_queued = True
    assert send(snd) == 30


def test_old_segments_do_not_move_the_window() -> None:
    # RFC 9293 §3.10.7.4 step 5: SND.WL1 and SND.WL2.
    snd = sender(wnd=100)
    snd.update_window(50, 1100, 200)
    snd.update_window(49, 1200, 300)
    assert snd.snd_wnd == 200
    snd.update_window(50, 1099, 300)
    assert snd.snd_wnd == 200
    snd.update_window(50, 1100, 300)
    assert snd.snd_wnd == 300
    snd.update_window(51, 1100, 50)
    assert (snd.snd_wnd, snd.max_snd_wnd) == (50, 300)


@pytest.mark.rfc("MUST-16")
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize(("path", "peer"), [(1460, 1460), (1460, 536), (500, 9000), (1460, 0)])
def test_the_effective_mss(path: int, peer: int, timestamps: bool) -> None:
    snd = sender()
    snd.path_mss, snd.peer_mss = path, peer
    snd.set_mss(timestamps)
    assert snd.mss == max(min(path, peer) - 12 * timestamps, MIN_MSS)
    assert snd.smss == snd.mss + 12 * timestamps
    assert snd.cc.mss == snd.mss


def test_pending_and_unsent() -> None:
    snd = sender(queued=150)
    assert (snd.pending(), snd.unsent(), snd.fin_acked()) == (True, 150, False)
    send(snd)
    assert (snd.pending(), snd.unsent()) == (False, 0)
    snd.fin_queued = True
    assert (snd.pending(), snd.unsent()) == (True, 0)
    snd.snd_nxt += 1
    assert not snd.pending()
    snd.snd_una = snd.snd_nxt
    assert snd.fin_acked()


@given(
    queued=st.integers(0, 2000),
    wnd=st.integers(0, 2000),
    greatest=st.integers(0, 3000),
    cwnd=st.integers(MSS, 2000),
    size=st.integers(20, MSS),
    flight=st.integers(0, 500),
    nodelay=st.booleans(),
    override=st.booleans(),
)
def test_never_beyond_a_window_and_never_silly(
    queued: int,
    wnd: int,
    greatest: int,
    cwnd: int,
    size: int,
    flight: int,
    nodelay: bool,
    override: bool,
) -> None:
    snd = sender(queued=queued + flight, nodelay=nodelay, wnd=greatest)
    if flight:
        snd.flight.sent(snd.snd_nxt, snd.snd_nxt + flight, 0)
        snd.snd_nxt += flight
    snd.update_window(1, ISS + 1, wnd)
    snd.cc.cwnd = cwnd
    snd.override = override
    nxt = snd.snd_nxt
    end = snd.new_data_end(size)
    new = end - nxt
    assert 0 <= new <= queued
    if new:
        assert end <= snd.snd_una + wnd
        assert snd.flight.pipe + new <= cwnd
    if new % size and new < queued:
        # A small segment that is not the last: half of the greatest window, or the override.
        assert override or new % size >= snd.max_snd_wnd >> 1
    if not new and queued and nodelay and not override:
        # Nothing goes: there is a reason.
        usable = wnd - flight
        assert cwnd - flight < min(queued, usable, size) or usable < min(queued, size)
