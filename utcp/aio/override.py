"""`typing.override`, which Python 3.11 does not have yet, without a dependency at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method):
        """Say that a method overrides one of a base class; only type checkers look."""
        return method


__all__ = ["override"]
