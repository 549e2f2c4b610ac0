"""Thousands of connections need thousands of descriptors."""

from __future__ import annotations

from contextlib import suppress

__all__ = ["raise_limit"]

try:
    import resource
except ImportError:  # Windows, which has no such limit

    def raise_limit() -> None:
        """Let the process open as many files as the system lets it."""

else:

    def raise_limit() -> None:
        """Let the process open as many files as the system lets it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            with suppress(ValueError, OSError):  # macOS names a hard limit that it does not keep
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
