"""Arriving segments in particular cases: each of these is easy to get wrong.

`test_arrival_matrix` goes through all states and segments; here is what needs a story of its own.
"""

from __future__ import annotations

import pytest

from tests.script.arrivals import PLAIN, established
from utcp.config import Config
from utcp.core import Reason, events
from utcp.testing import SECOND, Script

STAMPED = Config(sack=False, window_scaling=False, ecn=False)


def test_a_syn_needs_no_timestamp_to_be_challenged() -> None:
    # A peer that has restarted with timestamps off would else never learn that we still have
    # the old connection (RFC 9293 Figure 9).
    with established(STAMPED) as s:
        s.inject("S 5000:5000(0) win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 1")
        assert str(s.state) == "ESTABLISHED"


@pytest.mark.rfc("MUST-12")
@pytest.mark.parametrize("ack", ["0", "2", "70000"])
def test_an_answer_from_an_old_connection_resets_it_and_is_told(ack: str) -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject(f". 1:1(0) ack {ack} win 65535")
        s.expect(f"R {ack}:{ack}(0)")
        assert str(s.state) == "SYN-SENT"
        assert s.take_events() == events.ADVICE
        assert s.conn.soft_error == "old connection"
        s.inject("S. 0:0(0) ack 1 win 65535 <mss 1460>")
        s.expect(". 1:1(0) ack 1")
        assert str(s.state) == "ESTABLISHED"


@pytest.mark.parametrize("flags", ["R", "R."])
def test_a_reset_from_an_old_connection_says_nothing(flags: str) -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject(f"{flags} 1:1(0) ack 2 win 65535")
        s.expect_nothing()
        assert str(s.state) == "SYN-SENT"
        assert s.take_events() == 0


def test_a_peer_with_an_old_connection_that_falls_silent_has_timed_out() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject(". 1:1(0) ack 2 win 65535")
        s.advance(ms=300_000)
        s.take()
        assert s.conn.reason is Reason.TIMED_OUT


def test_other_segments_without_a_timestamp_are_dropped() -> None:
    with established(STAMPED) as s:
        s.inject("P. 1:4(3) ack 1 win 65535")
        s.expect_nothing(for_ms=100)
        assert s.conn.readable == 0
        assert s.endpoint.counters.paws_drops == 1


def test_a_timestamp_from_before_is_answered_and_dropped() -> None:
    with established(STAMPED) as s:
        s.inject("P. 1:4(3) ack 1 win 65535 <nop,nop,TS val 99 ecr 0>")
        s.expect(". 1:1(0) ack 1 <nop,nop,TS val * ecr 100>")
        assert s.conn.readable == 0


def test_a_reset_needs_no_timestamp() -> None:
    with established(STAMPED) as s:
        s.inject("R 1:1(0)")
        assert s.conn.reason is Reason.RESET


@pytest.mark.rfc("SHLD-2")
def test_data_on_a_reset_does_not_matter() -> None:
    with established() as s:
        s.inject("R. 1:21(20) ack 1 win 0", data=b"protocol error at 17")
        assert str(s.state) == "CLOSED"
        assert s.conn.reason is Reason.RESET
        assert s.conn.readable == 0


def test_a_reset_with_data_is_judged_by_its_sequence_number() -> None:
    with established() as s:
        s.inject("P. 1:11(10) ack 1 win 65535")
        s.expect(". 1:1(0) ack 11", within_ms=100)
        # It begins before the window, although it reaches into it.
        s.inject("R. 5:25(20) ack 1 win 0", data=bytes(20))
        assert str(s.state) == "ESTABLISHED"


def test_a_bare_ack_at_the_right_edge_is_taken() -> None:
    # The peer has filled the window, and all of it was lost: its ACKs have SND.NXT, which is the
    # right edge, as their sequence number. RFC 9293's Table 6 excludes the edge; Linux does not.
    config = Config(timestamps=False, sack=False, window_scaling=False, ecn=False, recv_buffer=4096)
    with established(config) as s:
        s.write(b"question")
        s.expect("P. 1:9(8) ack 1 win 4096")
        s.inject(". 4097:4097(0) ack 9 win 65535")
        assert s.conn.buffered == 0


def test_a_reset_at_the_right_edge_is_ignored() -> None:
    config = Config(timestamps=False, sack=False, window_scaling=False, ecn=False, recv_buffer=4096)
    with established(config) as s:
        s.inject("R 4097:4097(0)")
        assert str(s.state) == "ESTABLISHED"


