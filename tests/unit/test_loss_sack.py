"""LossDetector for a peer with SACK: RACK, tail loss probes, needless recoveries."""

from __future__ import annotations

from tests.unit.segments import ENTRY, MS, MSS, Sender
from utcp.core.loss import (
    ADAPT_RTO,
    ENTERED_RECOVERY,
    EXITED_RECOVERY,
    FIRST_TIMEOUT,
    MARKED_LOST,
    OPEN,
    RECOVERY,
    REDUCE,
    RENEGED,
    UNDO_REDUCTION,
    UNDONE,
)
from utcp.core.timers import NEVER

# -- with SACK ----------------------------------------------------------------------------------


def test_dup_thresh_sacked_begins_recovery_at_once() -> None:
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (1, 3)) == 0
    assert (tcp.pipe, tcp.loss.dup_acks) == (8, 1)
    assert tcp.ack(0, (1, 4)) == ENTRY
    assert tcp.sample.lost == MSS
    assert tcp.sample.in_recovery
    assert (tcp.pipe, tcp.loss.recover, tcp.loss.must_send) == (6, 1000, 1)
    assert tcp.resend() == 0
    assert tcp.ack(10) == EXITED_RECOVERY
    assert tcp.loss.state == OPEN


def test_fewer_wait_for_the_reordering_window() -> None:
    # RFC 8985 §6.2 steps 4 and 5
    tcp = Sender(3, sack=True)
    sent_at = 1101 * MS
    assert tcp.ack(0, (1, 2)) == 0
    due = tcp.loss.reorder_at
    # Segment.xmit_ts + RACK.rtt + RACK.reo_wnd
    assert due == sent_at + 102 * MS + 25 * MS
    assert tcp.ack(0, (1, 2)) == 0
    assert tcp.wait() == ENTRY
    assert tcp.now == due
    assert tcp.resend() == 0
    # The third was sent after what was SACKed.
    assert tcp.pipe == 2
    assert tcp.loss.reorder_at == NEVER


def test_what_fills_the_hole_in_time_was_reordered() -> None:
    tcp = Sender(5, sack=True)
    assert tcp.ack(0, (1, 2)) == 0
    assert tcp.ack(2) == 0
    assert tcp.flight.reordering_seen
    # From now on DupThresh is nothing, time is all.
    tcp.ack(5)
    tcp.send(5)
    tcp.now += 100 * MS
    assert tcp.ack(5, (6, 9)) == 0
    assert tcp.wait() == ENTRY


def test_reo_wnd_grows_with_each_round_of_dsack() -> None:
    tcp = Sender(0, sack=True)
    rack = tcp.loss.rack
    assert rack.reo_wnd_ns(tcp.rtt, False, True) == 0
    assert rack.reo_wnd_ns(tcp.rtt, False, False) == 25 * MS
    rack.on_dsack(0, 1000)
    rack.on_dsack(500, 1500)
    assert rack.reo_wnd_ns(tcp.rtt, True, True) == 50 * MS
    rack.on_dsack(1000, 2000)
    assert rack.reo_wnd_ns(tcp.rtt, True, True) == 75 * MS
    for _ in range(3):
        rack.on_dsack(1 << 40, 0)
    assert rack.reo_wnd_ns(tcp.rtt, True, True) == 100 * MS  # SRTT
    for _ in range(15):
        rack.on_recovery_exit()
    assert rack.reo_wnd_mult == 6
    rack.on_recovery_exit()
    assert rack.reo_wnd_mult == 1


def test_ack_without_new_sack_is_no_duplicate() -> None:
    tcp = Sender(10, sack=True)
    for _ in range(5):
        assert tcp.ack(0, (1, 2)) == 0
    assert tcp.loss.dup_acks == 1
    assert tcp.pipe == 9


def test_everything_sent_before_is_lost() -> None:
    tcp = Sender(20, sack=True)
    assert tcp.ack(2, (4, 5), (7, 11)) == ENTRY
    assert tcp.sample.lost == 4 * MSS
    assert [tcp.resend() for _ in range(5)] == [2, 3, 5, 6, -1]
    assert tcp.ack(2, (7, 12)) == 0
    # More are lost as more is SACKed above, at once in recovery.
    assert tcp.ack(2, (15, 16)) == MARKED_LOST
    assert tcp.sample.lost == 3 * MSS
    assert [tcp.resend() for _ in range(4)] == [12, 13, 14, -1]


