"""Limited transmit (RFC 3042): the first duplicates let new data out, so that more can follow."""

from __future__ import annotations

import pytest

from tests.script.peers import client, plain
from utcp.testing import Script

MSS = 1000


def opened(sack: bool, win: int = 65_535) -> Script:
    """Three segments are in flight, which is the congestion window; more wait."""
    s = client(plain(sack=sack, initial_window=3), options="mss 1000" + ",sackOK" * sack, win=win)
    s.write(100 * MSS)
    assert len(s.take()) == 3
    s.advance(ms=100)
    return s


def duplicate(s: Script, sack: bool, sacked: int) -> None:
    blocks = f" <nop,nop,sack 1001:{(1 + sacked) * MSS + 1}>" if sack else ""
    s.inject(". 1:1(0) ack 1" + blocks)


def stop(s: Script) -> None:
    s.abort()
    s.take()


@pytest.mark.parametrize("sack", [False, True])
def test_two_duplicates_two_new_segments_and_then_the_missing_one(sack: bool) -> None:
    with opened(sack) as s:
        cwnd = s.conn.info().snd_cwnd
        duplicate(s, sack, 1)
        s.expect(". 3001:4001(1000) ack 1")
        duplicate(s, sack, 2)
        s.expect(". 4001:5001(1000) ack 1")
        # RFC 3042 §2: the congestion window is not changed.
        assert s.conn.info().snd_cwnd == cwnd
        duplicate(s, sack, 3)
        s.expect(". 1:1001(1000) ack 1")
        assert s.conn.info().snd_ssthresh == 2 * MSS
        stop(s)


@pytest.mark.parametrize("sack", [False, True])
def test_not_beyond_the_peers_window(sack: bool) -> None:
    with opened(sack, win=3000) as s:
        blocks = " <nop,nop,sack 1001:2001>" if sack else ""
        s.inject(". 1:1(0) ack 1 win 3000" + blocks)
        s.expect_nothing()
        stop(s)


def test_an_ack_with_sack_but_without_news_lets_nothing_out() -> None:
    # RFC 3042 §2: only if it contains new SACK information.
    with opened(True) as s:
        duplicate(s, True, 1)
        s.expect(". 3001:4001(1000) ack 1")
        duplicate(s, True, 1)
        s.expect_nothing()
        stop(s)
