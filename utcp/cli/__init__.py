"""The command `utcp`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

_NOBODY_READS = 141
"""What a shell sees of a program that SIGPIPE has ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the process's arguments; returns the exit status.

    0: all went well, 1: something did not (said on standard error), 2: wrong arguments,
    130: interrupted from the keyboard, 143 or 129: ended by SIGTERM or SIGHUP, 141: nobody reads
    standard output any more, as after `utcp ... | head`.
    """
    _complete_descriptors()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name of a file may be anything
    try:
        try:
            return _run(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered must not be tried again when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return _NOBODY_READS


def _complete_descriptors() -> None:
    """Open what is closed of standard input, output and error (`<&-`, `>&-`).

    Otherwise the next socket gets the number, and is read or written as if it were that. What is
    opened instead fails, as what is closed does, except that errors may be said to nobody.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # the lowest number that is free
    if sys.stderr is None:
        # print(file=None) would go to standard output.
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _run(argv: Sequence[str] | None) -> int:
    # Imported late: a program that uses a part of this package needs no event loops.
    from utcp.cli import tools  # noqa: PLC0415
    from utcp.cli.errors import Ended, ToolError, UsageError, say, which  # noqa: PLC0415

    arguments = tools.parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except Ended as signal:
        return 128 + signal.number
    except UsageError as error:
        say(f"utcp {arguments.tool}: {error}")
        return 2
    except BrokenPipeError:
        raise
    except (ToolError, OSError, EOFError, UnicodeError) as error:
        say(f"utcp {arguments.tool}: {which(error)}")
        return 1
    return 0
