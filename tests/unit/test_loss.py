"""LossDetector: fast retransmit, NewReno, RFC 6675 and time-outs, played segment by segment."""

from __future__ import annotations

from utcp.core.flight import Flight
from utcp.core.loss import (
    ENTERED_RECOVERY,
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
    LossDetector,
    lost_edge,
)
from utcp.core.sample import AckSample

MSS = 100
ENTRY = ENTERED_RECOVERY | MARKED_LOST | REDUCE


class Sender:
    """A flight and a detector. Segment n of one MSS begins at byte n * MSS; the SYN is byte -1."""

    def __init__(self, segments: int, *, sack: bool) -> None:
        self.flight = Flight(-1)
        self.loss = LossDetector(-1)
        self.sack = sack
        self.sample = AckSample()
        self.now = 0
        self.flight.sent(-1, 0, 0)
        assert self.ack(0) == 0
        self.send(segments)

    def send(self, segments: int) -> None:
        for _ in range(segments):
            self.now += 1
            self.flight.sent(self.flight.nxt, self.flight.nxt + MSS, self.now)

    def ack(self, segment: int, *blocks: tuple[int, int], mss: int = MSS) -> int:
        """An ACK of everything before `segment`, with SACK blocks of segments. Returns flags."""
        self.now += 1
        sample = self.sample
        sample.reset(self.now)
        una = segment * MSS
        sample.duplicate = una == self.flight.una
        self.flight.ack(una, sample)
        self.flight.sack([(a * MSS, b * MSS) for a, b in blocks], sample)
        flags = self.loss.on_ack(self.flight, sample, self.flight.nxt, mss, self.sack)
        assert sample.in_flight == self.flight.pipe >= 0
        return flags

    def rto(self) -> int:
        return self.loss.on_rto(self.flight, self.flight.nxt)

    def resend(self, limit: int = MSS) -> int:
        """Retransmit what is next. Returns the segment, -1 if there is none."""
        start, end = self.flight.next_lost(limit)
        if start < 0:
            return -1
        self.now += 1
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
        assert tcp.loss.on_ack(tcp.flight, tcp.sample, 1000, MSS, False) == 0
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


def test_no_rescue_without_sack() -> None:
    tcp = Sender(10, sack=False)
    for _ in range(3):
        tcp.ack(0)
    tcp.resend()
    tcp.ack(3)
    tcp.resend()
    assert tcp.loss.last_resort(tcp.flight, MSS) == (-1, -1)


# -- with SACK ----------------------------------------------------------------------------------


def test_lost_edge() -> None:
    tcp = Sender(20, sack=True)
    tcp.flight.sack([(500, 700)], tcp.sample)
    assert lost_edge(tcp.flight, MSS) == 0  # not more than two segments
    tcp.flight.sack([(700, 701)], tcp.sample)
    assert lost_edge(tcp.flight, MSS) == 500
    tcp.flight.sack([(900, 1000)], tcp.sample)
    assert lost_edge(tcp.flight, MSS) == 500
    tcp.flight.sack([(1100, 1101)], tcp.sample)
    assert lost_edge(tcp.flight, MSS) == 500  # the third sequence from the top
    tcp.flight.sack([(1200, 1400)], tcp.sample)
    assert lost_edge(tcp.flight, MSS) == 1100
    tcp.flight.sack([(1500, 1801)], tcp.sample)
    assert lost_edge(tcp.flight, MSS) == 1500


def test_sack_of_more_than_two_segments_begins_recovery() -> None:
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (1, 3)) == 0
    assert (tcp.pipe, tcp.loss.dup_acks) == (8, 1)
    assert tcp.ack(0, (1, 4)) == ENTRY
    assert tcp.sample.lost == MSS
    assert (tcp.pipe, tcp.loss.recover) == (6, 1000)
    assert tcp.resend() == 0
    assert tcp.ack(10) == EXITED_RECOVERY
    assert tcp.loss.state == OPEN


def test_three_small_sacks_begin_recovery() -> None:
    # RFC 6675 §5 step 1: IsLost() would wait, the duplicates do not.
    tcp = Sender(10, sack=True)
    for i in (2, 3):
        assert tcp.ack(0, (1, i), mss=1000) == 0
    assert tcp.ack(0, (1, 4), mss=1000) == ENTRY
    # Not more than a segment of the hole.
    assert tcp.sample.lost == MSS


def test_ack_without_new_sack_is_no_duplicate() -> None:
    tcp = Sender(10, sack=True)
    tcp.ack(0, (1, 2))
    for _ in range(5):
        assert tcp.ack(0, (1, 2)) == 0
    assert tcp.loss.dup_acks == 1
    assert tcp.pipe == 9


