"""LossDetector: fast retransmit, NewReno, RACK and time-outs, played segment by segment."""

from __future__ import annotations

from utcp.core.flight import Flight
from utcp.core.loss import (
    ADAPT_RTO,
    ENTERED_RECOVERY,
    EXAMINED,
    EXITED_LOSS,
    EXITED_RECOVERY,
    FIRST_TIMEOUT,
    LOSS,
    MARKED_LOST,
    OPEN,
    PARTIAL_ACK,
    RECOVERY,
    REDUCE,
    RENEGED,
    UNDO_REDUCTION,
    UNDONE,
    LossDetector,
)
from utcp.core.rtt import RttEstimator
from utcp.core.sample import AckSample
from utcp.core.timers import NEVER

MSS = 100
MS = 1_000_000
ENTRY = ENTERED_RECOVERY | MARKED_LOST | REDUCE


class Sender:
    """A flight and a detector. Segment n of one MSS begins at byte n * MSS; the SYN is byte -1.

    Each segment, each ACK and each retransmission is a millisecond later than what was before.
    """

    def __init__(self, segments: int, *, sack: bool) -> None:
        self.flight = Flight(-1)
        self.loss = LossDetector(-1)
        self.sack = sack
        self.sample = AckSample()
        self.now = 1000 * MS
        self.rtt = RttEstimator(1000 * MS, 200 * MS, 120_000 * MS)
        self.echo_ms = -1
        self.flight.sent(-1, 0, self.now)
        # The handshake takes a round trip of 100 ms.
        self.now += 99 * MS
        assert self.ack(0) == 0
        self.send(segments)
        self.now += 100 * MS

    def send(self, segments: int) -> None:
        for _ in range(segments):
            self.now += MS
            self.flight.sent(self.flight.nxt, self.flight.nxt + MSS, self.now)

    def ack(self, segment: int, *blocks: tuple[int, int], mss: int = MSS) -> int:
        """An ACK of everything before `segment`, with SACK blocks of segments. Returns flags."""
        self.now += MS
        sample = self.sample
        sample.reset(self.now)
        sample.echo_ms = self.echo_ms
        una = segment * MSS
        sample.duplicate = una == self.flight.una
        self.flight.ack(una, sample)
        self.flight.sack([(a * MSS, b * MSS) for a, b in blocks], sample)
        if sample.rtt_ns >= 0:
            self.rtt.update(sample.rtt_ns, self.now)
        flags = self.loss.on_ack(self.flight, sample, self.rtt, mss, self.sack)
        assert sample.in_flight == self.flight.pipe >= 0
        return flags & ~EXAMINED

    def rto(self) -> int:
        self.now += 1000 * MS
        return self.loss.on_rto(self.flight, self.rtt, self.now, MSS, self.sack)

    def wait(self) -> int:
        """Until the reordering timer expires. Returns flags."""
        assert self.now < self.loss.reorder_at < NEVER
        self.now = self.loss.reorder_at
        flags = self.loss.on_reorder_timeout(self.flight, self.rtt, self.now, MSS)
        return flags & ~EXAMINED

    def resend(self, limit: int = MSS) -> int:
        """Retransmit what is next. Returns the segment, -1 if there is none."""
        start, end = self.flight.next_lost(limit)
        if start < 0:
            return -1
        self.now += MS
        self.flight.resent(start, end, self.now)
        return start // MSS

    @property
    def pipe(self) -> int:
        """In segments."""
        return self.flight.pipe // MSS


# -- without SACK -------------------------------------------------------------------------------


def test_third_duplicate_begins_fast_recovery() -> None:
    tcp = Sender(10, sack=False)
    assert tcp.ack(1) == 0
    for pipe in (8, 7):
        assert tcp.ack(1) == 0
        # RFC 3042: room for a segment of new data each.
        assert tcp.pipe == pipe
    assert tcp.loss.dup_acks == 2
    assert tcp.ack(1) == ENTRY
    assert tcp.loss.state == RECOVERY
    assert tcp.loss.recover == 1000
    assert tcp.loss.must_send == 1
    assert tcp.sample.in_recovery
    assert tcp.sample.lost == MSS
    # 9 outstanding, 3 counted out, 1 lost
    assert tcp.pipe == 5
    assert tcp.resend() == 1
    assert tcp.resend() == -1


