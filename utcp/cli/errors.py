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

__all__ = ["Ended", "ToolError", "UsageError", "about", "say", "which"]

_UNREACHABLE: Final = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN))

_BINDING: Final = re.compile(r"attempting to bind on address \('(.*?)', (\d+)")
"""What asyncio adds of its own."""

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


class Ended(Exception):
    """The process has been told to end, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def about(who: str) -> Iterator[None]:
    """Raise what fails in this block as a ToolError that begins with `who`.

    BrokenPipeError stays what it is: no connection of utcp raises it, so it is standard output.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, EOFError, UnicodeError) as error:
        reason = which(error)
        # The system's own words may begin, or end, with the name already.
        named = isinstance(error, OSError) and str(error.filename) == who
        raise ToolError(reason if named else f"{who}: {reason}") from error


def say(line: str) -> None:
    """A line on standard error, whether or not anybody reads it."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def which(error: BaseException) -> str:
    """One line that says which of the usual things it was."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"bad certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, socket.gaierror | UnicodeError):
        # Names are encoded before they are looked up, and not all can be.
        return f"unknown address: {getattr(error, 'strerror', 'not a host name')}"
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
    """The system's words, and what they are about."""
    text = error.strerror or os.strerror(error.errno or 0)
    if (match := _BINDING.search(text)) is not None:
        host, port = match[1], match[2]
        return f"{f'[{host}]' if ':' in host else host}:{port}: {os.strerror(error.errno or 0)}"
    return f"{error.filename}: {text}" if error.filename is not None else text
