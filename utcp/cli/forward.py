"""`utcp forward`: a bridge between the kernel's TCP and utcp, in either direction."""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import utcp
from utcp.cli import tls
from utcp.cli.arguments import (
    Place,
    add_loop,
    add_timeout,
    connect_config,
    listening_line,
    parse_interval,
    parse_place,
    parse_target,
)
from utcp.cli.descriptors import raise_limit
from utcp.cli.errors import UsageError, say, which
from utcp.cli.loops import run as run_loop
from utcp.cli.loops import stopped
from utcp.cli.pump import Side
from utcp.cli.sizes import format_amount
from utcp.config import Config

HELP: Final = (
    "Listen at one place, and join each connection to one made to the other: a bridge between "
    "the kernel's TCP and utcp."
)

_BACKLOG: Final = 1024
_KEEPALIVE: Final = 25.0
"""Seconds: less than the half minute after which many NATs forget a UDP flow."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    for name, text, kind in (
        ("source", "where to listen", parse_place),
        ("target", "where to connect to", parse_target),
    ):
        parser.add_argument(
            name,
            type=kind,
            metavar=name.upper(),
            help=f"{text}: tcp:HOST:PORT or utcp:HOST:PORT",
        )
    parser.add_argument(
        "--keepalive",
        type=parse_interval,
        default=_KEEPALIVE,
        metavar="SECONDS",
        help="probe idle utcp connections this often, which also keeps NATs open; 0: never "
        "[%(default)g]",
    )
    parser.add_argument("--json", action="store_true", help="statistics as JSON on standard output")
    add_timeout(parser)
    add_loop(parser)
    tls.add_bridge_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError or OSError if anything is wrong."""
    settings: dict[str, Any] = {}
    if arguments.keepalive > 0:
        settings = {
            "keepalive": True,
            "keepalive_idle": arguments.keepalive,
            "keepalive_interval": arguments.keepalive,
        }
    config = connect_config(arguments.timeout, **settings)
    source, target = arguments.source, arguments.target
    contexts = _contexts(arguments)
    forward = Forward(source, target, config, arguments.timeout, *contexts)
    raise_limit()
    try:
        run_loop(arguments.loop, forward.serve())
    finally:
        if forward.started_at:
            print(forward.statistics(as_json=arguments.json), flush=True,
                  file=sys.stdout if arguments.json else sys.stderr)  # fmt: skip


_Context = ssl.SSLContext | None


def _contexts(arguments: argparse.Namespace) -> tuple[_Context, _Context]:
    """For TLS at the source and at the target: at the one of them that is utcp's.

    Raises UsageError.
    """
    kinds = (arguments.source.kind, arguments.target.kind)
    if arguments.tls and kinds.count("utcp") != 1:
        raise UsageError("--tls is for a bridge from tcp to utcp, or from utcp to tcp")
    if kinds[0] == "utcp":
        if arguments.insecure:
            raise UsageError("--insecure is for a target that is utcp's")
        return tls.server_tls(arguments), None
    return None, tls.client_tls(arguments)


@dataclass(slots=True)
class Statistics:
    """What was carried."""

    connections: int = 0
    failed: int = 0  # of them: the target could not be connected to
    broken: int = 0  # of them: reset or timed out
    open: int = 0  # of them: not ended yet
    most: int = 0  # open at one time
    bytes_to_target: int = 0
    bytes_from_target: int = 0
    retransmitted_segments: int = 0  # on the utcp side


