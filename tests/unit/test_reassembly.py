"""Reassembly: what is held out of order, and the SACK blocks that say so."""

from __future__ import annotations

import random
import sys

import pytest

from utcp.core.reassembly import MERGE, Reassembly


def data(start: int, end: int) -> bytes:
    """The bytes of a stream whose byte at offset n is n mod 251."""
    return bytes(n % 251 for n in range(start, end))


def queue(*ranges: tuple[int, int]) -> Reassembly:
    held = Reassembly(1000, 1 << 20)
    for start, end in ranges:
        assert held.insert(start, end, data(start, end)) == end - start
    return held


def ranges(held: Reassembly) -> list[tuple[int, int]]:
    return list(zip(held.starts, held.ends, strict=True))


def footprint(held: Reassembly) -> int:
    """Bytes of memory that the queue and all in it take, payload included."""
    total = sum(sys.getsizeof(part) for part in (held.starts, held.ends, held._chunks))
    total += sys.getsizeof(held._recent)
    total += sum(sys.getsizeof(seq) for seq in (*held.starts, *held.ends))
    for chunks in held._chunks:
        total += sys.getsizeof(chunks) + sum(sys.getsizeof(chunk) for chunk in chunks)
    return total


def test_a_new_queue_is_empty() -> None:
    held = Reassembly(10, 1000)
    assert not held.starts
    assert held.nbytes == 0
    assert not held.duplicated
    assert held.take(100) == ([], 100)
    assert held.sack_blocks(4) == []


@pytest.mark.rfc("SHLD-31")
def test_what_comes_early_is_held_until_the_gap_is_filled() -> None:
    held = queue((200, 300))
    assert held.take(100) == ([], 100)
    assert held.take(200) == ([data(200, 300)], 300)
    assert not held.starts
    assert held.nbytes == 0


def test_an_empty_segment_is_nothing() -> None:
    held = Reassembly(10, 1000)
    assert held.insert(5, 5, b"") == 0
    held.duplicate(7, 7)
    assert not held.starts
    assert not held.duplicated


def test_data_is_copied_from_views_and_kept_from_bytes() -> None:
    memory = bytearray(data(0, 100))
    held = Reassembly(10, 1000)
    held.insert(10, 20, memoryview(memory)[10:20])
    held.insert(30, 50, [memoryview(memory)[30:40], memoryview(memory)[40:50]])
    whole = data(60, 70)
    held.insert(60, 70, whole)
    memory.clear()  # a BufferError if a view were left
    assert held.take(10) == ([data(10, 20)], 20)
    assert held.take(30) == ([data(30, 50)], 50)
    assert held.take(60)[0][0] is whole


def test_ranges_that_touch_become_one() -> None:
    held = queue((200, 300), (400, 500), (300, 350), (390, 400), (350, 390))
    assert ranges(held) == [(200, 500)]
    assert held.nbytes == 300
    chunks, rcv_nxt = held.take(200)
    assert b"".join(chunks) == data(200, 500)
    assert rcv_nxt == 500


def test_ranges_that_do_not_touch_stay_apart_and_sorted() -> None:
    held = queue((500, 510), (100, 110), (300, 310), (111, 112))
    assert ranges(held) == [(100, 110), (111, 112), (300, 310), (500, 510)]


def test_of_data_that_overlaps_what_came_first_stands() -> None:
    held = Reassembly(10, 1000)
    held.insert(20, 30, b"a" * 10)
    held.insert(40, 50, b"b" * 10)
    assert held.insert(10, 60, b"c" * 50) == 30
    assert held.insert(5, 15, b"d" * 10) == 5
    assert held.insert(55, 65, b"e" * 10) == 5
    assert ranges(held) == [(5, 65)]
    chunks, _ = held.take(5)
    expected = b"d" * 5 + b"c" * 10 + b"a" * 10 + b"c" * 10 + b"b" * 10 + b"c" * 10 + b"e" * 5
    assert b"".join(chunks) == expected


def test_what_is_held_already_is_not_stored_again() -> None:
    held = queue((100, 200))
    for start, end in ((100, 200), (120, 130), (100, 101), (199, 200)):
        assert held.insert(start, end, b"?" * (end - start)) == 0
    assert held.nbytes == 100
    assert b"".join(held.take(100)[0]) == data(100, 200)


def test_take_trims_what_lies_below() -> None:
    held = queue((100, 200), (300, 400), (500, 600))
    assert held.take(250) == ([], 250)
    assert ranges(held) == [(300, 400), (500, 600)]
    assert held.nbytes == 200
    assert held.take(340) == ([data(340, 400)], 400)
    assert held.take(600) == ([], 600)
    assert held.nbytes == 0
    assert held.sack_blocks(4) == []


def test_take_cuts_whole_chunks_and_parts_of_one() -> None:
    held = Reassembly(10, 1 << 20)
    for start in range(100, 100 + 5 * MERGE, MERGE):
        held.insert(start, start + MERGE, data(start, start + MERGE))
    chunks, rcv_nxt = held.take(100 + 2 * MERGE + 7)
    assert [len(chunk) for chunk in chunks] == [MERGE - 7, MERGE, MERGE]
    assert b"".join(chunks) == data(107 + 2 * MERGE, 100 + 5 * MERGE)
    assert rcv_nxt == 100 + 5 * MERGE