def test_recovery_follows_recovery_on_one_ack() -> None:
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (1, 5)) == ENTRY
    tcp.resend()
    tcp.send(10)
    assert tcp.ack(10, (11, 15)) == EXITED_RECOVERY | ENTRY
    assert tcp.loss.recover == 2000
    assert tcp.resend() == 10


def test_marks_above_outlive_recovery() -> None:
    tcp = Sender(10, sack=True)
    tcp.ack(0, (1, 5))
    tcp.resend()
    tcp.send(10)
    tcp.ack(5, (12, 13))
    assert tcp.ack(10, (12, 13)) & EXITED_RECOVERY
    assert tcp.flight.sacked_bytes == MSS


def test_a_lost_retransmission_is_found_by_what_was_sent_after_it() -> None:
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (1, 4)) == ENTRY
    assert tcp.resend() == 0
    tcp.send(1)
    # What was sent before the retransmission says nothing of it.
    assert tcp.ack(0, (1, 10)) == 0
    assert tcp.ack(0, (1, 11)) == MARKED_LOST
    assert tcp.resend() == 0
    assert tcp.ack(11) == EXITED_RECOVERY


def test_the_tail_is_found_by_the_retransmission_of_the_head() -> None:
    """0, 8 and 9 of ten are lost, and nothing is left to send."""
    tcp = Sender(10, sack=True)
    tcp.ack(0, (1, 8))
    assert tcp.resend() == 0
    assert tcp.ack(8) == MARKED_LOST
    assert [tcp.resend() for _ in range(3)] == [8, 9, -1]
    assert tcp.ack(10) == EXITED_RECOVERY


def test_peer_that_sacks_everything_and_acknowledges_nothing() -> None:
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (0, 2)) == 0
    assert tcp.ack(0, (0, 10)) == 0
    assert tcp.resend() == -1
    assert tcp.rto() == MARKED_LOST | FIRST_TIMEOUT | RENEGED | REDUCE
    assert tcp.resend(2000) == 0
    assert tcp.pipe == 10


# -- needless recoveries ------------------------------------------------------------------------


def test_a_late_segment_undoes_recovery() -> None:
    """Eifel detection: the echoed timestamp is older than the retransmission."""
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (1, 5)) == ENTRY
    assert tcp.resend() == 0
    tcp.echo_ms = 1002
    # RFC 3522 §3.2 step (5): it could be that all ACKs were lost.
    assert not tcp.ack(10) & UNDONE
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (1, 5)) == ENTRY
    assert tcp.resend() == 0
    tcp.echo_ms = tcp.now // MS
    assert not tcp.ack(1, (1, 5)) & UNDONE
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (1, 5)) == ENTRY
    assert tcp.resend() == 0
    tcp.echo_ms = tcp.now // MS - 1
    assert tcp.ack(5) == UNDONE | UNDO_REDUCTION
    assert (tcp.loss.state, tcp.loss.must_send, tcp.pipe) == (OPEN, 0, 5)


def test_other_holes_may_be_real() -> None:
    tcp = Sender(20, sack=True)
    assert tcp.ack(0, (1, 2), (3, 6)) == ENTRY
    assert [tcp.resend(), tcp.resend()] == [0, 2]
    tcp.echo_ms = 1002
    assert tcp.ack(2, (3, 6)) == 0
    assert tcp.loss.state == RECOVERY
    assert tcp.ack(6) == UNDONE | UNDO_REDUCTION


def test_dsack_for_all_that_was_resent_undoes_it_later() -> None:
    tcp = Sender(20, sack=True)
    assert tcp.ack(0, (1, 2), (3, 6)) == ENTRY
    assert [tcp.resend(), tcp.resend()] == [0, 2]
    assert tcp.ack(20) == EXITED_RECOVERY
    tcp.send(10)
    assert tcp.ack(20, (0, 1)) == 0
    assert tcp.ack(20, (2, 3)) == UNDONE | UNDO_REDUCTION
    assert tcp.loss.rack.reo_wnd_mult == 2
    assert tcp.ack(20, (2, 3)) == 0