class Forward:
    """A listening place, and the pairs of connections that came of it."""

    def __init__(
        self,
        source: Place,
        target: Place,
        config: Config,
        timeout: float,
        source_tls: _Context = None,
        target_tls: _Context = None,
    ) -> None:
        self.started_at = 0.0
        self._source_tls = source_tls
        self._target_tls = target_tls
        self._source = source
        self._target = target
        self._config = config
        self._timeout = timeout
        self._stats = Statistics()
        self._pairs: set[Pair] = set()
        self._complaint = ""
        self._closing = False

    async def serve(self) -> None:
        """Carry until the process is told to stop. Raises OSError if it cannot listen."""
        asyncio.get_running_loop().set_exception_handler(self._heard)
        server = await self._listen()
        self.started_at = time.monotonic()
        line = f"{listening_line(server.sockets)} for {self._source.kind}, to {self._target}"
        print(line, file=sys.stderr, flush=True)
        try:
            await stopped()
        finally:
            server.close()
            self._closing = True
            for pair in self._pairs:
                self._count(pair)
                pair.abort()

    async def _listen(self) -> Any:
        place = self._source
        if place.kind == "tcp":
            loop = asyncio.get_running_loop()
            # None means all addresses, which the stubs of this overload do not say.
            host: Any = place.host
            return await loop.create_server(self._accept, host, place.port, backlog=_BACKLOG)
        factory = tls.serving(self._accept, self._source_tls, self._refused)
        return await utcp.create_server(
            factory, place.host, place.port, backlog=_BACKLOG, config=self._config
        )

    def _refused(self, peer: str, line: str) -> None:
        """A TLS handshake at the source has failed."""
        say(f"utcp forward: {peer}: {line}")

    def _accept(self) -> Side:
        pair = Pair(self)
        self._pairs.add(pair)
        stats = self._stats
        stats.connections += 1
        stats.open += 1
        stats.most = max(stats.most, stats.open)
        return pair.source

    async def connect(self, factory: Callable[[], Side]) -> None:
        """Make a connection to the target. Raises OSError."""
        place = self._target
        if place.kind == "tcp":
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(self._timeout):
                await loop.create_connection(factory, place.host or "localhost", place.port)
        else:
            host = place.host or "localhost"
            await tls.connect(factory, host, place.port, self._target_tls, self._config)
        self._complaint = ""

    def failed(self, error: OSError | EOFError) -> None:
        """Count it, and say it."""
        self._stats.failed += 1
        self._complain(f"{self._target}: {which(error)}")

    def _heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What goes wrong on the loop. asyncio tells of each connection that it has to leave in
        the backlog for lack of descriptors."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            self._complain(f"{self._source}: {which(error)}")
        else:
            loop.default_exception_handler(context)

    def _complain(self, complaint: str) -> None:
        """Say it once, as long as nothing changes."""
        if complaint != self._complaint:
            self._complaint = complaint
            say(f"utcp forward: {complaint}")

    def ended(self, pair: Pair, *, broken: bool) -> None:
        """Both connections of a pair are over."""
        if pair in self._pairs and not self._closing:
            self._pairs.discard(pair)
            self._stats.open -= 1
            self._stats.broken += broken
            self._count(pair)

    def _count(self, pair: Pair) -> None:
        to_target, from_target, resent = pair.carried()
        self._stats.bytes_to_target += to_target
        self._stats.bytes_from_target += from_target
        self._stats.retransmitted_segments += resent

    def statistics(self, *, as_json: bool) -> str:
        """One line."""
        stats = self._stats
        seconds = time.monotonic() - self.started_at
        if as_json:
            return json.dumps({"seconds": round(seconds, 3), **asdict(stats)})
        return (
            f"{stats.connections:,} connections in {seconds:,.1f} s ({stats.failed:,} failed, "
            f"{stats.broken:,} broken, {stats.open:,} still open, {stats.most:,} at once at most); "
            f"{format_amount(stats.bytes_to_target)} to {self._target}, "
            f"{format_amount(stats.bytes_from_target)} from it; "
            f"{stats.retransmitted_segments:,} segments resent"
        )


class Pair:
    """The connection that was accepted, and the one that is made for it."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self.source = Side(self)
        self._target = Side(self)
        self._alive: set[Side] = set()
        self._broken = False
        self._connecting: asyncio.Task[None] | None = None

    def made(self, side: Side) -> None:
        """One of the connections is made: join it to the other, which is made first if need be."""
        self._alive.add(side)
        if side is self.source:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._maybe_end)
        elif self.source.is_lost:
            side.abort()
        else:
            self.source.join(side)

    def lost(self, side: Side, exc: Exception | None) -> None:
        """One of the connections is over."""
        self._alive.discard(side)
        self._broken = self._broken or exc is not None
        if self._connecting is not None and side is self.source:
            self._connecting.cancel()
        self._maybe_end()

    def abort(self) -> None:
        """End both connections now."""
        if self._connecting is not None:
            self._connecting.cancel()
        for side in self._alive:
            side.abort()

    def carried(self) -> tuple[int, int, int]:
        """Bytes to the target and from it, and segments resent on the way."""
        resent = 0
        for side in (self.source, self._target):
            info = side.info
            resent += info.total_retrans if info is not None else 0
        return self.source.received, self._target.received, resent

    async def _connect(self) -> None:
        try:
            await self._forward.connect(lambda: self._target)
        except (OSError, EOFError) as error:
            self._forward.failed(error)
            self.source.abort()

    def _maybe_end(self, _: object = None) -> None:
        assert self._connecting is not None
        if not self._alive and self._connecting.done():
            self._forward.ended(self, broken=self._broken)
