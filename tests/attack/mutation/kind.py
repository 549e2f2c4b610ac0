"""What a mutation is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Mutation"]


class Mutation(NamedTuple):
    """One defence: in `file`, `old` becomes `new`; then each of `tests` fails."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
