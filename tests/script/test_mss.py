"""Segment sizes: what is announced, assumed, and used (RFC 9293 §3.7)."""

from __future__ import annotations

import random

import pytest

from tests.script.peers import PLAIN, client, plain, server
from utcp.config import Config
from utcp.core import Endpoint
from utcp.testing import Script

FULL = "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7"


def sizes(s: Script) -> list[int]:
    return [len(seg.payload) for seg in s.take()]


@pytest.mark.rfc("MUST-14", "SHLD-5", "MUST-67", "MUST-65")
@pytest.mark.parametrize(("mtu", "mss"), [(1500, 1460), (576, 536), (9000, 8960), (65_536, 65_495)])
def test_the_mss_sent_is_the_mtu_without_the_headers(mtu: int, mss: int) -> None:
    with Script(config=PLAIN, path_mtu=mtu) as s:
        s.connect()
        s.expect(f"S 0:0(0) <mss {mss}>")
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1000>")
        s.expect(". 1:1(0) ack 1 <>")
        s.write(3)
        s.expect("P. 1:4(3) ack 1 <>")
        s.inject(". 1:1(0) ack 4")


@pytest.mark.rfc("MUST-14", "MUST-67")
def test_ipv6_takes_20_more_bytes() -> None:
    endpoint = Endpoint(PLAIN, bytes(16), ipv6=True, path_mtu=1500)
    with Script(endpoint=endpoint) as s:
        s.connect()
        s.expect("S 0:0(0) <mss 1440>")
        s.inject("S. 0:0(0) ack 1 win 65535")
        s.take()
        # MUST-15: without the option.
        s.write(3000)
        assert sizes(s) == [1220, 1220, 560]
        s.inject(". 1:1(0) ack 3001")


@pytest.mark.rfc("MUST-15")
def test_without_the_option_536_is_assumed() -> None:
    with client(options="") as s:
        s.write(1500)
        assert sizes(s) == [536, 536, 428]
        s.inject(". 1:1(0) ack 1501")
    with server(options="nop") as s:
        s.write(1500)
        assert sizes(s) == [536, 536, 428]
        s.inject(". 1:1(0) ack 1501")


@pytest.mark.rfc("MUST-14", "MUST-16", "SHLD-28")
def test_the_lesser_mss_counts() -> None:
    with client(options="mss 1000") as s:
        s.write(2500)
        assert sizes(s) == [1000, 1000, 500]
        s.inject(". 1:1(0) ack 2501")
    with client(options="mss 9000") as s:
        s.write(3000)
        assert sizes(s) == [1460, 1460, 80]
        s.inject(". 1:1(0) ack 3001")
    with client(plain(max_segment_size=500), options="mss 9000") as s:
        s.write(1200)
        assert sizes(s) == [500, 500, 200]
        s.inject(". 1:1(0) ack 1201")


@pytest.mark.rfc("MUST-16")
def test_options_are_taken_off_the_payload() -> None:
    with client(Config(ecn=False), options=FULL, win=65_000) as s:
        s.write(3000)
        assert sizes(s) == [1448, 1448, 104]
        # SACK blocks too: the datagram never grows beyond the MSS. 12 + 12 bytes here.
        s.inject(". 11:21(10) ack 3001 win 5000 <nop,nop,TS val 200 ecr 100>")
        s.take()
        s.write(3000)
        assert sizes(s) == [1436, 1436, 128]
        s.inject(". 21:21(0) ack 6001 win 5000 <nop,nop,TS val 300 ecr 200>")


@pytest.mark.parametrize("mss", [0, 1, 47])
def test_a_tiny_mss_is_not_believed(mss: int) -> None:
    # CVE-2019-11479: else a peer could have us send a segment for each byte.
    with client(options=f"mss {mss}") as s:
        s.write(100)
        assert sizes(s) == [48, 48, 4]
        s.inject(". 1:1(0) ack 101")


@pytest.mark.rfc("MUST-65")
def test_an_mss_option_behind_the_handshake_means_nothing() -> None:
    with client() as s:
        s.inject(". 1:1(0) ack 1 <mss 100>")
        s.write(2000)
        assert sizes(s) == [1460, 540]
        s.inject(". 1:1(0) ack 2001")


@pytest.mark.rfc("MUST-14", "SHLD-5", "SHLD-6")
def test_a_syn_ack_announces_what_the_path_takes() -> None:
    rng = random.Random(1)
    endpoint = Endpoint(PLAIN, rng.randbytes(16), path_mtu=1500)
    endpoint.path_mtu = 1280  # as the driver has learned it for this peer
    with Script(endpoint=endpoint) as s:
        s.listen()
        s.inject("S 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1 <mss 1240>")
        s.inject(". 1:1(0) ack 1")
        s.write(2000)
        assert sizes(s) == [1240, 760]
        s.inject(". 1:1(0) ack 2001")
