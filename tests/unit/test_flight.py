"""Flight: records, marks, counters, and the bounds on what a peer can make of them."""

from __future__ import annotations

from utcp.core.flight import LOST, REPEATED, RESENT, SACKED, Flight
from utcp.core.sample import AckSample

ISS = 1000
MSS = 100


def flight_of(*sizes: int) -> Flight:
    """Bursts of these sizes, sent at times 1, 2, 3 ..."""
    flight = Flight(ISS)
    for i, size in enumerate(sizes):
        flight.sent(flight.nxt, flight.nxt + size, i + 1)
    return flight


def ack(flight: Flight, una: int, *blocks: tuple[int, int], now: int = 100) -> AckSample:
    sample = AckSample()
    sample.reset(now)
    flight.ack(una, sample)
    flight.sack(list(blocks), sample)
    return sample


def records(flight: Flight) -> list[tuple[int, int, int]]:
    return [(b.start, b.end, b.marks) for b in flight._bursts[flight._head :]]


def counters(flight: Flight) -> tuple[int, int, int, int]:
    return flight.pipe, flight.sacked_bytes, flight.lost_bytes, flight.resent_bytes


def test_empty() -> None:
    flight = Flight(ISS)
    assert not flight
    assert flight.head() is None
    assert not flight.head_sacked()
    assert flight.next_lost() == (-1, -1)
    assert flight.high_sacked() == ISS
    assert flight.mark_lost(0, 5000) == 0
    assert flight.mark_sent_before(9, 9, 9) == 0
    assert flight.mark_sent_by(9) == 0
    assert flight.tail(MSS, 0) == (-1, -1)
    assert flight.mark_all_lost(True) == 0
    flight.resent(ISS, ISS + 5, 1)
    assert counters(flight) == (0, 0, 0, 0)


def test_sent() -> None:
    flight = flight_of(1, 500)
    assert (flight.una, flight.nxt, flight.pipe, len(flight)) == (1000, 1501, 501, 2)
    head = flight.head()
    assert head is not None
    assert (head.start, head.end, head.sent_at) == (1000, 1001, 1)


def test_ack_of_whole_records() -> None:
    flight = flight_of(100, 100, 100)
    sample = ack(flight, 1200)
    assert (sample.acked, sample.delivered, sample.prior_in_flight) == (200, 200, 300)
    assert sample.rtt_ns == 98  # of the newest
    assert records(flight) == [(1200, 1300, 0)]
    assert flight.pipe == 100


def test_ack_of_part_of_a_record() -> None:
    flight = flight_of(100, 500)
    sample = ack(flight, 1150)
    assert (sample.acked, sample.rtt_ns) == (150, 98)
    assert records(flight) == [(1150, 1600, 0)]
    assert flight.pipe == 450
    assert ack(flight, 1600).acked == 450
    assert not flight


def test_old_ack_says_nothing() -> None:
    flight = flight_of(100)
    for una in (900, 1000):
        sample = ack(flight, una)
        assert (sample.acked, sample.rtt_ns, sample.prior_in_flight) == (0, -1, 100)
    assert flight.una == 1000


def test_records_are_dropped_in_bulk() -> None:
    flight = flight_of(*[10] * 1000)
    for i in range(1, 1001):
        ack(flight, ISS + 10 * i)
        assert len(flight) == 1000 - i
        assert len(flight._bursts) <= max(2 * len(flight) + 2, len(flight) + 256)
    assert flight._bursts == []


def test_sack_of_a_record() -> None:
    flight = flight_of(100, 100, 100)
    sample = ack(flight, 1000, (1100, 1200))
    assert (sample.acked, sample.sacked, sample.delivered, sample.rtt_ns) == (0, 100, 100, 98)
    assert counters(flight) == (200, 100, 0, 0)
    assert [marks for _, _, marks in records(flight)] == [0, SACKED, 0]
    again = ack(flight, 1000, (1100, 1200))
    assert (again.sacked, again.rtt_ns) == (0, -1)


