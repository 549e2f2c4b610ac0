"""RecvBuffer: bytes come out as they came in, and nothing borrowed outlives `settle`."""

from __future__ import annotations

import array
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.core.recv_buffer import MERGE, SMALL, UNSETTLED, RecvBuffer


def test_a_new_buffer_is_empty() -> None:
    buffer = RecvBuffer()
    assert buffer.size == 0
    assert buffer.read() == b""
    assert buffer.read(5) == b""
    assert buffer.read_into(bytearray(5)) == 0
    buffer.settle()
    assert buffer.size == 0


def test_a_single_bytes_object_is_returned_as_it_is() -> None:
    buffer = RecvBuffer()
    data = b"x" * 1448
    for limit in (-1, 1448, 2000):
        buffer.append(data, False)
        assert buffer.read(limit) is data
        assert buffer.size == 0


def test_a_single_view_is_copied() -> None:
    buffer = RecvBuffer()
    memory = bytearray(b"abcdef")
    buffer.append(memoryview(memory)[1:4], True)
    data = buffer.read()
    memory[:] = bytes(6)
    assert data == b"bcd"
    assert type(data) is bytes


def test_append_of_nothing_changes_nothing() -> None:
    buffer = RecvBuffer()
    buffer.append(b"", False)
    buffer.append(memoryview(b""), True)
    buffer.extend([], 0, True)
    assert buffer.size == 0
    assert buffer.read() == b""


def test_runs_and_pieces_are_read_in_order() -> None:
    buffer = RecvBuffer()
    buffer.append(b"ab", False)
    buffer.extend([memoryview(b"cd"), memoryview(b"e")], 3, True)
    buffer.append(memoryview(b"fgh"), True)
    assert buffer.size == 8
    assert buffer.read() == b"abcdefgh"
    assert buffer.size == 0


def test_read_with_a_limit_cuts_pieces() -> None:
    buffer = RecvBuffer()
    whole = b"abc"
    buffer.append(whole, False)
    buffer.append(memoryview(b"defg"), True)
    assert buffer.read(0) == b""
    assert buffer.read(3) is whole
    assert buffer.read(1) == b"d"
    assert buffer.size == 3
    buffer.append(b"hi", False)
    assert buffer.read(4) == b"efgh"
    assert buffer.read(9) == b"i"


def test_read_into_fills_what_fits() -> None:
    buffer = RecvBuffer()
    buffer.extend([memoryview(b"abc"), memoryview(b"def")], 6, True)
    target = bytearray(b"....")
    assert buffer.read_into(target) == 4
    assert target == b"abcd"
    assert buffer.size == 2
    assert buffer.read_into(memoryview(target)[1:]) == 2
    assert target == b"aefd"
    assert buffer.read_into(target) == 0


def test_read_into_takes_a_single_piece_whole() -> None:
    buffer = RecvBuffer()
    buffer.append(memoryview(b"abc"), True)
    target = bytearray(4)
    assert buffer.read_into(target) == 3
    assert target == b"abc\0"
    assert buffer.size == 0
    assert buffer.read() == b""


def test_read_into_nothing_reads_nothing() -> None:
    buffer = RecvBuffer()
    buffer.append(b"abc", False)
    assert buffer.read_into(bytearray()) == 0
    assert buffer.read() == b"abc"


def test_read_into_buffers_of_other_formats() -> None:
    buffer = RecvBuffer()
    buffer.append(b"abcdefgh", False)
    words = array.array("I", [0])
    assert buffer.read_into(memoryview(words)) == 4
    assert words.tobytes() == b"abcd"
    table = bytearray(4)
    assert buffer.read_into(memoryview(table).cast("B", (2, 2))) == 4
    assert table == b"efgh"


def test_read_into_refuses_what_cannot_be_written_and_keeps_the_data() -> None:
    buffer = RecvBuffer()
    buffer.append(b"abc", False)
    with pytest.raises(TypeError, match="read-only"):
        buffer.read_into(memoryview(b"..."))
    assert buffer.read() == b"abc"


def test_settle_copies_what_is_borrowed() -> None:
    buffer = RecvBuffer()
    memory = bytearray(b"abcdef")
    buffer.append(memoryview(memory)[:3], True)
    buffer.append(b"---", False)
    buffer.append(memoryview(memory)[3:], True)
    buffer.settle()
    memory[:] = bytes(6)
    assert buffer.size == 9
    assert buffer.read() == b"abc---def"


