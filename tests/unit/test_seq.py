"""Sequence arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.core.seq import MASK32, unwrap


@pytest.mark.parametrize(
    ("seq32", "near", "expected"),
    [
        (5, 5, 5),
        (0, MASK32, 1 << 32),
        (MASK32, 1 << 32, MASK32),
        (10, (7 << 32) + 20, (7 << 32) + 10),
        (0x8000_0000, 0x8000_0000, 0x8000_0000),
        (0, 0x7FFF_FFFF, 0),
        (0, 0x8000_0000, 0),  # exactly 2^31 away: taken for older
        (0, 0x8000_0001, 1 << 32),
        (MASK32, 0, -1),
    ],
)
def test_unwrap(seq32: int, near: int, expected: int) -> None:
    assert unwrap(seq32, near) == expected


@given(st.integers(0, 1 << 60), st.integers(-(1 << 31), (1 << 31) - 1))
def test_unwrap_is_the_inverse_of_wrapping(near: int, distance: int) -> None:
    assert unwrap((near + distance) & MASK32, near) == near + distance
