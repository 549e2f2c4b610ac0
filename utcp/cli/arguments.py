"""What the tools' arguments have in common: the parser, addresses, numbers, settings."""

from __future__ import annotations

import argparse
import math
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn

from utcp.cli.loops import BEST, LOOPS
from utcp.config import Config

__all__ = [
    "Parser",
    "Place",
    "add_loop",
    "add_peer",
    "add_server",
    "add_timeout",
    "connect_config",
    "format_address",
    "listening_line",
    "parse_count",
    "parse_host",
    "parse_interval",
    "parse_peer_port",
    "parse_place",
    "parse_port",
    "parse_seconds",
    "parse_target",
]

_TIMEOUT: Final = 15.0
_SHORTEST: Final = 0.001


class Parser(argparse.ArgumentParser):
    """As argparse's, but what is wrong is said in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen or connect, and by what."""

    kind: Literal["tcp", "utcp"]
    host: str | None
    port: int

    def __str__(self) -> str:
        return f"{self.kind}:{format_address((self.host or '', self.port))}"


def parse_place(text: str) -> Place:
    """`tcp:HOST:PORT` or `utcp:HOST:PORT`, the host in brackets if it has colons, or empty.

    For argparse: raises its ArgumentTypeError.
    """
    kind, _, address = text.partition(":")
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise argparse.ArgumentTypeError(f"{text!r}: put the address in brackets, as in [::1]")
    if kind not in {"tcp", "utcp"} or not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not tcp:HOST:PORT or utcp:HOST:PORT")
    return Place("tcp" if kind == "tcp" else "utcp", host or None, parse_port(port))


def parse_target(text: str) -> Place:
    """The same of a place to connect to, which has a port."""
    place = parse_place(text)
    parse_peer_port(str(place.port))
    return place


def parse_host(text: str) -> str:
    """A host's name or address; an IPv6 address may stand in brackets, as in URLs."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not host:
        raise argparse.ArgumentTypeError(f"{text!r} is no host")
    return host


def parse_port(text: str) -> int:
    """A port number; 0 lets the system choose where one listens."""
    # isdecimal() alone takes the digits of any script.
    if not (text.isascii() and text.isdecimal() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number")
    return int(text)


def parse_peer_port(text: str) -> int:
    """The number of a port that one can connect to."""
    port = parse_port(text)
    if port == 0:
        raise argparse.ArgumentTypeError("nobody listens on port 0")
    return port


def parse_count(text: str) -> int:
    """A number of things, from none."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return int(text)


def parse_seconds(text: str) -> float:
    """A number of seconds, from a millisecond to a day."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not _SHORTEST <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def parse_interval(text: str) -> float:
    """The same, or 0 for never."""
    return 0.0 if text == "0" else parse_seconds(text)


def add_loop(parser: argparse.ArgumentParser) -> None:
    """`--loop`."""
    parser.add_argument("--loop", choices=LOOPS, default=BEST, help="event loop [%(default)s]")


def add_server(parser: argparse.ArgumentParser) -> None:
    """PORT, `--bind` and `--loop`: of whoever listens."""
    parser.add_argument("port", type=parse_port, metavar="PORT", help="0: any that is free")
    parser.add_argument(
        "--bind", type=parse_host, metavar="ADDRESS", help="listen on this address only [all]"
    )
    add_loop(parser)


def add_peer(parser: argparse.ArgumentParser) -> None:
    """HOST, PORT, `--timeout` and `--loop`: of whoever connects."""
    parser.add_argument("host", type=parse_host, metavar="HOST")
    parser.add_argument("port", type=parse_peer_port, metavar="PORT")
    add_timeout(parser)
    add_loop(parser)


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """`--timeout`."""
    parser.add_argument(
        "--timeout",
        type=parse_seconds,
        default=_TIMEOUT,
        metavar="SECONDS",
        help="how long connecting may take [%(default)g]",
    )


def connect_config(timeout: float, **settings: Any) -> Config:
    """Settings with which connecting fails after `timeout` seconds, and says why.

    The connection's own retries make up the time, as they know whether anything was heard from
    the network meanwhile (timed out) or only complaints (unreachable).
    """
    # RFC 6298 §5 (5.5): the time-out doubles, so n retries last 2^(n + 1) - 1 times the first.
    retries = max(0, math.frexp(timeout + 1)[1] - 2)
    first = timeout / (2 ** (retries + 1) - 1)
    return Config(
        syn_retries=retries,
        rto_initial=max(0.001, first),
        rto_max=min(3600.0, max(120.0, 2**retries * first)),
        **settings,
    )


def format_address(address: Iterable[Any]) -> str:
    """`host:port` of a socket address, `[host]:port` if the host has colons; with its zone."""
    host, port, *more = address
    if len(more) > 1 and more[1]:
        with suppress(OSError):  # the interface is gone
            host = f"{host}%{socket.if_indextoname(more[1])}"
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def listening_line(sockets: Iterable[Any]) -> str:
    """What every tool that listens says first."""
    names = [format_address(each.getsockname()) for each in sockets]
    return f"listening on {', '.join(names)}"