def test_in_order_data_that_reaches_a_range_goes_through_the_queue() -> None:
    held = Reassembly(10, 1000)
    held.insert(120, 130, b"a" * 10)
    assert held.insert(100, 140, b"b" * 40) == 30
    chunks, rcv_nxt = held.take(100)
    assert b"".join(chunks) == b"b" * 20 + b"a" * 10 + b"b" * 10
    assert rcv_nxt == 140
    assert held.sack_blocks(3) == [(120, 130)]


def test_clear_forgets_everything() -> None:
    held = queue((100, 200), (300, 400))
    held.duplicate(1, 2)
    held.clear()
    assert (held.starts, held.ends, held.nbytes) == ([], [], 0)
    assert held.sack_blocks(4) == []
    assert held.insert(100, 110, data(100, 110)) == 10


# -- bounds ----------------------------------------------------------------------------------------


def test_the_farthest_range_goes_when_there_are_too_many() -> None:
    held = Reassembly(3, 1000)
    for start in (100, 200, 300):
        held.insert(start, start + 10, data(start, start + 10))
    assert held.insert(400, 410, data(400, 410)) == 0
    assert held.insert(150, 160, data(150, 160)) == 10
    assert ranges(held) == [(100, 110), (150, 160), (200, 210)]
    assert held.nbytes == 30
    assert held.sack_blocks(4) == [(150, 160), (200, 210), (100, 110)]


def test_the_farthest_bytes_go_when_there_are_too_many() -> None:
    held = Reassembly(10, 100)
    assert held.insert(100, 160, data(100, 160)) == 60
    assert held.insert(200, 260, data(200, 260)) == 40
    assert ranges(held) == [(100, 160), (200, 240)]
    assert held.insert(50, 90, data(50, 90)) == 40
    assert ranges(held) == [(50, 90), (100, 160)]
    assert held.nbytes == 100
    assert held.insert(90, 95, data(90, 95)) == 5
    assert ranges(held) == [(50, 95), (100, 155)]
    assert held.insert(155, 175, data(155, 175)) == 0
    assert held.insert(40, 300, data(40, 300)) == 15
    assert ranges(held) == [(40, 140)]
    assert b"".join(held.take(40)[0]) == data(40, 140)


def test_a_bound_that_is_lowered_holds_from_the_next_insert() -> None:
    held = queue((100, 200), (300, 400))
    held.max_bytes = 0
    assert held.insert(250, 260, data(250, 260)) == 0
    assert not held.starts
    assert held.nbytes == 0


def test_what_is_cut_to_a_tiny_rest_joins_the_chunk_before_it() -> None:
    held = queue((10_000, 10_001), (10_001, 12_001))
    assert len(held._chunks[0]) == 2
    held.max_bytes = 4
    assert held.insert(5000, 5001, data(5000, 5001)) == 1
    assert ranges(held) == [(5000, 5001), (10_000, 10_003)]
    assert held._chunks[1] == [data(10_000, 10_003)]


@pytest.mark.parametrize("step", [1, 2, -1])
def test_a_range_of_one_byte_segments_has_few_chunks(step: int) -> None:
    held = Reassembly(10_000, 1 << 20)
    count = 8000
    order = list(range(1000, 1000 + count))
    if step == 2:
        order = order[::2] + order[1::2]
    for seq in order[::-1] if step < 0 else order:
        held.insert(seq, seq + 1, data(seq, seq + 1))
    assert ranges(held) == [(1000, 1000 + count)]
    assert len(held._chunks[0]) <= 2 * count // MERGE + 1
    assert b"".join(held.take(1000)[0]) == data(1000, 1000 + count)


