"""The command `utcp`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

_NOBODY_READS = 141
"""What a shell sees of a program that SIGPIPE has ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the process's arguments; returns the exit status.

    0: all went well, 1: something did not (said on standard error), 2: wrong arguments,
    130: interrupted from the keyboard, 141: nobody reads standard output any more, as after
    `utcp ... | head`.
    """
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


def _run(argv: Sequence[str] | None) -> int:
    # Imported late: a program that uses a part of this package needs no event loops.
    from utcp.cli import tools  # noqa: PLC0415
    from utcp.cli.errors import ToolError, UsageError, which  # noqa: PLC0415

    arguments = tools.parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except UsageError as error:
        print(f"utcp {arguments.tool}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except (ToolError, OSError, EOFError) as error:
        print(f"utcp {arguments.tool}: {which(error)}", file=sys.stderr)
        return 1
    return 0