def test_sack_in_the_middle_of_a_burst() -> None:
    flight = flight_of(1000)
    ack(flight, 1000, (1300, 1500))
    assert records(flight) == [(1000, 1300, 0), (1300, 1500, SACKED), (1500, 2000, 0)]
    ack(flight, 1000, (1300, 1700))
    # Grown by moving the border.
    assert records(flight) == [(1000, 1300, 0), (1300, 1700, SACKED), (1700, 2000, 0)]
    sample = ack(flight, 1700)
    assert (sample.acked, sample.delivered, sample.rtt_ns) == (700, 300, -1)
    assert flight.scoreboard.starts == []
    assert counters(flight) == (300, 0, 0, 0)


def test_sack_over_several_ranges() -> None:
    flight = flight_of(*[100] * 6)
    ack(flight, 1000, (1100, 1200), (1300, 1400))
    sample = ack(flight, 1000, (1100, 1500))
    assert sample.sacked == 200
    assert flight.scoreboard.starts == [1100]
    assert flight.high_sacked() == 1500


def test_absurd_blocks_are_ignored() -> None:
    flight = flight_of(100, 100)
    ack(flight, 1100)
    for block in ((1150, 1150), (1180, 1150), (1150, 1201), (1050, 1150), (1300, 1400)):
        sample = ack(flight, 1100, block, (1100, 1101))
        assert sample.dsack == 0
    assert flight.sacked_bytes == 1


def test_dsack_below_the_cumulative_ack() -> None:
    flight = flight_of(100, 100, 100)
    sample = ack(flight, 1200, (1000, 1100))
    assert (sample.dsack, sample.sacked) == (100, 0)
    # Only the first block reports a duplicate.
    assert ack(flight, 1200, (1250, 1300), (1000, 1100)).dsack == 0


def test_dsack_inside_of_the_second_block() -> None:
    flight = flight_of(*[100] * 5)
    sample = ack(flight, 1000, (1200, 1300), (1100, 1400))
    assert (sample.dsack, sample.sacked) == (100, 300)


def test_no_rtt_from_what_was_retransmitted() -> None:
    flight = flight_of(100, 100, 100)
    flight.mark_lost(1000, 1100)
    flight.resent(1000, 1100, 50)
    # Nor from what waited behind it.
    assert ack(flight, 1200).rtt_ns == -1
    assert ack(flight, 1300).rtt_ns == 97


def test_rtt_from_a_sack_of_what_was_sent_once() -> None:
    flight = flight_of(100, 100, 100)
    flight.resent(1100, 1200, 50)
    assert ack(flight, 1000, (1100, 1200)).rtt_ns == -1
    assert ack(flight, 1000, (1100, 1300)).rtt_ns == 97


def test_lost_and_resent() -> None:
    flight = flight_of(1000)
    assert flight.mark_lost(1000, 1300) == 300
    assert counters(flight) == (700, 0, 300, 0)
    assert flight.next_lost() == (1000, 1300)
    assert flight.next_lost(100) == (1000, 1100)
    flight.resent(1000, 1100, 7)
    assert counters(flight) == (800, 0, 300, 100)
    assert flight.next_lost() == (1100, 1300)
    flight.resent(1100, 1300, 8)
    assert flight.next_lost() == (-1, -1)
    head = flight.head()
    assert head is not None
    assert head.sent_at == 7
    assert head.marks == LOST | RESENT | REPEATED


def test_next_lost_joins_records_but_not_over_a_hole() -> None:
    flight = flight_of(*[100] * 6)
    ack(flight, 1000, (1300, 1400))
    flight.mark_lost(1000, 1500)
    assert flight.next_lost() == (1000, 1300)
    assert flight.next_lost(250) == (1000, 1250)
    flight.resent(1000, 1300, 9)
    assert flight.next_lost() == (1400, 1500)


def test_loss_of_a_retransmission() -> None:
    flight = flight_of(100, 100)
    flight.mark_lost(1000, 1100)
    flight.resent(1000, 1100, 9)
    assert flight.mark_lost(900, 1100) == 100
    assert counters(flight) == (100, 0, 100, 0)
    assert flight.next_lost() == (1000, 1100)