def test_all_holes_below_the_edge_are_lost() -> None:
    tcp = Sender(20, sack=True)
    assert tcp.ack(2, (4, 5), (7, 11)) == ENTRY
    assert tcp.sample.lost == 4 * MSS
    assert [tcp.resend() for _ in range(5)] == [2, 3, 5, 6, -1]
    assert tcp.ack(2, (7, 12)) == 0
    # More are lost as more is SACKed above.
    assert tcp.ack(2, (15, 19)) == MARKED_LOST
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
    # RFC 6675 §5 (A)
    tcp = Sender(10, sack=True)
    tcp.ack(0, (1, 5))
    tcp.resend()
    tcp.send(10)
    tcp.ack(5, (12, 13))
    assert tcp.ack(10, (12, 13)) == EXITED_RECOVERY
    assert tcp.flight.sacked_bytes == MSS


def test_rule_3_keeps_the_ack_clock() -> None:
    tcp = Sender(20, sack=True)
    tcp.ack(0, (1, 4))
    tcp.resend()
    tcp.ack(0, (8, 9))
    assert tcp.resend() == -1
    for segment in (4, 5, 6, 7):
        start, end = tcp.loss.last_resort(tcp.flight, MSS)
        assert (start, end) == (segment * MSS, (segment + 1) * MSS)
        tcp.flight.resent(start, end, tcp.now)
    assert tcp.loss.last_resort(tcp.flight, MSS) == (-1, -1)


def test_rescue_of_the_tail_once() -> None:
    """0, 8 and 9 of ten are lost, nothing is left to send: nobody would SACK above the tail."""
    tcp = Sender(10, sack=True)
    tcp.ack(0, (1, 8))
    tcp.resend()
    assert tcp.loss.last_resort(tcp.flight, MSS) == (-1, -1)
    assert tcp.ack(8) == 0
    assert tcp.resend() == -1
    assert tcp.loss.last_resort(tcp.flight, MSS) == (900, 1000)
    assert tcp.pipe == 1
    tcp.flight.resent(900, 1000, tcp.now)
    assert tcp.pipe == 2
    assert tcp.loss.last_resort(tcp.flight, MSS) == (-1, -1)
    # It brings the SACK that shows the hole.
    assert tcp.ack(8, (9, 10)) == 0
    assert tcp.loss.last_resort(tcp.flight, MSS) == (800, 900)


def test_rescue_when_the_tail_is_sacked() -> None:
    tcp = Sender(10, sack=True)
    tcp.ack(0, (2, 5))
    tcp.resend(2 * MSS)
    tcp.ack(5, (9, 10))
    for _ in range(4):
        start, end = tcp.loss.last_resort(tcp.flight, MSS)
        tcp.flight.resent(start, end, tcp.now)
    assert tcp.loss.last_resort(tcp.flight, MSS) == (800, 900)
    assert tcp.loss.last_resort(tcp.flight, MSS) == (-1, -1)


def test_last_resort_is_for_recovery() -> None:
    tcp = Sender(10, sack=True)
    assert tcp.loss.last_resort(tcp.flight, MSS) == (-1, -1)


def test_peer_that_sacks_everything_and_acknowledges_nothing() -> None:
    tcp = Sender(10, sack=True)
    assert tcp.ack(0, (0, 2)) == 0
    assert tcp.ack(0, (0, 4)) == 0
    # What is below the highest SACK is there, so nothing is lost.
    assert tcp.ack(0, (0, 10)) == ENTRY
    assert tcp.sample.lost == 0
    assert tcp.resend() == -1
    assert tcp.loss.last_resort(tcp.flight, MSS) == (-1, -1)
    assert tcp.rto() == MARKED_LOST | FIRST_TIMEOUT | RENEGED
    assert tcp.resend(2000) == 0
    assert tcp.pipe == 10


# -- time-outs ----------------------------------------------------------------------------------


def test_time_out() -> None:
    tcp = Sender(10, sack=True)
    tcp.ack(0, (3, 4))
    assert tcp.rto() == MARKED_LOST | FIRST_TIMEOUT
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
    assert tcp.ack(5, (11, 15)) == MARKED_LOST
    assert tcp.loss.state == LOSS
    assert tcp.resend() == 10


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
    assert tcp.loss.on_ack(tcp.flight, tcp.sample, 1000, MSS, False) == 0
    assert tcp.pipe == pipe
