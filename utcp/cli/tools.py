"""The list of tools."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from utcp import __version__
from utcp.cli import bench, connect, demo, echo, forward, listen, recv, send
from utcp.cli.arguments import Parser

__all__ = ["parser"]

_TOOLS: Final[dict[str, ModuleType]] = {
    "demo": demo,
    "listen": listen,
    "connect": connect,
    "forward": forward,
    "send": send,
    "recv": recv,
    "echo": echo,
    "bench": bench,
}


def parser() -> Parser:
    """The parser of the whole command line; what it returns has `tool` and `run`."""
    top = Parser(prog="utcp", description="TCP, carried in UDP datagrams.")
    top.add_argument("--version", action="version", version=f"utcp {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="tool")
    for name, tool in _TOOLS.items():
        own = commands.add_parser(name, help=tool.HELP, description=tool.HELP)
        tool.add_arguments(own)
        own.set_defaults(run=tool.run)
    return top
