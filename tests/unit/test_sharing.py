"""Sharing: how connections in bulk divide the socket's buffer."""

from __future__ import annotations

from typing import Final, cast

from hypothesis import given
from hypothesis import strategies as st

from utcp.core import Connection
from utcp.core.sharing import LEAST, Sharing

KIB: Final = 1024
MIB: Final = 1024 * KIB
MS: Final = 1_000_000


def some(count: int) -> list[Connection]:
    return [cast(Connection, object()) for _ in range(count)]


def test_who_is_alone_has_all() -> None:
    sharing = Sharing()
    assert sharing.part(0, 8 * MIB) == 8 * MIB
    (one,) = some(1)
    sharing.note(one, 0)
    sharing.note(one, 1)
    assert sharing.part(1, 8 * MIB) == 8 * MIB


def test_the_parts_are_equal_and_not_small() -> None:
    sharing = Sharing()
    parts = []
    for conn in some(20):
        sharing.note(conn, 0)
        parts.append(sharing.part(0, 8 * MIB))
    assert parts[:5] == [8 * MIB, 4 * MIB, 8 * MIB // 3, 2 * MIB, 8 * MIB // 5]
    assert parts[14:] == [8 * MIB // 15] + 5 * [512 * KIB]
    # No more than there is.
    assert sharing.part(0, 200 * KIB) == 200 * KIB


def test_silence_ends_it() -> None:
    sharing = Sharing()
    first, second, third = some(3)
    for at, conn in enumerate((first, second, third)):
        sharing.note(conn, at * 50 * MS)
    sharing.note(first, 150 * MS)  # which is not the oldest any more
    assert sharing.part(250 * MS, 9 * MIB) == 3 * MIB
    assert sharing.part(250 * MS + 1, 8 * MIB) == 4 * MIB
    assert sharing.part(300 * MS + 1, 8 * MIB) == 8 * MIB
    assert sharing.part(1000 * MS, 8 * MIB) == 8 * MIB


def test_so_does_the_end() -> None:
    sharing = Sharing()
    first, second = some(2)
    sharing.note(first, 0)
    sharing.note(second, 0)
    sharing.forget(first)
    sharing.forget(first)
    assert sharing.part(0, 8 * MIB) == 8 * MIB


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100 * MS), st.booleans()), max_size=80),
    st.integers(1, 32 * MIB),
)
def test_the_sum_is_bounded(steps: list[tuple[int, int, bool]], capacity: int) -> None:
    """All parts fit together, or are the least; and who counts has been heard of."""
    sharing = Sharing()
    conns = some(31)
    heard_at: dict[int, int] = {}
    now = 0
    for number, ns, over in steps:
        now += ns
        if over:
            sharing.forget(conns[number])
            heard_at.pop(number, None)
        else:
            sharing.note(conns[number], now)
            heard_at[number] = now
        count = sum(now - at <= 200 * MS for at in heard_at.values()) or 1
        part = sharing.part(now, capacity)
        assert part == max(capacity // count, min(LEAST, capacity))
        assert part * count <= max(capacity, LEAST * count)
