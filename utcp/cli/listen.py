"""`utcp listen`: netcat's listening side."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from typing import Final

import utcp
from utcp.cli import tls
from utcp.cli.arguments import add_server, format_address, listening_line
from utcp.cli.errors import ToolError, about
from utcp.cli.loops import run as run_loop
from utcp.cli.netcat import Streams, converse, streams

HELP: Final = (
    "Wait for one connection; join it to standard input and output until both directions end."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_server(parser)
    tls.add_server_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError, ToolError or OSError if anything is wrong."""
    context = tls.server_tls(arguments)
    run_loop(arguments.loop, _listen(arguments.bind, arguments.port, context))


async def _listen(bind: str | None, port: int, context: ssl.SSLContext | None) -> None:
    first: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()

    def made(both: Streams) -> None:
        if first.done():
            both[1].transport.abort()
        else:
            first.set_result(both)

    def failed(peer: str, line: str) -> None:
        if not first.done():
            first.set_exception(ToolError(f"{peer}: {line}"))

    factory = tls.serving(lambda: streams(made), context, failed)
    server = await utcp.create_server(factory, bind, port)
    try:
        print(listening_line(server.sockets), file=sys.stderr, flush=True)
        reader, writer = await first
    finally:
        server.close()
    with about(format_address(writer.get_extra_info("peername"))):
        await converse(reader, writer)