def test_retransmission_of_what_is_not_lost_counts_twice() -> None:
    # RFC 6675 §4 SetPipe: octets retransmitted without being considered lost are counted twice.
    flight = flight_of(100, 100)
    flight.resent(1000, 1100, 9)
    flight.resent(1000, 1100, 10)
    assert counters(flight) == (300, 0, 0, 100)
    # Lost are both.
    assert flight.mark_lost(1000, 1100) == 100
    assert counters(flight) == (100, 0, 100, 0)
    assert flight.next_lost() == (1000, 1100)


def test_sack_ends_loss() -> None:
    flight = flight_of(*[100] * 4)
    flight.mark_lost(1000, 1300)
    flight.resent(1000, 1100, 9)
    sample = ack(flight, 1000, (1000, 1200))
    assert sample.sacked == 200
    assert counters(flight) == (100, 200, 100, 0)
    assert flight.head_sacked()
    assert flight.next_lost() == (1200, 1300)


def test_time_out_keeps_the_sacks() -> None:
    flight = flight_of(*[100] * 4)
    ack(flight, 1000, (1100, 1200))
    flight.mark_lost(1000, 1100)
    flight.resent(1000, 1100, 9)
    assert flight.mark_all_lost(False) == 300
    assert counters(flight) == (0, 100, 300, 0)
    assert flight.next_lost() == (1000, 1100)
    assert flight.mark_all_lost(False) == 0


def test_time_out_after_reneging_forgets_the_sacks() -> None:
    flight = flight_of(*[100] * 4)
    ack(flight, 1000, (1000, 1200))
    assert flight.mark_all_lost(True) == 400
    assert counters(flight) == (0, 0, 400, 0)
    assert flight.high_sacked() == 1000
    assert flight.next_lost() == (1000, 1400)


def rack(flight: Flight, xmit_ts: int, end_seq: int, limit: int) -> tuple[int, int]:
    return flight.mark_sent_before(xmit_ts, end_seq, limit), flight.pending_at


def test_what_was_sent_before_is_lost() -> None:
    flight = flight_of(*[100] * 5)  # at 1, 2, 3, 4, 5
    ack(flight, 1000, (1300, 1400))
    assert rack(flight, 4, 1400, 0) == (0, 1)
    assert rack(flight, 4, 1400, 2) == (200, 3)
    assert rack(flight, 4, 1400, 9) == (100, -1)
    # 1400 was sent later.
    assert rack(flight, 4, 1400, 9) == (0, -1)
    assert flight.next_lost() == (1000, 1300)


def test_within_a_burst_the_sequence_decides() -> None:
    # RFC 8985 §6.2 step 2: RACK_sent_after()
    flight = flight_of(1000)
    ack(flight, 1000, (1300, 1400))
    assert rack(flight, 1, 1400, 9) == (300, -1)
    assert records(flight) == [(1000, 1300, LOST), (1300, 1400, SACKED), (1400, 2000, 0)]


def test_lost_retransmissions_are_found_by_their_own_send_time() -> None:
    flight = flight_of(*[100] * 5)
    flight.mark_lost(1000, 1300)
    flight.resent(1000, 1100, 10)
    flight.resent(1100, 1300, 11)
    ack(flight, 1000, (1200, 1300))
    # 1300 and 1400 were sent before the retransmissions, and they in this order.
    assert rack(flight, 11, 1300, 4) == (100, 5)
    assert rack(flight, 11, 1300, 9) == (100, 10)
    assert rack(flight, 11, 1300, 10) == (100, 11)
    assert rack(flight, 11, 1300, 11) == (100, -1)
    assert counters(flight) == (0, 100, 400, 0)
    assert flight.next_lost() == (1000, 1200)


def test_retransmissions_sent_together_are_in_order() -> None:
    flight = flight_of(1000)
    flight.mark_lost(1000, 1300)
    flight.resent(1000, 1300, 10)
    ack(flight, 1000, (1100, 1200))
    assert rack(flight, 10, 1200, 10) == (800, -1)
    assert records(flight)[0] == (1000, 1100, REPEATED | LOST)
    assert records(flight)[2] == (1200, 1300, REPEATED | RESENT | LOST)


