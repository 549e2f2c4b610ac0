"""SendBuffer: what is kept, what is copied, and what is let go."""

from __future__ import annotations

import array
import sys
import tracemalloc
from typing import Any

import pytest

from utcp.core.send_buffer import LARGE, MERGE, TAIL_BYTES, TAIL_PIECES, SendBuffer

START = 0xFFFF_FF00


def pattern(size: int, first: int = 0) -> bytes:
    return bytes((first + i) % 251 for i in range(size))


def drain(buffer: SendBuffer) -> list[bytes]:
    """Every run from the start to the end."""
    runs = []
    seq = buffer.start
    while seq < buffer.end:
        runs.append(bytes(buffer.run(seq)))
        seq += len(runs[-1])
    return runs


def test_a_new_buffer_is_empty() -> None:
    buffer = SendBuffer(START)
    assert (buffer.start, buffer.end, buffer.nbytes) == (START, START, 0)


def test_append_of_nothing_changes_nothing() -> None:
    buffer = SendBuffer(START)
    for nothing in (b"", bytearray(), memoryview(b"")):
        buffer.append(nothing)
    assert buffer.end == START
    assert drain(buffer) == []


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2]])
def test_append_refuses_what_is_not_bytes_like(wrong: Any) -> None:
    buffer = SendBuffer(START)
    with pytest.raises(TypeError):
        buffer.append(wrong)
    assert buffer.end == START


@pytest.mark.parametrize("size", [1, LARGE - 1, LARGE, TAIL_BYTES, TAIL_BYTES + 1])
def test_a_lone_piece_is_not_copied(size: int) -> None:
    buffer = SendBuffer(START)
    data = pattern(size)
    buffer.append(data)
    assert buffer.run(START).obj is data
    assert buffer.end == START + size


def test_small_pieces_are_joined_once() -> None:
    buffer = SendBuffer(START)
    for i in range(100):
        buffer.append(pattern(30, i))
    run = buffer.run(START)
    assert run == b"".join(pattern(30, i) for i in range(100))
    assert buffer.run(START + 7).obj is run.obj


def test_a_large_piece_is_its_own_chunk_and_ends_the_tail() -> None:
    buffer = SendBuffer(START)
    large = pattern(LARGE)
    buffer.append(b"ab")
    buffer.append(b"cd")
    buffer.append(large)
    buffer.append(b"ef")
    assert drain(buffer) == [b"abcd", large, b"ef"]
    assert buffer.run(START + 4).obj is large


def test_the_tail_is_bounded_in_bytes_and_in_pieces() -> None:
    buffer = SendBuffer(START)
    for _ in range(5):
        buffer.append(bytes(LARGE - 1))
    assert [len(run) for run in drain(buffer)] == [5 * (LARGE - 1)]
    buffer = SendBuffer(START)
    for _ in range(3 * TAIL_PIECES + 5):
        buffer.append(b"xy")
    assert [len(run) for run in drain(buffer)] == [2 * TAIL_PIECES] * 3 + [10]


@pytest.mark.parametrize("size", [10, LARGE])
def test_what_can_change_is_copied(size: int) -> None:
    for make in (
        lambda b: b,
        memoryview,
        lambda b: memoryview(b).toreadonly(),
    ):
        data = bytearray(pattern(size))
        buffer = SendBuffer(START)
        buffer.append(make(data))
        data[:] = bytes(size)
        assert drain(buffer) == [pattern(size)]