def test_a_retransmission_that_is_late_itself_undoes_it_still() -> None:
    tcp = Sender(20, sack=True)
    assert tcp.ack(0, (1, 5)) == ENTRY
    assert tcp.resend() == 0
    assert tcp.ack(20) == EXITED_RECOVERY
    tcp.send(2)
    # It was overtaken by new data.
    assert tcp.ack(22) == 0
    assert tcp.ack(22, (0, 1)) == UNDONE | UNDO_REDUCTION


def test_what_was_answered_is_not_undone_any_more() -> None:
    tcp = Sender(20, sack=True)
    assert tcp.ack(0, (1, 5)) == ENTRY
    assert tcp.resend() == 0
    assert tcp.ack(20) == EXITED_RECOVERY
    tcp.send(2)
    assert tcp.ack(21) == 0
    assert not tcp.settled()
    tcp.send(1)
    assert tcp.ack(22) == 0
    assert not tcp.settled()
    assert tcp.ack(23) == 0
    assert tcp.settled()
    assert tcp.ack(23, (0, 1)) == 0


def test_a_late_segment_undoes_a_time_out() -> None:
    tcp = Sender(10, sack=True)
    tcp.rto()
    assert tcp.pipe == 0
    assert tcp.resend() == 0
    tcp.echo_ms = 1005
    before = tcp.rtt.srtt_ns
    assert tcp.ack(1) == UNDONE | UNDO_REDUCTION
    assert (tcp.loss.state, tcp.pipe, tcp.loss.undo.srtt_prev_ns) == (OPEN, 9, before)
    assert tcp.resend() == -1
    # RFC 4015 §3.1 step (11): at the first sample of new data.
    tcp.send(1)
    tcp.ack(10)
    assert tcp.ack(11) == ADAPT_RTO
    assert tcp.settled()


# -- tail loss probes ---------------------------------------------------------------------------


def test_probe_of_new_data() -> None:
    tcp = Sender(2, sack=True)
    tcp.loss.may_probe = True
    tcp.send(1)
    tcp.loss.probe_sent(tcp.flight.nxt, False)
    assert not tcp.may_probe()
    assert tcp.ack(2) == 0
    assert not tcp.may_probe()
    assert tcp.ack(3) == 0
    assert tcp.may_probe()
    assert tcp.settled()


def probed(segments: int = 3) -> Sender:
    """The last segment was sent again as a probe."""
    tcp = Sender(segments, sack=True)
    end = tcp.flight.nxt
    tcp.now += MS
    tcp.flight.resent(end - MSS, end, tcp.now)
    tcp.loss.probe_sent(end, True)
    return tcp


def test_probe_that_repaired_a_loss_reduces_the_window() -> None:
    # RFC 8985 §7.4.2
    tcp = probed()
    assert tcp.ack(3) == 0
    tcp.send(1)
    assert tcp.ack(4) == REDUCE
    assert tcp.loss.state == OPEN
    assert tcp.may_probe()


def test_probe_that_was_received_twice_does_not() -> None:
    tcp = probed()
    assert tcp.ack(3) == 0
    assert tcp.ack(3, (2, 3)) == 0  # case 1
    tcp.send(1)
    assert tcp.ack(4) == 0
    tcp = probed()
    assert tcp.ack(3) == 0
    assert tcp.ack(3) == 0  # case 2
    tcp.send(1)
    assert tcp.ack(4) == 0


def test_no_second_probe_without_an_rtt_sample_in_between() -> None:
    tcp = probed()
    tcp.ack(3)
    tcp.ack(3, (2, 3))
    assert not tcp.may_probe()
    tcp.send(1)
    tcp.ack(4)
    assert tcp.may_probe()


def test_probe_shows_what_is_missing_before_it() -> None:
    # RFC 8985 §7.4.1
    tcp = probed(5)
    tcp.now += 100 * MS
    tcp.sample.min_rtt_ns = 100 * MS
    assert tcp.ack(0, (4, 5)) & ENTERED_RECOVERY
    assert tcp.sample.lost == 4 * MSS
