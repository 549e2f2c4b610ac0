"""SACK as it is sent: agreed to, in the order of RFC 2018 §4, with duplicates of RFC 2883."""

from __future__ import annotations

import pytest

from tests.script.peers import PLAIN, RTT_MS, client, plain
from utcp.testing import Script

SACK = plain(sack=True)


def test_it_is_offered_and_agreed_to() -> None:
    with Script(config=SACK) as s:
        s.connect()
        s.expect("S 0:0(0) <mss 1460,sackOK>")
        s.conn.abort()
    for config, offered, agreed in ((SACK, True, True), (SACK, False, False), (PLAIN, True, False)):
        with Script(config=config) as s:
            s.listen()
            s.inject(f"S 0:0(0) win 65535 <mss 1460{',sackOK' if offered else ''}>")
            s.expect(f"S. 0:0(0) ack 1 <mss 1460{',sackOK' if agreed else ''}>")
            s.inject(". 1:1(0) ack 1")
            s.inject(". 101:201(100) ack 1")
            s.expect(f". 1:1(0) ack 1 <{'sack 101:201' if agreed else ''}>")


def test_the_block_that_just_arrived_comes_first() -> None:
    with client(SACK, options="mss 1460,sackOK") as s:
        s.inject(". 101:201(100) ack 1")
        s.expect(". 1:1(0) ack 1 <nop,nop,sack 101:201>")
        s.inject(". 301:401(100) ack 1")
        s.expect(". 1:1(0) ack 1 <sack 301:401 101:201>")
        s.inject(". 501:601(100) ack 1")
        s.expect(". 1:1(0) ack 1 <sack 501:601 301:401 101:201>")
        # It grows, and so it is the first again.
        s.inject(". 201:251(50) ack 1")
        s.expect(". 1:1(0) ack 1 <sack 101:251 501:601 301:401>")
        s.inject(". 701:801(100) ack 1")
        s.expect(". 1:1(0) ack 1 <sack 701:801 101:251 501:601 301:401>")
        # RFC 2018 §3: four is all that fits; the oldest is left out.
        s.inject(". 901:1001(100) ack 1")
        s.expect(". 1:1(0) ack 1 <sack 901:1001 701:801 101:251 501:601>")
        # Blocks join.
        s.inject(". 401:501(100) ack 1")
        s.expect(". 1:1(0) ack 1 <sack 301:601 901:1001 701:801 101:251>")
        s.inject(". 251:301(50) ack 1")
        s.expect(". 1:1(0) ack 1 <sack 101:601 901:1001 701:801>")
        s.inject(". 1:101(100) ack 1")
        s.expect(". 1:1(0) ack 601 <sack 901:1001 701:801>")
        s.inject(". 601:901(300) ack 1")
        # 701 to 801 came twice (RFC 2883), and nothing is held any more.
        s.expect(". 1:1(0) ack 1001 <sack 701:801>")


def test_three_blocks_fit_beside_timestamps() -> None:
    config = plain(sack=True, timestamps=True)
    stamp = "<nop,nop,TS val 100 ecr 0>"
    with client(config, options="mss 1460,sackOK,TS val 100 ecr 0") as s:
        for start in (101, 301, 501, 701):
            s.inject(f". {start}:{start + 100}(100) ack 1 {stamp}")
        for _ in range(3):
            s.expect(". 1:1(0) ack 1 <TS val * ecr 100,...>")
        s.expect(". 1:1(0) ack 1 <TS val * ecr 100,sack 701:801 501:601 301:401>")


def test_data_carries_sack_too() -> None:
    with client(SACK, options="mss 1460,sackOK") as s:
        s.inject(". 101:201(100) ack 1")
        s.take()
        s.write(10)
        s.expect("P. 1:11(10) ack 1 <nop,nop,sack 101:201>")
        s.inject(". 1:1(0) ack 11")


def test_nothing_held_nothing_said() -> None:
    with client(SACK, options="mss 1460,sackOK") as s:
        s.inject("P. 1:101(100) ack 1")
        s.expect(". 1:1(0) ack 101 <>", within_ms=40)


@pytest.mark.parametrize("options", ["mss 1460,sackOK"])
def test_duplicates_are_reported_once(options: str) -> None:
    # RFC 2883 §4.1: below the cumulative acknowledgment.
    with client(SACK, options=options) as s:
        s.inject("P. 1:101(100) ack 1")
        s.expect(". 1:1(0) ack 101 <>", within_ms=40)
        s.inject("P. 1:101(100) ack 1")
        s.expect(". 1:1(0) ack 101 <sack 1:101>")
        s.inject("P. 101:201(100) ack 1")
        s.expect(". 1:1(0) ack 201 <>", within_ms=40)
        # Partly old.
        s.inject("P. 151:301(150) ack 1")
        s.expect(". 1:1(0) ack 301 <sack 151:201>")
        # §4.2: above it, the block that the duplicate is part of comes second.
        s.inject(". 401:501(100) ack 1")
        s.expect(". 1:1(0) ack 301 <sack 401:501>")
        s.inject(". 401:501(100) ack 1")
        s.expect(". 1:1(0) ack 301 <sack 401:501 401:501>")
        s.inject(". 451:601(150) ack 1")
        s.expect(". 1:1(0) ack 301 <sack 451:501 401:601>")


def test_old_and_held_data_in_one_segment_that_fills_the_hole() -> None:
    with client(SACK, options="mss 1460,sackOK") as s:
        s.inject(". 101:201(100) ack 1")
        s.take()
        s.inject(". 1:151(150) ack 1")
        s.expect(". 1:1(0) ack 201 <sack 101:151>")


def test_a_retransmitted_segment_is_cut_to_what_the_options_leave() -> None:
    config = plain(sack=True, retries2=5)
    with client(config, options="mss 1460,sackOK") as s:
        s.write(1460)
        s.expect("P. 1:1461(1460) ack 1")
        s.inject(". 101:201(100) ack 1")
        s.take()
        s.expect(". 1:1449(1448) ack 1 <nop,nop,sack 101:201>", within_ms=300)
        s.inject(". 1:1(0) ack 1461")
        s.take()


def test_an_ack_that_comes_late_reports_nothing_twice() -> None:
    # RFC 2883 §4.1: blocks are compared with the acknowledgment that came with them.
    s = client(plain(sack=True, initial_window=20), options="mss 1000,sackOK")
    snd = s.conn.snd
    s.write(60_000)
    s.take()
    s.advance(ms=RTT_MS)
    for end in range(2, 20):
        s.inject(f". 1:1(0) ack 1 <sack 1001:{1000 * end + 1}>")
    s.take()
    s.advance(ms=RTT_MS)
    s.inject(". 1:1(0) ack 20001")
    s.take()
    cwnd, ssthresh = snd.cc.cwnd, snd.cc.ssthresh
    assert ssthresh == 10_000
    s.inject(". 1:1(0) ack 1 <sack 1001:20001>")
    assert (snd.cc.cwnd, snd.cc.ssthresh) == (cwnd, ssthresh)
    assert snd.loss.rack.reo_wnd_mult == 1
