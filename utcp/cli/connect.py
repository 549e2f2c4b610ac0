"""`utcp connect`: netcat's connecting side."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from typing import Final

from utcp.cli import tls
from utcp.cli.arguments import add_peer, connect_config, format_address
from utcp.cli.errors import about
from utcp.cli.loops import run as run_loop
from utcp.cli.netcat import Streams, converse, streams
from utcp.config import Config

HELP: Final = "Connect; join it to standard input and output until both directions end."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_peer(parser)
    tls.add_client_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError, ToolError or OSError if anything is wrong."""
    context = tls.client_tls(arguments)
    config = connect_config(arguments.timeout)
    run_loop(arguments.loop, _connect(arguments.host, arguments.port, context, config))


async def _connect(host: str, port: int, context: ssl.SSLContext | None, config: Config) -> None:
    with about(format_address((host, port))):
        made: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
        await tls.connect(lambda: streams(made.set_result), host, port, context, config)
        await converse(*made.result())