def test_new_data_restarts_the_count() -> None:
    tcp = Sender(10, sack=False)
    tcp.ack(1)
    tcp.ack(1)
    tcp.ack(1)
    assert tcp.ack(2) == 0
    assert (tcp.loss.dup_acks, tcp.pipe) == (0, 8)
    tcp.ack(2)
    assert tcp.ack(2) == 0


def test_what_is_no_duplicate_does_not_count() -> None:
    tcp = Sender(10, sack=False)
    tcp.ack(1)
    for _ in range(5):
        tcp.sample.reset(tcp.now)
        tcp.flight.ack(MSS, tcp.sample)
        assert tcp.loss.on_ack(tcp.flight, tcp.sample, tcp.rtt, MSS, False) in (0, EXAMINED)
    assert tcp.loss.dup_acks == 0


def test_loss_of_the_very_first_segment() -> None:
    tcp = Sender(4, sack=False)
    tcp.ack(0)
    tcp.ack(0)
    assert tcp.ack(0) == ENTRY


def test_newreno_partial_and_full_acknowledgment() -> None:
    """Segments 0 and 3 of ten are lost."""
    tcp = Sender(10, sack=False)
    for _ in range(3):
        tcp.ack(0)
    assert tcp.resend() == 0
    for _ in range(5):
        assert tcp.ack(0) == 0
    assert tcp.pipe == 2  # 3, and the retransmitted 0
    tcp.loss.must_send = 0
    assert tcp.ack(3) == PARTIAL_ACK | MARKED_LOST
    assert tcp.loss.must_send == 1
    assert tcp.sample.in_recovery
    assert tcp.resend() == 3
    assert tcp.pipe == 1
    assert tcp.ack(10) == EXITED_RECOVERY
    assert tcp.sample.in_recovery
    assert (tcp.loss.state, tcp.loss.must_send, tcp.pipe) == (OPEN, 0, 0)
    assert tcp.ack(10) == 0


def test_careful_variant_ignores_duplicates_of_retransmissions() -> None:
    tcp = Sender(10, sack=False)
    for _ in range(3):
        tcp.ack(0)
    tcp.send(5)
    assert tcp.ack(10) == EXITED_RECOVERY
    # RFC 6582 §3.2 step 2: the ACK covers `recover`, not more.
    for _ in range(6):
        assert tcp.ack(10) == 0
    assert tcp.pipe == 3  # as for two duplicates
    assert tcp.ack(11) == 0
    assert tcp.pipe == 4
    tcp.ack(11)
    tcp.ack(11)
    assert tcp.ack(11) == ENTRY


def test_duplicates_beyond_the_third_do_not_begin_recovery_later() -> None:
    tcp = Sender(10, sack=False)
    tcp.rto()
    tcp.send(5)
    assert tcp.ack(10) == EXITED_LOSS
    for _ in range(8):
        assert tcp.ack(10) == 0
    assert tcp.loss.state == OPEN


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


def test_what_was_answered_is_not_undone_any_more() -> None:
    tcp = Sender(20, sack=True)
    assert tcp.ack(0, (1, 5)) == ENTRY
    assert tcp.resend() == 0
    assert tcp.ack(20) == EXITED_RECOVERY
    tcp.send(2)
    assert not tcp.loss.settled
    assert tcp.ack(21) == 0
    assert tcp.loss.settled
    assert tcp.ack(21, (0, 1)) == 0


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
    assert tcp.loss.settled


# -- tail loss probes ---------------------------------------------------------------------------


def test_probe_of_new_data() -> None:
    tcp = Sender(2, sack=True)
    tcp.loss.may_probe = True
    tcp.send(1)
    tcp.loss.probe_sent(tcp.flight.nxt, False)
    assert not tcp.loss.may_probe
    assert tcp.ack(2) == 0
    assert not tcp.loss.may_probe
    assert tcp.ack(3) == 0
    assert tcp.loss.may_probe
    assert tcp.loss.settled


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
    assert tcp.loss.may_probe


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
    assert not tcp.loss.may_probe
    tcp.send(1)
    tcp.ack(4)
    assert tcp.loss.may_probe


def test_probe_shows_what_is_missing_before_it() -> None:
    # RFC 8985 §7.4.1
    tcp = probed(5)
    tcp.now += 100 * MS
    tcp.sample.min_rtt_ns = 100 * MS
    assert tcp.ack(0, (4, 5)) & ENTERED_RECOVERY
    assert tcp.sample.lost == 4 * MSS


# -- time-outs ----------------------------------------------------------------------------------


