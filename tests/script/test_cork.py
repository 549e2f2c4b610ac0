"""Cork: full segments only, until it is pulled or 200 ms have passed (Linux's TCP_CORK)."""

from __future__ import annotations

import pytest

from tests.script.peers import RTT_MS, client, plain

MSS = 1460


@pytest.mark.parametrize("nodelay", [True, False])
def test_what_is_not_full_waits_200_ms(nodelay: bool) -> None:
    with client(plain(nodelay=nodelay)) as s:
        s.conn.cork = True
        s.write(100)
        s.advance(ms=150)
        s.write(50)
        s.expect("P. 1:151(150) ack 1", at_ms=RTT_MS + 200)
        s.advance(ms=RTT_MS)
        s.inject(". 1:1(0) ack 151")
        # And again, from then on.
        s.advance(ms=10)
        at = s.now_ms
        s.write(7)
        s.expect("P. 151:158(7) ack 1", at_ms=at + 200)
        s.inject(". 1:1(0) ack 158")


def test_pulling_it_lets_everything_go() -> None:
    with client() as s:
        s.conn.cork = True
        s.write(100)
        s.write(100)
        s.expect_nothing(for_ms=100)
        s.conn.cork = False
        assert not s.conn.cork
        s.read()
        s.expect("P. 1:201(200) ack 1", within_ms=0)
        s.inject(". 1:1(0) ack 201")
        s.write(5)
        s.expect("P. 201:206(5) ack 1")
        s.inject(". 1:1(0) ack 206")


def test_nodelay_lets_what_waits_go_and_the_cork_stays() -> None:
    # As Linux's TCP_NODELAY under TCP_CORK: a flush, but no more than that.
    with client() as s:
        s.conn.cork = True
        s.write(100)
        s.advance(ms=50)
        s.conn.nodelay = True
        s.read()
        s.expect("P. 1:101(100) ack 1", within_ms=0)
        s.write(100)
        s.expect_nothing()
        s.expect("P. 101:201(100) ack 1", within_ms=200)
        s.inject(". 1:1(0) ack 201")


def test_full_segments_go_and_the_rest_waits_anew() -> None:
    with client() as s:
        s.conn.cork = True
        s.write(1000)
        s.advance(ms=100)
        s.write(1000)
        s.expect(". 1:1461(1460) ack 1")
        # What waits now is 0 ms old.
        s.expect("P. 1461:2001(540) ack 1", at_ms=RTT_MS + 300)
        s.inject(". 1:1(0) ack 2001")


def test_a_header_and_a_body_become_full_segments() -> None:
    with client() as s:
        s.conn.cork = True
        s.write(200)
        s.write(2 * MSS - 200)
        s.expect(". 1:1461(1460) ack 1")
        s.expect("P. 1461:2921(1460) ack 1")
        s.conn.cork = False
        s.inject(". 1:1(0) ack 2921")
        s.expect_nothing(for_ms=1000)


def test_the_end_of_the_stream_pulls_it() -> None:
    with client() as s:
        s.conn.cork = True
        s.write(10)
        s.expect_nothing()
        s.write_eof()
        s.expect("FP. 1:11(10) ack 1")
        s.inject(". 1:1(0) ack 12")


def test_what_is_in_flight_does_not_matter() -> None:
    with client() as s:
        s.write(10)
        s.expect("P. 1:11(10) ack 1")
        s.conn.cork = True
        s.write(10)
        s.advance(ms=50)
        s.inject(". 1:1(0) ack 11")
        s.expect("P. 11:21(10) ack 1", at_ms=RTT_MS + 200)
        s.inject(". 1:1(0) ack 21")


def test_a_shut_window_is_probed_as_ever() -> None:
    with client(win=0) as s:
        s.conn.cork = True
        s.write(10)
        s.expect(". 1:2(1) ack 1", within_ms=400)
        s.inject(". 1:1(0) ack 1 win 65535")
        s.advance(ms=200)
        s.take()
        s.inject(". 1:1(0) ack 11 win 65535")