@pytest.mark.rfc("MUST-66")
def test_a_shut_window_still_takes_resets_acknowledgments_and_fin() -> None:
    config = Config(timestamps=False, sack=False, window_scaling=False, ecn=False, recv_buffer=4096)
    for text, seen in (
        ("R 4097:4097(0)", events.CLOSED),
        ("F. 4097:4097(0) ack 9 win 65535", events.EOF | events.FINISHED),
        (". 4097:4097(0) ack 9 win 65535", 0),
    ):
        s = established(config)
        s.write(b"question")
        s.take()
        for at in range(1, 4097, 1024):
            s.inject(f"P. {at}:{at + 1024}(1024) ack 1 win 65535")
        assert s.take()[-1].window == 0
        s.take_events()
        s.inject(text)
        assert s.take_events() & seen == seen & ~events.FINISHED
        assert s.conn.buffered == 0


def test_a_fin_ahead_of_lost_data_is_acknowledged_at_once() -> None:
    with established() as s:
        s.inject("F. 11:11(0) ack 1 win 65535")
        s.expect(". 1:1(0) ack 1")
        assert str(s.state) == "ESTABLISHED"
        s.inject("P. 1:11(10) ack 1 win 65535")
        s.expect(". 1:1(0) ack 12")
        assert str(s.state) == "CLOSE-WAIT"
        assert s.take_events() == events.READABLE | events.EOF
        assert s.read() == s.payload(1, 11)


def test_a_fin_below_data_that_was_received_is_not_one() -> None:
    with established() as s:
        s.inject("P. 21:31(10) ack 1 win 65535")
        s.take()
        s.inject("F. 11:11(0) ack 1 win 65535")
        s.inject("P. 1:21(20) ack 1 win 65535")
        s.take()
        assert str(s.state) == "ESTABLISHED"
        assert s.read() == s.payload(1, 31)