def test_views_that_are_not_plain_bytes_are_copied_byte_for_byte() -> None:
    words = array.array("I", range(LARGE))
    every_other = memoryview(pattern(4 * LARGE))[::2]
    table = memoryview(pattern(LARGE)).cast("B", (2, LARGE // 2))
    numbers = memoryview(pattern(LARGE)).cast("I")
    buffer = SendBuffer(START)
    buffer.append(memoryview(words))
    buffer.append(every_other)
    buffer.append(table)
    buffer.append(numbers)
    assert drain(buffer) == [
        words.tobytes(),
        pattern(4 * LARGE)[::2],
        pattern(LARGE),
        pattern(LARGE),
    ]


def test_a_large_view_of_bytes_is_kept_even_if_its_owner_releases_it() -> None:
    data = pattern(2 * LARGE)
    signed = memoryview(data).cast("b")[5 : LARGE + 5]
    buffer = SendBuffer(START)
    buffer.append(signed)
    signed.release()
    run = buffer.run(START)
    assert run.obj is data
    assert run == data[5 : LARGE + 5]


def test_a_small_view_is_copied_so_that_it_keeps_no_large_object() -> None:
    data = pattern(LARGE)
    buffer = SendBuffer(START)
    buffer.append(memoryview(data)[:10])
    assert buffer.run(START).obj is not data


def test_run_goes_forward_back_and_into_the_middle() -> None:
    buffer = SendBuffer(START)
    chunks = [pattern(LARGE + i, i) for i in range(5)]
    for chunk in chunks:
        buffer.append(chunk)
    whole = b"".join(chunks)
    for offset in (0, LARGE - 1, LARGE, 3 * LARGE, 2 * LARGE, len(whole) - 1, 1):
        run = buffer.run(START + offset)
        assert run == whole[offset : offset + len(run)]
        assert len(run) >= 1
    assert drain(buffer) == chunks


def test_run_and_peek_refuse_what_is_not_held() -> None:
    buffer = SendBuffer(START)
    with pytest.raises(ValueError, match="not within"):
        buffer.run(START)
    for _ in range(2):
        buffer.append(bytes(LARGE))
    buffer.release(START + LARGE)
    for seq in (START + LARGE - 1, START + 2 * LARGE):
        with pytest.raises(ValueError, match="not within"):
            buffer.run(seq)
    for start, end in ((START, START + LARGE + 1), (START + LARGE + 2, START + LARGE + 1)):
        with pytest.raises(ValueError, match="not within"):
            buffer.peek(start, end)
    with pytest.raises(ValueError, match="not within"):
        buffer.peek(START + LARGE, START + 2 * LARGE + 1)


def test_peek_joins_chunks_and_tail_and_leaves_the_cursor() -> None:
    buffer = SendBuffer(START)
    large = pattern(LARGE)
    buffer.append(large)
    buffer.append(b"abc")
    buffer.append(b"def")
    run = buffer.run(START)
    assert buffer.peek(START + LARGE - 2, START + LARGE + 4) == large[-2:] + b"abcd"
    assert buffer.peek(START + LARGE + 3, START + LARGE + 6) == b"def"
    assert buffer.peek(START, START) == b""
    assert buffer.peek(buffer.end, buffer.end) == b""
    assert buffer.run(START).obj is run.obj


def test_tiny_writes_sent_one_by_one_do_not_make_one_chunk_each() -> None:
    buffer = SendBuffer(START)
    whole = b""
    for i in range(2 * MERGE):
        piece = pattern(3, i)
        buffer.append(piece)
        assert buffer.run(START + len(whole)) == piece
        whole += piece
    runs = drain(buffer)
    assert b"".join(runs) == whole
    assert len(runs) <= 2 * len(whole) // MERGE + 1


def test_neighbours_merge_up_to_the_limit() -> None:
    for extra in (0, 1):
        buffer = SendBuffer(START)
        buffer.append(bytes(MERGE // 2))
        buffer.run(START)
        buffer.append(bytes(MERGE // 2 + extra))
        buffer.run(buffer.end - 1)
        assert len(drain(buffer)) == 1 + extra


def test_peek_before_run_then_merge_without_a_cursor() -> None:
    buffer = SendBuffer(START)
    buffer.append(b"abc")
    assert buffer.peek(START, START + 3) == b"abc"
    buffer.append(b"def")
    assert buffer.peek(START, START + 6) == b"abcdef"
    assert drain(buffer) == [b"abcdef"]


def test_tiny_writes_after_a_released_chunk_start_a_new_one() -> None:
    buffer = SendBuffer(START)
    buffer.append(b"abc")
    buffer.run(START)
    buffer.append(b"def")
    buffer.release(START + 3)
    assert bytes(buffer.run(START + 3)) == b"def"
    buffer.append(b"ghi")
    buffer.release(START + 4)
    assert drain(buffer) == [b"ef", b"ghi"]
    assert drain(buffer) == [b"efghi"]


def test_release_is_exact_and_ignores_what_is_old() -> None:
    buffer = SendBuffer(START)
    chunks = [pattern(LARGE, i) for i in range(3)]
    for chunk in chunks:
        buffer.append(chunk)
    buffer.release(START + LARGE + 10)
    assert (buffer.start, buffer.nbytes) == (START + LARGE + 10, 2 * LARGE - 10)
    assert drain(buffer) == [chunks[1][10:], chunks[2]]
    buffer.release(START)
    assert buffer.start == START + LARGE + 10


@pytest.mark.parametrize("beyond", [0, 1])
def test_release_of_all_and_of_a_fin(beyond: int) -> None:
    buffer = SendBuffer(START)
    buffer.append(bytes(LARGE))
    buffer.append(b"abc")
    buffer.release(buffer.end + beyond)
    assert buffer.start == buffer.end == START + LARGE + 3
    buffer.append(b"def")
    assert bytes(buffer.run(START + LARGE + 3)) == b"def"


def test_release_into_what_was_never_asked_for() -> None:
    buffer = SendBuffer(START)
    buffer.append(b"abc")
    buffer.append(b"def")
    buffer.release(START + 4)
    assert drain(buffer) == [b"ef"]


def test_clear_forgets_all_and_goes_on_at_the_end() -> None:
    buffer = SendBuffer(START)
    buffer.append(bytes(LARGE))
    buffer.append(b"abc")
    buffer.clear()
    assert buffer.start == buffer.end == START + LARGE + 3
    buffer.append(b"x")
    assert drain(buffer) == [b"x"]


def test_the_cursor_survives_the_cutting_of_the_lists() -> None:
    buffer = SendBuffer(START)
    chunks = [pattern(LARGE, i) for i in range(200)]
    for chunk in chunks:
        buffer.append(chunk)
    buffer.run(START + 150 * LARGE)
    buffer.release(START + 149 * LARGE)
    assert buffer.run(START + 150 * LARGE) == chunks[150]
    assert buffer.run(START + 151 * LARGE) == chunks[151]
    assert buffer.run(START + 149 * LARGE) == chunks[149]
    buffer.release(START + 152 * LARGE)
    assert drain(buffer) == chunks[152:]


def test_the_lists_are_cut_without_a_cursor_too() -> None:
    buffer = SendBuffer(START)
    chunks = [pattern(LARGE, i) for i in range(100)]
    for chunk in chunks:
        buffer.append(chunk)
    buffer.release(START + 90 * LARGE)
    assert drain(buffer) == chunks[90:]


def test_released_chunks_are_freed() -> None:
    buffer = SendBuffer(START)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            buffer.append(bytes(1 << 20))
        buffer.run(START)
        buffer.release(START + (19 << 20))
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held < (1 << 20) + 10_000


def test_a_released_chunk_has_no_reference_from_the_cursor() -> None:
    buffer = SendBuffer(START)
    data = bytes(LARGE)
    alone = sys.getrefcount(data)
    buffer.append(data)
    buffer.append(bytes(LARGE))
    buffer.run(START)
    assert sys.getrefcount(data) > alone
    buffer.release(START + LARGE)
    assert sys.getrefcount(data) == alone
