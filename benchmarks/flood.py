"""`python -m benchmarks.flood`: honest clients beside a flood, with SYN cookies and without.

Three processes on loopback: a server; a crowd that sends SYNs or garbage to it from thousands of
addresses and never answers; and honest clients, of which one has a connection from before the
flood and sends as fast as it can, while others try to connect.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import socket
import statistics
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final

import utcp
from utcp.core import segment

_HOST: Final = "127.0.0.1"
_SOURCES: Final = 4000
_BLOCK: Final = bytes(256 << 10)
_PATIENCE: Final = 60.0
_TICK: Final = 0.01

KINDS: Final = ("none", "garbage", "syn")
SYN: Final = segment.build(
    segment.SYN, 65_535, 12_345, 0, segment.syn_options(1460, 7, True, (1, 0))
)
GARBAGE: Final = (
    os.urandom(24),
    segment.build(segment.ACK, 65_535, 12_345, 54_321),  # for a connection that there is not
    b"\xf0" + bytes(30),
)


def main() -> int:
    """Returns the exit status: 0."""
    arguments = _parser().parse_args()
    rows = []
    for kind in arguments.kinds.split(","):
        for cookies in ("never", "auto") if kind == "syn" else ("auto",):
            print(f"{kind}, cookies {cookies} ...", file=sys.stderr, flush=True)
            measured = _case(kind, cookies, arguments)
            rows.append({"flood": kind, "cookies": cookies, **measured})
    if arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print(table(rows))
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """The results as a table in Markdown."""
    lines = [
        "| flood | SYN cookies | MB/s | connected | time to connect, ms (median; worst) | "
        "datagrams/s taken |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        times = "" if row["median_ms"] is None else f"{row['median_ms']:.1f}; {row['worst_ms']:.1f}"
        lines.append(
            f"| {row['flood']} | {row['cookies']} | {row['MB/s']:.0f} | "
            f"{row['connected']} of {row['tried']} | {times} | {row['taken']:,.0f} |"
        )
    return "\n".join(lines)


def _case(kind: str, cookies: str, arguments: argparse.Namespace) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(theirs, cookies), daemon=True)
    server.start()
    port = _receive(ours)
    flood_pipe, flood_end = context.Pipe()
    crowd = context.Process(
        target=_flood, args=(flood_end, kind, port, arguments.rate), daemon=True
    )
    crowd.start()
    _receive(flood_pipe)
    try:
        measured = asyncio.run(_honest(flood_pipe, port, arguments))
    finally:
        crowd.kill()
        crowd.join()
    ours.send("enough")
    taken = _receive(ours)
    server.join(_PATIENCE)
    return {**measured, "taken": taken["datagrams_in"] / taken["seconds"], "counters": taken}


def _receive(pipe: Pipe) -> Any:
    if not pipe.poll(_PATIENCE):
        raise TimeoutError("a process of the benchmark does not answer")
    return pipe.recv()


# -- the server ----------------------------------------------------------------------------------


class Taking(asyncio.Protocol):
    """Takes whatever comes."""

    total = 0

    def data_received(self, data: bytes) -> None:
        Taking.total += len(data)


def _serve(pipe: Pipe, cookies: str) -> None:
    """Main function of the server: sends its port, and in the end its counters."""
    asyncio.run(_serving(pipe, cookies))


async def _serving(pipe: Pipe, cookies: str) -> None:
    config = utcp.Config(syn_cookies=cookies)
    opened: list[asyncio.BaseTransport] = []

    class Kept(Taking):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            opened.append(transport)

    server = await utcp.create_server(Kept, _HOST, 0, config=config)
    began = time.monotonic()
    pipe.send(server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    counters: utcp.Counters = opened[0].get_extra_info("counters")
    names = ("datagrams_in", "connections_accepted", "connections_refused", "syn_cookies_sent")
    pipe.send(
        {name: getattr(counters, name) for name in names}
        | {"seconds": time.monotonic() - began, "bytes": Taking.total}
    )
    server.close()
    server.abort_clients()
    await server.wait_closed()


# -- the crowd -----------------------------------------------------------------------------------


def _flood(pipe: Pipe, kind: str, port: int, rate: int) -> None:
    """Main function of the crowd: says that it is ready, begins when it is told to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = []
    for number in range(min(_SOURCES, hard - 100)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # So that what comes back fills no memory; it is never read.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.bind((f"127.1.{number >> 8}.{number & 255}", 0))
        sock.setblocking(False)
        crowd.append(sock)
    pipe.send("ready")
    pipe.recv()
    began = time.monotonic()
    sent = 0
    while True:
        due = int((time.monotonic() - began) * rate) if kind != "none" else 0
        # Never more than one tick in one go, however late it is.
        sent = max(sent, due - int(rate * _TICK) - 1)
        while sent < due:
            data = SYN if kind == "syn" else GARBAGE[sent % len(GARBAGE)]
            with suppress(OSError):
                crowd[sent % len(crowd)].sendto(data, (_HOST, port))
            sent += 1
        if sent and pipe.poll():
            pipe.recv()
        time.sleep(_TICK / 10)


# -- the honest ----------------------------------------------------------------------------------


class Sending(asyncio.Protocol):
    """Sends as fast as the transport takes it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def go(self) -> None:
        """Begin, and whenever there is room go on."""
        assert self._transport is not None
        while not self._paused and not self._transport.is_closing():
            self._transport.write(_BLOCK)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.go()


async def _honest(flood: Pipe, port: int, arguments: argparse.Namespace) -> dict[str, Any]:
    transport, sending = await utcp.create_connection(Sending, _HOST, port)
    flood.send("go")
    # Until the server's backlog is full, had it nothing else.
    await asyncio.sleep(min(2.0, 2 * 1024 / arguments.rate + 0.2))

    before = transport.get_extra_info("tcp_info").bytes_acked
    began = time.monotonic()
    sending.go()
    await asyncio.sleep(arguments.seconds)
    seconds = time.monotonic() - began
    nbytes = transport.get_extra_info("tcp_info").bytes_acked - before
    transport.abort()

    tries = [_try(port, arguments.patience) for _ in range(arguments.connects)]
    times = sorted(each for each in await asyncio.gather(*tries) if each is not None)
    return {
        "MB/s": nbytes / seconds / 1e6,
        "tried": len(tries),
        "connected": len(times),
        "median_ms": statistics.median(times) * 1000 if times else None,
        "worst_ms": max(times) * 1000 if times else None,
    }


async def _try(port: int, patience: float) -> float | None:
    """How long connecting takes, seconds; None if it takes too long."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(patience):
            transport, _ = await utcp.create_connection(Taking, _HOST, port)
    except OSError:
        return None
    took = time.monotonic() - began
    transport.abort()
    return took


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--rate", type=int, default=5_000, help="datagrams a second of the flood")
    parser.add_argument("--seconds", type=float, default=3.0, help="of sending at full speed")
    parser.add_argument("--connects", type=int, default=50, help="clients that connect at once")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds a client waits")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which floods: " + ",".join(KINDS))
    parser.add_argument("--json", action="store_true", help="all there is, instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