def test_the_window_of_a_crossing_syn_ack_is_not_scaled() -> None:
    # RFC 7323 §2.2
    with Script(config=Config(ecn=False, timestamps=False), peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject("S 0:0(0) win 1000 <mss 1460,nop,wscale 7>")
        s.expect("S. 0:0(0) ack 1")
        s.inject("S. 0:0(0) ack 1 win 1000 <mss 1460,nop,wscale 7>")
        assert str(s.state) == "ESTABLISHED"
        assert s.conn.info().snd_wnd <= 1000


def test_close_in_syn_received_survives_a_lost_syn_ack_and_a_shut_window() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.connect()
        s.take()
        s.inject("S 0:0(0) win 0 <mss 1460>")
        s.expect("S. 0:0(0) ack 1")
        s.close()
        assert str(s.state) == "FIN-WAIT-1"
        s.expect("S. 0:0(0) ack 1", within_ms=1000)
        s.inject("S. 0:0(0) ack 1 win 500 <mss 1460>")
        s.expect("F. 1:1(0) ack 1")


def test_a_closed_connection_does_not_wait_for_a_fin_without_end() -> None:
    with established() as s:
        s.close()
        s.expect("F. 1:1(0) ack 1")
        s.inject(". 1:1(0) ack 2 win 65535")
        assert str(s.state) == "FIN-WAIT-2"
        s.advance(ms=59_999)
        assert str(s.state) == "FIN-WAIT-2"
        s.advance(ms=1)
        assert str(s.state) == "CLOSED"
        assert s.conn.reason is Reason.CLOSED
        assert s.endpoint.idle


def test_half_closed_waits_as_long_as_the_peer_likes() -> None:
    with established() as s:
        s.write_eof()
        s.expect("F. 1:1(0) ack 1")
        s.inject(". 1:1(0) ack 2 win 65535")
        s.advance(ms=3_600_000)
        assert str(s.state) == "FIN-WAIT-2"
        s.inject("P. 1:11(10) ack 2 win 65535")
        assert s.read() == s.payload(1, 11)
        s.expect(". 2:2(0) ack 11", within_ms=100)


def test_a_reset_behind_the_fin_in_one_train_does_not_end_time_wait() -> None:
    # RFC 1337
    with established() as s:
        s.write_eof()
        s.take()
        s.inject(". 1:1(0) ack 2 win 65535")
        s.inject("F. 1:1(0) ack 2 win 65535", "R. 2:2(0) ack 2 win 0")
        s.expect(". 2:2(0) ack 2")
        assert str(s.state) == "TIME-WAIT"
        assert s.conn.reason is Reason.CLOSED


def test_a_soft_error_does_not_show_a_connection_that_is_not_there_yet() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.listen()
        s.inject("S 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1")
        s.unreachable(hard=False)
        assert s.take_events() == 0
        assert str(s.state) == "SYN-RECEIVED"
        s.inject(". 1:1(0) ack 1 win 65535")
        assert str(s.conn.state) == "ESTABLISHED"
        assert s.take_events() & events.CONNECTED


def test_resets_for_bad_acknowledgments_of_a_syn_are_limited() -> None:
    config = Config(timestamps=False, sack=False, window_scaling=False, ecn=False, reset_rate=3)
    with Script(config=config, peer_iss=1000) as s:
        s.connect()
        s.take()
        for _ in range(5):
            s.inject(". 1:1(0) ack 77 win 100")
        assert len(s.take()) == 3
        assert s.endpoint.counters.resets_suppressed == 2
        assert str(s.state) == "SYN-SENT"


def test_syns_that_repeat_fast_are_not_all_answered() -> None:
    with Script(config=PLAIN, peer_iss=1000) as s:
        s.listen()
        for _ in range(5):
            s.inject("S 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1")
        s.expect("S. 0:0(0) ack 1")
        s.expect_nothing()
        s.advance(ms=500)
        s.inject("S 0:0(0) win 65535 <mss 1460>")
        s.expect("S. 0:0(0) ack 1")


def test_an_ack_leaves_inside_the_window_that_shut() -> None:
    # One octet was sent beyond a shut window as a probe. An ACK with SND.NXT would lie outside of
    # the peer's window, and the peer would not take what it acknowledges.
    with established(window=0) as s:
        s.write(b"waiting")
        probe = s.expect(". 1:2(1) ack 1", within_ms=2000)
        assert probe.payload == b"w"
        s.inject(". 1:1(0) ack 1 win 0")
        s.inject("P. 1:11(10) ack 1 win 0")
        s.expect(". 1:1(0) ack 11", within_ms=100)
        s.take()


@pytest.mark.rfc("MUST-22")
def test_the_application_hears_of_r1_for_a_syn_too() -> None:
    with Script(config=Config(retries1=2), peer_iss=1000) as s:
        s.connect()
        s.advance(ms=2_999)
        assert not s.take_events() & events.ADVICE
        s.advance(ms=1)
        assert s.take_events() & events.ADVICE
        s.advance(ms=300_000)
        s.take()
        assert s.conn.reason is Reason.TIMED_OUT


def test_acknowledgments_that_say_nothing_do_not_keep_a_connection_alive() -> None:
    # RFC 9293 §3.8.3: R2 counts retransmissions of one segment, whatever else the peer says.
    with established(Config(timestamps=False, sack=False, ecn=False, retries2=4)) as s:
        s.write(b"never acknowledged")
        for _ in range(40):
            s.advance(ms=300)
            if str(s.state) == "CLOSED":
                break
            s.inject(". 1:1(0) ack 1 win 65535")
        s.take()
        assert s.conn.reason is Reason.TIMED_OUT


def test_timestamps_are_taken_again_after_a_month_of_silence() -> None:
    # RFC 7323 §5.5
    with established(STAMPED) as s:
        s.advance(ms=25 * 86_400 * 1000)
        old = 100 - 5000 & 0xFFFF_FFFF
        s.inject(f"P. 1:4(3) ack 1 win 65535 <nop,nop,TS val {old} ecr 0>")
        s.expect(f". 1:1(0) ack 4 <nop,nop,TS val * ecr {old}>", within_ms=100)
        # And they count again.
        s.inject(f"P. 4:7(3) ack 1 win 65535 <nop,nop,TS val {old - 1} ecr 0>")
        s.expect(f". 1:1(0) ack 4 <nop,nop,TS val * ecr {old}>")


@pytest.mark.rfc("SHLD-3")
def test_close_with_unread_data_resets_in_last_ack_too() -> None:
    with established() as s:
        s.inject("FP. 1:11(10) ack 1 win 65535")
        s.expect(". 1:1(0) ack 12")
        s.write_eof()
        s.expect("F. 1:1(0) ack 12")
        assert str(s.state) == "LAST-ACK"
        s.close()
        s.expect("R. 2:2(0) ack 12")
        assert s.conn.reason is Reason.ABORTED


def test_abort_in_last_ack_resets_while_data_waits() -> None:
    # RFC 9293 §3.10.5 sends none, for there the FIN is out. Here it is not yet; so does Linux.
    with established(window=5) as s:
        s.write(b"more than the window")
        s.take()
        s.inject("F. 1:1(0) ack 1 win 5")
        s.write_eof()
        assert str(s.state) == "LAST-ACK"
        s.take()
        s.abort()
        s.expect("R. 6:6(0) ack 2")


def test_a_new_connection_can_follow_an_aborted_one_at_once() -> None:
    with established() as s:
        now = s.now
        s.conn.abort()
        new = s.endpoint.connect(now + SECOND, s.peer)
        sent = []
        while (burst := s.endpoint.poll_transmit(now + SECOND)) is not None:
            sent.append(burst.data[1])
        assert sent == [0x14, 0x02]
        assert str(new.state) == "SYN-SENT"