@pytest.mark.parametrize("as_run", [False, True])
def test_settle_finds_what_is_borrowed_before_pieces_that_are_not(as_run: bool) -> None:
    buffer = RecvBuffer()
    memory = bytearray(b"x" * MERGE)
    own = b"-" * MERGE
    buffer.append(memoryview(memory), True)
    if as_run:
        buffer.extend([own, own], 2 * MERGE, False)
    else:
        buffer.append(own, False)
        buffer.append(own, False)
    buffer.settle()
    memory.clear()  # a BufferError if a view were left
    assert buffer.read() == b"x" * MERGE + 2 * own


def test_pieces_of_its_own_are_not_copied_by_settle() -> None:
    buffer = RecvBuffer()
    first, second = b"1" * SMALL, b"2" * SMALL
    buffer.append(first, False)
    buffer.extend([second], SMALL, False)
    buffer.settle()
    assert buffer.read(SMALL) is first
    assert buffer.read(SMALL) is second


def test_tiny_pieces_of_its_own_do_not_cost_one_object_each() -> None:
    buffer = RecvBuffer()
    count = 2 * MERGE
    for _ in range(count):
        buffer.append(b"ab", False)
        buffer.settle()
    assert len(buffer._pieces) <= 2 * count // MERGE + 1
    assert buffer.read() == b"ab" * count


def test_settle_leaves_large_settled_pieces_alone() -> None:
    buffer = RecvBuffer()
    large = b"x" * MERGE
    buffer.append(large, False)
    buffer.append(memoryview(b"ab"), True)
    buffer.settle()
    buffer.settle()
    assert buffer.read(MERGE) is large
    assert buffer.read() == b"ab"


def test_settle_after_a_partial_read() -> None:
    buffer = RecvBuffer()
    memory = bytearray(b"abcdef")
    buffer.extend([memoryview(memory)[:3], memoryview(memory)[3:]], 6, True)
    assert buffer.read(4) == b"abcd"
    buffer.settle()
    memory[:] = bytes(6)
    assert buffer.read() == b"ef"


def test_after_settle_nothing_refers_to_the_receive_buffer() -> None:
    buffer = RecvBuffer()
    memory = bytearray(100)
    buffer.append(memoryview(memory)[10:20], True)
    buffer.settle()
    memory.clear()  # a BufferError if a view were left


def test_tiny_pieces_do_not_cost_one_object_each() -> None:
    buffer = RecvBuffer()
    memory = bytearray(b"y")
    count = 4 * MERGE
    for _ in range(count):
        buffer.append(memoryview(memory), True)
        buffer.settle()
    assert len(buffer._pieces) <= count // MERGE + 1
    assert buffer.read() == b"y" * count


def test_a_caller_that_never_settles_has_bounded_overhead() -> None:
    buffer = RecvBuffer()
    for _ in range(2 * UNSETTLED):
        buffer.append(memoryview(b"y"), True)
    buffer.extend([memoryview(b"z")] * UNSETTLED, UNSETTLED, True)
    assert len(buffer._pieces) <= 3
    assert buffer.read() == b"y" * (2 * UNSETTLED) + b"z" * UNSETTLED


def test_clear_forgets_everything() -> None:
    buffer = RecvBuffer()
    data = bytes(3000)
    alone = sys.getrefcount(data)
    buffer.append(memoryview(data), True)
    buffer.clear()
    assert buffer.size == 0
    assert sys.getrefcount(data) == alone
    buffer.settle()
    buffer.append(b"a", False)
    assert buffer.read() == b"a"


@given(
    sizes=st.lists(st.sampled_from([1, 100, 4000, 4096, 65_483]), min_size=1, max_size=6),
    reads=st.lists(st.sampled_from([1, 4096, 65_483, 65_484, 200_000]), min_size=1, max_size=8),
    settle_at=st.integers(0, 8),
)
def test_read_into_takes_pieces_of_all_sizes(
    sizes: list[int], reads: list[int], settle_at: int
) -> None:
    buffer = RecvBuffer()
    memory = [bytearray(bytes((i,)) * size) for i, size in enumerate(sizes)]
    expected = b"".join(memory)
    buffer.extend([memoryview(piece) for piece in memory], len(expected), True)
    got = b""
    for i, size in enumerate([*reads, *[100_000] * 8]):
        if i == settle_at:
            buffer.settle()
            for piece in memory:
                piece[:] = bytes(len(piece))
        target = bytearray(b"-" * size)
        count = buffer.read_into(target)
        assert count == min(size, len(expected) - len(got))
        assert target[count:] == b"-" * (size - count)
        got += target[:count]
        assert buffer.size == len(expected) - len(got)
    assert got == expected