@pytest.mark.parametrize("size", [1, 500, 1448])
def test_memory_is_bounded_overhead_included(size: int) -> None:
    held = Reassembly(2000, 1 << 20)
    rng = random.Random(7)
    for _ in range(6000):
        start = rng.randrange(1000, 1000 + (4 << 20) // 1448 * size)
        held.insert(start, start + size, bytes(size))
    count = len(held.starts)
    limit = held.nbytes + 50 * (2 * held.nbytes // MERGE + count) + 400 * count
    assert footprint(held) <= limit
    assert held.nbytes <= held.max_bytes
    assert count <= held.max_ranges


# -- SACK, RFC 2018 ------------------------------------------------------------------------------


def test_sack_case_2_of_rfc_2018_a_lost_first_segment() -> None:
    held = Reassembly(10, 1 << 20)
    for end in range(6000, 9500, 500):
        held.insert(end - 500, end, bytes(500))
        assert held.sack_blocks(3) == [(5500, end)]


def test_sack_case_3_of_rfc_2018_every_other_segment_lost() -> None:
    held = Reassembly(10, 1 << 20)
    held.insert(6000, 6500, bytes(500))
    assert held.sack_blocks(3) == [(6000, 6500)]
    held.insert(7000, 7500, bytes(500))
    assert held.sack_blocks(3) == [(7000, 7500), (6000, 6500)]
    held.insert(8000, 8500, bytes(500))
    assert held.sack_blocks(3) == [(8000, 8500), (7000, 7500), (6000, 6500)]
    # The fourth segment of the eight comes out of order.
    held.insert(6500, 7000, bytes(500))
    assert held.sack_blocks(3) == [(6000, 7500), (8000, 8500)]
    # The second one then fills the gap.
    assert held.take(6000)[1] == 7500
    assert held.sack_blocks(3) == [(8000, 8500)]


def test_the_block_that_received_last_is_first() -> None:
    held = queue((100, 110), (200, 210), (300, 310))
    held.insert(110, 120, data(110, 120))
    assert held.sack_blocks(4) == [(100, 120), (300, 310), (200, 210)]
    held.insert(195, 200, data(195, 200))
    assert held.sack_blocks(2) == [(195, 210), (100, 120)]
    assert held.sack_blocks(0) == []


def test_a_range_forgotten_comes_back_as_new() -> None:
    held = queue((100, 110), (200, 210))
    held.take(110)
    held.insert(300, 310, data(300, 310))
    held.insert(190, 200, data(190, 200))
    assert held.sack_blocks(4) == [(190, 210), (300, 310)]


# -- D-SACK, RFC 2883 ----------------------------------------------------------------------------


def test_dsack_example_1_a_duplicate_below() -> None:
    held = Reassembly(10, 1 << 20)
    held.duplicate(3000, 3500)
    assert held.sack_blocks(3) == [(3000, 3500)]
    assert not held.duplicated
    assert held.sack_blocks(3) == []


def test_dsack_example_2_a_duplicate_below_while_data_is_held() -> None:
    held = queue((4500, 5000))
    held.duplicate(3000, 3500)
    assert held.sack_blocks(3) == [(3000, 3500), (4500, 5000)]
    assert held.sack_blocks(3) == [(4500, 5000)]


def test_dsack_example_3_a_duplicate_of_held_data() -> None:
    held = queue((4500, 5000), (5000, 5500), (7000, 7500))
    assert held.insert(5000, 5500, data(5000, 5500)) == 0
    assert held.sack_blocks(3) == [(5000, 5500), (4500, 5500), (7000, 7500)]
    assert held.sack_blocks(3) == [(4500, 5500), (7000, 7500)]


def test_dsack_example_4_a_segment_that_is_a_duplicate_in_part() -> None:
    held = queue((2000, 2500))
    held.duplicate(1000, 1500)
    assert held.take(2000) == ([data(2000, 2500)], 2500)
    assert held.sack_blocks(3) == [(1000, 1500)]


def test_dsack_example_5_only_the_first_duplicate_part_below_is_reported() -> None:
    held = queue((3000, 3500), (2000, 2500))
    held.duplicate(1000, 1500)
    held.insert(1500, 2500, data(1500, 2500))
    assert held.take(1500)[1] == 2500
    assert held.sack_blocks(3) == [(1000, 1500), (3000, 3500)]


def test_dsack_example_6_only_the_first_duplicate_part_above_is_reported() -> None:
    held = queue((3500, 4000), (1500, 2000), (2500, 3000))
    assert held.insert(1500, 3000, data(1500, 3000)) == 500
    assert held.sack_blocks(3) == [(1500, 2000), (1500, 3000), (3500, 4000)]


def test_a_duplicate_that_begins_behind_the_range_it_prolongs() -> None:
    held = queue((100, 200), (250, 300))
    assert held.insert(200, 260, data(200, 260)) == 50
    assert held.sack_blocks(3) == [(250, 260), (100, 300)]


def test_a_whole_block_received_again_is_listed_as_duplicate_and_as_block() -> None:
    held = queue((100, 200), (300, 400))
    held.duplicate(100, 200)
    assert held.sack_blocks(3) == [(100, 200), (100, 200), (300, 400)]


def test_the_enclosing_block_stays_second_when_other_data_came_since() -> None:
    held = queue((100, 200), (300, 400))
    held.duplicate(120, 130)
    held.insert(500, 510, data(500, 510))
    assert held.sack_blocks(4) == [(120, 130), (100, 200), (500, 510), (300, 400)]


def test_contiguous_duplicates_are_one_report_and_others_wait_for_none() -> None:
    held = Reassembly(10, 1 << 20)
    held.duplicate(100, 200)
    held.duplicate(200, 300)
    held.duplicate(50, 100)
    held.duplicate(400, 500)
    assert held.sack_blocks(1) == [(50, 300)]
    assert held.sack_blocks(1) == []


def test_a_duplicate_waits_while_there_is_no_room() -> None:
    held = queue((100, 200))
    held.duplicate(100, 150)
    assert held.sack_blocks(0) == []
    assert held.duplicated
    assert held.sack_blocks(1) == [(100, 150)]
