"""The command `utcp`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`, by default the process's arguments; returns the exit status.

    0: all went well, 1: something did not (said on standard error), 2: wrong arguments,
    130: interrupted from the keyboard.
    """
    parser = argparse.ArgumentParser(prog="utcp", description="TCP, carried in UDP datagrams.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # Imported late, so that `utcp --help` does not wait for event loops.
    from utcp.cli import demo  # noqa: PLC0415

    demo.add_arguments(commands.add_parser("demo", help=demo.HELP, description=demo.HELP))
    arguments = parser.parse_args(argv)
    try:
        demo.run(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (demo.DemoError, OSError, EOFError) as error:
        print(f"utcp demo: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    return 0
