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
from utcp.cli.errors import about
from utcp.cli.loops import run as run_loop
from utcp.cli.netcat import LIMIT, converse

HELP: Final = (
    "Wait for one connection; join it to standard input and output until both directions end."
)

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_server(parser)
    tls.add_server_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError, ToolError or OSError if anything is wrong."""
    context = tls.server_tls(arguments)
    run_loop(arguments.loop, _listen(arguments.bind, arguments.port, context))


async def _listen(bind: str | None, port: int, context: ssl.SSLContext | None) -> None:
    first: asyncio.Future[_Streams] = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first.done():
            writer.transport.abort()
        else:
            first.set_result((reader, writer))

    server = await utcp.start_server(accept, bind, port, limit=LIMIT)
    try:
        print(listening_line(server.sockets), file=sys.stderr, flush=True)
        reader, writer = await first
    finally:
        server.close()
    with about(format_address(writer.get_extra_info("peername"))):
        encrypted = None
        if context is not None:
            encrypted = tls.TlsStream(reader, writer, context, server_side=True)
        await converse(reader, writer, encrypted)
