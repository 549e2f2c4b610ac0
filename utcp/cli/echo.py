"""`utcp echo`: sends back what it gets, and is the other end of `utcp bench`."""

from __future__ import annotations

import argparse
import ssl
import sys
from typing import Final

import utcp
from utcp.cli import tls
from utcp.cli.arguments import add_server, listening_line
from utcp.cli.benchserver import BenchServer
from utcp.cli.descriptors import raise_limit
from utcp.cli.errors import say
from utcp.cli.loops import run as run_loop
from utcp.cli.loops import stopped

HELP: Final = "Send back whatever comes, to any number of clients; also serves utcp bench."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_server(parser)
    tls.add_server_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no line for each connection")


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError, or OSError if it cannot listen."""
    context = tls.server_tls(arguments)
    raise_limit()
    run_loop(arguments.loop, _echo(arguments.bind, arguments.port, arguments.quiet, context))


async def _echo(bind: str | None, port: int, quiet: bool, context: ssl.SSLContext | None) -> None:
    def tell(peer: object, line: str) -> None:
        if not quiet:
            say(f"{peer}: {line}")

    factory = tls.serving(lambda: BenchServer(tell), context, tell)
    server = await utcp.create_server(factory, bind, port)
    print(listening_line(server.sockets), file=sys.stderr, flush=True)
    try:
        await stopped()
    finally:
        server.close()
        server.abort_clients()