def test_time_out() -> None:
    tcp = Sender(10, sack=True)
    tcp.ack(0, (3, 4))
    assert tcp.rto() == MARKED_LOST | FIRST_TIMEOUT | REDUCE
    assert (tcp.loss.state, tcp.loss.recover, tcp.loss.must_send) == (LOSS, 1000, 1)
    assert tcp.pipe == 0
    assert tcp.resend() == 0
    # Again for the same segment.
    assert tcp.rto() == MARKED_LOST
    assert tcp.resend() == 0
    assert tcp.ack(3) == 0
    assert not tcp.sample.in_recovery
    # 3 is SACKed and not acknowledged: the peer reneged.
    assert tcp.rto() == MARKED_LOST | FIRST_TIMEOUT | RENEGED
    assert tcp.resend() == 3


def test_sacks_spare_retransmissions_after_a_time_out() -> None:
    tcp = Sender(10, sack=True)
    tcp.rto()
    assert tcp.resend() == 0
    assert tcp.ack(1, (2, 9)) == 0
    assert [tcp.resend() for _ in range(3)] == [1, 9, -1]
    assert tcp.ack(10) == EXITED_LOSS
    assert tcp.loss.state == OPEN


def test_no_recovery_before_the_time_out_is_repaired() -> None:
    # RFC 6675 §5.1; losses of what was sent since are marked all the same.
    tcp = Sender(10, sack=True)
    tcp.rto()
    while tcp.resend() >= 0:
        pass
    tcp.send(5)
    assert tcp.ack(10, (11, 15)) == EXITED_LOSS | ENTERED_RECOVERY | MARKED_LOST | REDUCE
    tcp = Sender(10, sack=True)
    tcp.rto()
    while tcp.resend() >= 0:
        pass
    tcp.send(5)
    assert tcp.ack(5, (11, 15)) == MARKED_LOST
    assert tcp.loss.state == LOSS
    assert tcp.resend() == 5


def test_time_out_spares_what_was_sent_just_now() -> None:
    # RFC 8985 §6.3
    tcp = Sender(5, sack=True)
    tcp.rtt.update(100 * MS, tcp.now)
    tcp.now += 950 * MS
    tcp.send(2)
    assert tcp.rto() & FIRST_TIMEOUT
    assert tcp.pipe == 0
    tcp = Sender(5, sack=True)
    tcp.rtt.update(2000 * MS, tcp.now)
    tcp.rto()
    assert tcp.pipe == 4
    assert tcp.resend() == 0
    assert tcp.resend() == -1


def test_time_out_ends_recovery_and_ignores_duplicates() -> None:
    tcp = Sender(10, sack=False)
    for _ in range(3):
        tcp.ack(0)
    assert tcp.rto() == MARKED_LOST | FIRST_TIMEOUT
    assert tcp.pipe == 0
    tcp.resend()
    for _ in range(5):
        assert tcp.ack(0) == 0
    assert tcp.pipe == 1


# -- ECN ----------------------------------------------------------------------------------------


def test_ecn_once_per_window() -> None:
    tcp = Sender(10, sack=True)
    tcp.ack(1)
    assert tcp.loss.on_ece(tcp.flight.una, tcp.flight.nxt)
    tcp.ack(5)
    assert not tcp.loss.on_ece(tcp.flight.una, tcp.flight.nxt)
    tcp.send(5)
    tcp.ack(10)
    assert not tcp.loss.on_ece(tcp.flight.una, tcp.flight.nxt)
    tcp.ack(11)
    assert tcp.loss.on_ece(tcp.flight.una, tcp.flight.nxt)


def test_ecn_and_loss_reduce_once_together() -> None:
    tcp = Sender(10, sack=True)
    tcp.ack(1)
    assert tcp.loss.on_ece(tcp.flight.una, tcp.flight.nxt)
    assert tcp.ack(1, (2, 6)) == ENTERED_RECOVERY | MARKED_LOST
    assert not tcp.loss.on_ece(tcp.flight.una, tcp.flight.nxt)
    tcp.resend()
    tcp.send(10)
    assert tcp.ack(10, (11, 15)) == EXITED_RECOVERY | ENTRY


def test_window_update_in_recovery_without_sack() -> None:
    tcp = Sender(10, sack=False)
    for _ in range(3):
        tcp.ack(0)
    pipe = tcp.pipe
    tcp.sample.reset(tcp.now)
    tcp.flight.ack(0, tcp.sample)
    assert tcp.loss.on_ack(tcp.flight, tcp.sample, tcp.rtt, MSS, False) == EXAMINED
    assert tcp.pipe == pipe
