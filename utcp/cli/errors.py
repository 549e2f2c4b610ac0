"""What went wrong, in one line, and the exit status that goes with it."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

__all__ = ["ToolError", "UsageError", "about", "say", "which"]

_UNREACHABLE: Final = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN))

_USUAL: Final[dict[type[BaseException], str]] = {
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "connection reset by peer",
    TimeoutError: "timed out",
    EOFError: "the connection ended too early",
}


class ToolError(Exception):
    """Something that should have worked did not: exit status 1."""


class UsageError(Exception):
    """The options make no sense: exit status 2."""


@contextmanager
def about(who: str) -> Iterator[None]:
    """Raise what fails in this block as a ToolError that begins with `who`.

    BrokenPipeError stays what it is: no connection of utcp raises it, so it is standard output.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, EOFError) as error:
        raise ToolError(f"{who}: {which(error)}") from error


def say(line: str) -> None:
    """A line on standard error, from where work goes on even if nobody reads it."""
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


def which(error: BaseException) -> str:
    """One line that says which of the usual things it was."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"bad certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, socket.gaierror):
        return f"unknown address: {error.strerror}"
    for kind, text in _USUAL.items():
        if isinstance(error, kind):
            return text
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "unreachable"
    if isinstance(error, OSError) and error.errno:
        return _system(error)
    if several := dict.fromkeys(re.findall(r"\[Errno (\d+)\]", str(error))):
        # What asyncio says when no address of a name could be connected to.
        return "; ".join(
            dict.fromkeys(which(OSError(int(n), os.strerror(int(n)))) for n in several)
        )
    return str(error) or type(error).__name__


def _system(error: OSError) -> str:
    """The system's words; what asyncio adds of its own about an address stays."""
    text = error.strerror or os.strerror(error.errno or 0)
    return f"{text}: {error.filename}" if error.filename is not None else text
