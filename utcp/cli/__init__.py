"""The command `utcp`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the process's arguments; returns the exit status.

    0: all went well, 1: something did not (said on standard error), 2: wrong arguments,
    130: interrupted from the keyboard.
    """
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
    except (ToolError, OSError, EOFError) as error:
        print(f"utcp {arguments.tool}: {which(error)}", file=sys.stderr)
        return 1
    return 0
