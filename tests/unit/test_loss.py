"""LossDetector: fast retransmit and NewReno, time-outs, ECN."""

from __future__ import annotations

from tests.unit.segments import ENTRY, MS, MSS, Sender
from utcp.core.loss import (
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
)

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
