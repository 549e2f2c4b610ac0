"""`utcp bench`: how fast is it from here to there? The other end is `utcp echo`."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import ssl
from dataclasses import asdict, replace
from typing import Any, Final, cast

from utcp.cli import tls
from utcp.cli.arguments import add_peer, connect_config, format_address, parse_seconds
from utcp.cli.benchclient import Order, Stream
from utcp.cli.benchtable import Row, Table, describe
from utcp.cli.benchwire import tcp_info
from utcp.cli.errors import ToolError, UsageError, about
from utcp.cli.loops import run as run_loop
from utcp.cli.sizes import parse_size
from utcp.config import Config

HELP: Final = "Measure the rate to or from a machine that runs utcp echo."

_MOST_STREAMS: Final = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    add_peer(parser)
    parser.add_argument(
        "--mode",
        choices=("up", "down", "echo"),
        default="up",
        help="send, receive, or have it all sent back [%(default)s]",
    )
    parser.add_argument(
        "--seconds", type=parse_seconds, default=10.0, help="how long [%(default)g]"
    )
    parser.add_argument("--size", type=parse_size, default=0, help="or how much, at most [any]")
    parser.add_argument(
        "--streams", type=int, default=1, metavar="N", help="connections at a time [%(default)s]"
    )
    parser.add_argument(
        "--interval", type=parse_seconds, default=1.0, metavar="SECONDS", help="[%(default)g]"
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    tls.add_client_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do it; raises UsageError, ToolError or OSError if anything is wrong."""
    if not 1 <= arguments.streams <= _MOST_STREAMS:
        raise UsageError(f"--streams must be between 1 and {_MOST_STREAMS}")
    order = Order(arguments.mode, arguments.seconds, arguments.size)
    table = Table(quiet=arguments.json)
    config = connect_config(arguments.timeout)
    context = tls.client_tls(arguments)
    bench = Bench(arguments.host, arguments.port, order, config, context)
    with table:
        total = run_loop(arguments.loop, bench.run(arguments.streams, arguments.interval, table))
    if arguments.json:
        print(json.dumps(bench.result(total, table.rows)))
    else:
        print(describe(total, arguments.mode))


class Bench:
    """The connections of one measurement."""

    def __init__(
        self,
        host: str,
        port: int,
        order: Order,
        config: Config,
        context: ssl.SSLContext | None,
    ) -> None:
        self._host = host
        self._port = port
        self._order = order
        self._config = config
        self._context = context
        self._streams: list[Stream] = []

    async def run(self, count: int, interval: float, table: Table) -> Row:
        """Measure; rows go to `table`, the sum is returned. Raises ToolError."""
        loop = asyncio.get_running_loop()
        with about(format_address((self._host, self._port))):
            try:
                for _ in range(count):
                    await tls.connect(
                        self._stream, self._host, self._port, self._context, self._config
                    )
                start = loop.time()
                for stream in self._streams:
                    stream.start()
                return await self._watch(start, interval, table)
            finally:
                for stream in self._streams:
                    stream.abort()

    def _stream(self) -> Stream:
        self._streams.append(Stream(self._order))
        return self._streams[-1]

    async def _watch(self, start: float, interval: float, table: Table) -> Row:
        """A row for each interval until all streams are over."""
        loop = asyncio.get_running_loop()
        waiting = {stream.over for stream in self._streams}
        previous = self._sum(0.0)
        while waiting:
            until = start + next_tick(loop.time() - start, interval)
            while waiting and (left := until - loop.time()) > 0:
                done, waiting = await asyncio.wait(
                    waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                for each in done:
                    each.result()
            current = self._sum(loop.time() - start)
            table.add(previous.until(current))
            previous = current
        return self._finish(previous)

    def _sum(self, now: float) -> Row:
        """Everything since the beginning, as it is `now`."""
        infos = [tcp_info(stream.transport) for stream in self._streams]
        sending = self._order.mode != "down"
        return Row(
            0.0,
            now,
            sum(stream.carried for stream in self._streams),
            sum(info.rtt for info in infos) // len(infos),
            sum(info.snd_cwnd for info in infos) if sending else None,
            sum(info.total_retrans for info in infos) if sending else None,
        )

    def _finish(self, total: Row) -> Row:
        """With what only the server knows: what arrived there, or how sending went."""
        reports = [stream.report for stream in self._streams]
        if self._order.mode == "up":
            return replace(total, bytes=_total(reports, "bytes"))
        if self._order.mode == "down":
            return replace(
                total,
                rtt_us=_total(reports, "rtt_us") // len(reports),
                cwnd=_total(reports, "cwnd"),
                retransmitted=_total(reports, "retransmitted"),
            )
        return total

    def result(self, total: Row, rows: list[Row]) -> dict[str, Any]:
        """For JSON."""
        return {
            "mode": self._order.mode,
            "streams": len(self._streams),
            "seconds": total.end,
            **_fields(total),
            "intervals": [_fields(row) for row in rows],
        }


def next_tick(elapsed: float, interval: float) -> float:
    """The next multiple of `interval`; a loop that comes late leaves some out."""
    return (math.floor(elapsed / interval + 0.01) + 1) * interval


def _fields(row: Row) -> dict[str, Any]:
    return {**asdict(row), "bytes_per_second": round(row.rate)}


def _total(reports: list[dict[str, Any]], name: str) -> int:
    numbers = [report.get(name) for report in reports]
    if not all(isinstance(number, int) for number in numbers):
        raise ToolError("the peer is no utcp echo")
    return sum(cast("list[int]", numbers))
