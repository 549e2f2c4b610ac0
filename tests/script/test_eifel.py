"""Needless retransmissions are noticed by timestamps (RFC 3522) and D-SACK (RFC 2883), and what
they have cost is given back (RFC 4015)."""

from __future__ import annotations

import pytest

from tests.script.peers import client, plain
from utcp.testing import Script

MSS = 1000
CONFIG = plain(sack=True, timestamps=True, initial_window=10)
OPTIONS = "mss 1012,sackOK,TS val 1 ecr 0"


def opened(written: int) -> Script:
    """A connection with a round trip of 100 ms and timestamps; ours is the time in milliseconds.
    Ten segments are sent at 100 ms."""
    s = client(CONFIG, options=OPTIONS, ack_stamp="<TS val 100 ecr 1>")
    s.write(written * MSS)
    assert len(s.take()) == 10
    return s


def seg(n: int) -> str:
    return f"{n * MSS + 1}:{(n + 1) * MSS + 1}({MSS})"


def inject(s: Script, acked: int, echo: int, *blocks: tuple[int, int]) -> None:
    text = "".join(f" {a * MSS + 1}:{b * MSS + 1}" for a, b in blocks)
    sack = f",nop,nop,sack{text}" if blocks else ""
    s.inject(f". 1:1(0) ack {acked * MSS + 1} <nop,nop,TS val 2 ecr {echo}{sack}>")


def stop(s: Script) -> None:
    s.abort()
    s.take()


def test_a_needless_time_out_is_undone_by_the_first_ack() -> None:
    with opened(100) as s:
        s.at(ms=310)
        s.expect(f". {seg(10)} ack 1")  # the probe
        s.expect(f". {seg(0)} ack 1 <TS val 610 ecr *>", at_ms=610)
        info = s.conn.info()
        assert (info.snd_cwnd, info.lost) == (MSS, 11 * MSS)
        s.at(ms=620)
        inject(s, 1, 100)
        # cwnd = FlightSize + min(bytes_acked, IW), and so one segment of new data.
        info = s.conn.info()
        assert (info.snd_cwnd, info.lost) == (11 * MSS, 0)
        assert info.snd_ssthresh > 1 << 32
        s.take()
        inject(s, 10, 100)
        assert s.conn.info().total_retrans == 1
        stop(s)


def test_a_needed_one_is_not() -> None:
    with opened(100) as s:
        s.at(ms=610)
        s.take()
        s.at(ms=720)
        inject(s, 1, 610)
        info = s.conn.info()
        assert info.snd_ssthresh < 10 * MSS
        assert info.lost > 0
        stop(s)


def recovering(s: Script) -> None:
    s.at(ms=200)
    inject(s, 0, 100, (1, 4))
    s.expect(f". {seg(0)} ack 1 <TS val 200 ecr *>", at_ms=200)
    assert s.conn.info().snd_ssthresh == 5 * MSS


def test_fast_recovery_is_undone_when_the_late_segment_comes() -> None:
    with opened(10) as s:
        recovering(s)
        s.at(ms=210)
        inject(s, 4, 100)
        info = s.conn.info()
        assert info.snd_ssthresh > 1 << 32
        assert info.snd_cwnd >= 10 * MSS
        assert info.lost == 0
        inject(s, 10, 100)


def test_the_answer_to_the_retransmission_undoes_nothing() -> None:
    with opened(10) as s:
        recovering(s)
        s.at(ms=300)
        inject(s, 4, 200)
        assert s.conn.info().snd_ssthresh == 5 * MSS
        s.take()
        inject(s, 10, 200)
        assert s.conn.info().snd_cwnd == 5 * MSS


def test_an_ack_of_everything_could_be_the_only_one_that_was_not_lost() -> None:
    # RFC 3522 §3.2 step (5)
    with opened(10) as s:
        recovering(s)
        s.at(ms=210)
        inject(s, 10, 100)
        assert s.conn.info().snd_ssthresh == 5 * MSS


@pytest.mark.parametrize("both", [False, True])
def test_dsack_for_everything_that_was_resent_undoes_recovery(both: bool) -> None:
    with opened(10) as s:
        s.at(ms=200)
        inject(s, 0, 100, (1, 2), (3, 8))
        s.expect(f". {seg(0)} ack 1")
        s.expect(f". {seg(2)} ack 1")
        s.at(ms=210)
        # Echoes are no help here: the peer does not tell.
        s.inject(". 1:1(0) ack 10001 <nop,nop,TS val 2 ecr 0>")
        assert s.conn.info().snd_cwnd == 5 * MSS
        s.at(ms=300)
        inject(s, 10, 0, (0, 1))
        assert s.conn.info().snd_cwnd == 5 * MSS
        if both:
            inject(s, 10, 0, (2, 3))
            assert s.conn.info().snd_cwnd == 10 * MSS
            assert s.conn.info().snd_ssthresh > 1 << 32