def test_what_was_resent_again_is_as_young_as_that() -> None:
    flight = flight_of(100, 100, 100)
    flight.mark_lost(1000, 1100)
    flight.resent(1000, 1100, 10)
    flight.mark_lost(1000, 1100)
    flight.resent(1000, 1100, 20)
    ack(flight, 1000, (1100, 1300))
    assert rack(flight, 15, 1300, 15) == (0, -1)
    assert rack(flight, 21, 1300, 20) == (100, -1)


def test_newest_delivery() -> None:
    flight = flight_of(100, 100, 100, 100)
    sample = ack(flight, 1050)
    assert (sample.newest_at, sample.newest_end, sample.orig) == (1, 1050, 1000)
    sample = ack(flight, 1100, (1300, 1400))
    assert (sample.newest_at, sample.newest_end, sample.orig) == (4, 1400, 1050)
    assert not flight.reordering_seen
    flight.mark_lost(1100, 1200)
    flight.resent(1100, 1200, 50)
    sample = ack(flight, 1200)
    assert (sample.newest_at, sample.newest_end, sample.orig) == (50, 1200, -1)
    assert not flight.reordering_seen
    # 1200 comes although 1300 was there before.
    assert ack(flight, 1300).orig == 1200
    assert flight.reordering_seen


def test_reordering_shows_in_sacks_and_in_lost_data_too() -> None:
    flight = flight_of(100, 100, 100, 100)
    ack(flight, 1000, (1300, 1400))
    ack(flight, 1000, (1100, 1200), (1300, 1400))
    assert flight.reordering_seen
    flight = flight_of(100, 100, 100)
    ack(flight, 1000, (1200, 1300))
    flight.mark_lost(1000, 1100)
    ack(flight, 1100)
    assert flight.reordering_seen


def test_what_may_have_been_an_earlier_transmission_says_nothing() -> None:
    # RFC 8985 §6.2 step 2
    def delivered(echo_ms: int, min_rtt_ns: int) -> int:
        flight = flight_of(100)
        flight.resent(1000, 1100, 50_000_000)
        sample = AckSample()
        sample.reset(60_000_000)
        sample.echo_ms = echo_ms
        sample.min_rtt_ns = min_rtt_ns
        flight.ack(1100, sample)
        return sample.newest_at

    assert delivered(-1, 0) == delivered(50, 10_000_000) == 50_000_000
    assert delivered(49, 0) == -1
    assert delivered(50, 10_000_001) == -1


def test_marks_taken_back() -> None:
    flight = flight_of(*[100] * 5)
    ack(flight, 1000, (1400, 1500))
    flight.mark_lost(1000, 1300)
    flight.resent(1000, 1200, 9)
    flight.mark_lost(1000, 1100)
    assert counters(flight) == (200, 100, 300, 100)
    flight.unmark_lost()
    assert counters(flight) == (600, 100, 0, 200)
    assert flight.next_lost() == (-1, -1)
    # And may be lost again.
    assert rack(flight, 9, 1200, 8) == (200, 9)
    assert rack(flight, 9, 1200, 9) == (200, -1)


def test_time_out_spares_what_is_young() -> None:
    flight = flight_of(*[100] * 5)
    ack(flight, 1000, (1100, 1200))
    assert flight.mark_sent_by(3) == 200
    assert flight.mark_sent_by(3) == 0
    assert flight.next_lost() == (1000, 1100)


def test_retransmissions_are_counted() -> None:
    flight = flight_of(*[100] * 5)
    assert (flight.first_resent_at, flight.resent_total, flight.repeated_below) == (-1, 0, 1000)
    flight.resent(1100, 1300, 10)
    flight.resent(1100, 1200, 11)
    assert (flight.first_resent_at, flight.resent_total, flight.repeated_below) == (10, 300, 1300)
    flight.forget_resent()
    assert (flight.first_resent_at, flight.resent_total, flight.repeated_below) == (-1, 0, 1300)


def test_tail() -> None:
    flight = flight_of(100, 250)
    assert flight.tail(100, 0) == (1300, 1350)
    assert flight.tail(300, 0) == (1100, 1350)
    assert flight.tail(50, 0) == (1300, 1350)
    flight.sent(1350, 1351, 9)
    assert flight.tail(100, 1) == (1350, 1351)
    flight = flight_of(201)
    assert flight.tail(100, 1) == (1100, 1201)


def test_what_waits_is_found_wherever_it_lies() -> None:
    flight = flight_of(*[100] * 6)
    flight.mark_lost(1400, 1500)
    flight.mark_lost(1000, 1200)
    assert flight.next_lost() == (1000, 1200)
    flight.resent(1000, 1200, 9)
    assert flight.next_lost() == (1400, 1500)
    flight.mark_lost(1100, 1200)
    assert flight.next_lost() == (1100, 1200)
    ack(flight, 1150)
    assert flight.next_lost() == (1150, 1200)
    ack(flight, 1150, (1150, 1200))
    assert flight.next_lost() == (1400, 1500)
    ack(flight, 1600)
    assert flight.next_lost() == (-1, -1)


def test_duplicate_acks_without_sack() -> None:
    flight = flight_of(*[MSS] * 4)
    for left in (300, 200, 100, 100):
        # One segment is missing, or there would be no duplicates: it is never counted.
        flight.dup_acked(MSS, AckSample())
        assert flight.pipe == left
    flight.forget_dups()
    assert (flight.pipe, flight.dup_bytes) == (400, 0)


def test_partial_ack_answers_for_duplicates() -> None:
    flight = flight_of(*[MSS] * 10)
    for _ in range(8):
        flight.dup_acked(MSS, AckSample())
    flight.mark_lost(1000, 1100)
    flight.resent(1000, 1100, 20)
    assert flight.pipe == 200
    # 1000 was lost, 1100 and 1200 caused two of the duplicates, 1300 is missing, too.
    ack(flight, 1300)
    assert (flight.dup_bytes, flight.pipe) == (600, 100)
    flight.mark_lost(1300, 1400)
    assert flight.pipe == 0


def test_losses_limit_what_duplicates_are_believed() -> None:
    flight = flight_of(*[MSS] * 4)
    for _ in range(3):
        flight.dup_acked(MSS, AckSample())
    flight.mark_lost(1000, 1300)
    assert (flight.dup_bytes, flight.pipe) == (100, 0)


def test_a_hostile_peer_cannot_make_records_without_bound() -> None:
    flight = flight_of(100_000)
    flight.max_records = 100
    for seq in range(ISS, ISS + 100_000, 2):
        ack(flight, ISS, (seq, seq + 1))
    assert len(flight) <= 102
    assert len(flight.scoreboard.starts) <= 51
    assert flight.pipe + flight.sacked_bytes == 100_000
    # What is wholly covered still counts.
    ack(flight, ISS, (ISS + 1, ISS + 100_000))
    assert (flight.pipe, flight.sacked_bytes) == (0, 100_000)


def test_at_the_bound_only_whole_records_are_marked() -> None:
    flight = flight_of(100, 100, 100, 100)
    flight.max_records = 4
    sample = ack(flight, 1000, (1050, 1350))
    assert sample.sacked == 200
    assert flight.scoreboard.starts == [1100]
    assert flight.scoreboard.ends == [1300]
    assert ack(flight, 1000, (1320, 1340)).sacked == 0
    assert ack(flight, 1000, (1200, 1400)).sacked == 100


def test_what_is_sacked_is_neither_lost_nor_resent() -> None:
    flight = flight_of(*[100] * 3)
    ack(flight, 1000, (1100, 1200))
    flight.resent(1000, 1300, 9)
    assert counters(flight) == (400, 100, 0, 200)
    assert flight.mark_lost(1100, 1200) == 0
    assert flight.mark_lost(1000, 1300) == 200
    assert counters(flight) == (0, 100, 200, 0)


def test_a_moved_border_takes_along_that_there_was_a_retransmission() -> None:
    flight = flight_of(100, 100, 100)
    flight.resent(1150, 1200, 9)
    ack(flight, 1000, (1000, 1100))
    ack(flight, 1000, (1000, 1160))
    flight.mark_all_lost(True)
    # RFC 6298 §3: part of it was sent twice.
    assert ack(flight, 1160).rtt_ns == -1
