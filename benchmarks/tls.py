"""`python -m benchmarks.tls`: what TLS costs, over utcp and over kernel TCP, and in OpenSSL alone.

One connection over loopback between two processes, each on a core of its own; the Protocol API,
the standard library's SSLProtocol in both. "OpenSSL" is the same `ssl.SSLObject` on `MemoryBIO`s
with no transport at all, in two processes at the same time, since what looks like two cores may
share one. "possible" is what a sender can do that spends on each byte what the plain one does, and
OpenSSL's time: a side of a connection does both in one thread.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Final

import trustme
from rich.console import Console
from rich.table import Table

import utcp
from benchmarks.measure import BLOCK, Checker, Meter, blocks
from utcp.cli.loops import LOOPS, run
from utcp.cli.processes import helper_process
from utcp.cli.sizes import parse_size

_HOST: Final = "127.0.0.1"
_NAME: Final = "localhost"
_DONE: Final = b"!"
_READ: Final = 256 << 10  # as SSLProtocol reads
_PATIENCE: Final = 600.0
_OPENSSL_BLOCKS: Final = 2048
_RATES: Final = ("encrypt_MB_per_s", "decrypt_MB_per_s")


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure, for processes that are started clean."""

    transport: str  # "utcp", "tcp"
    loop: str
    secured: bool
    size: int
    pem: tuple[str, str]  # of the authority, of the server with its key

    @property
    def name(self) -> str:
        return f"{self.loop}/{self.transport}/{'tls' if self.secured else 'plain'}"

    def server_context(self) -> ssl.SSLContext | None:
        if not self.secured:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.pem[1])
        return context

    def client_context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.pem[0]) if self.secured else None


class _Sink(asyncio.Protocol):
    """Answers one byte when `size` have arrived: TLS has no half-close to say that it was all."""

    def __init__(self, size: int, over: asyncio.Event) -> None:
        self.checker = Checker(every_byte=False)
        self.meter = Meter()
        self._size = size
        self._over = over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.meter.restart()

    def data_received(self, data: bytes) -> None:
        self.checker.feed(data)
        if self.checker.count >= self._size:
            self._transport.write(_DONE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._over.set()


class _Source(asyncio.Protocol):
    """Writes until told to pause."""

    def __init__(self, size: int) -> None:
        self.over: asyncio.Future[dict[str, float]] = asyncio.get_running_loop().create_future()
        self._count = size // BLOCK
        self._next = 0
        self._paused = False
        self._meter = Meter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._meter.restart()
        self._write()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write()

    def data_received(self, data: bytes) -> None:
        self.over.set_result(self._meter.read())
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("closed before all had arrived"))

    def _write(self) -> None:
        everything = blocks()
        while self._next < self._count and not self._paused:
            block = everything[self._next % len(everything)]
            self._next += 1
            self._transport.write(block)


def serve(pipe: Pipe, case: Case) -> None:
    """Main function of the receiving process."""
    blocks()
    pipe.send(run(case.loop, _serve(pipe, case)))


def send(pipe: Pipe, case: Case, port: int) -> None:
    """Main function of the sending process."""
    blocks()
    pipe.send(run(case.loop, _send(case, port)))


async def _serve(pipe: Pipe, case: Case) -> dict[str, float]:
    over = asyncio.Event()
    sink = _Sink(case.size, over)
    create: Any = utcp.create_server
    if case.transport == "tcp":
        create = asyncio.get_running_loop().create_server
    server = await create(lambda: sink, _HOST, 0, ssl=case.server_context())
    async with server:
        pipe.send(server.sockets[0].getsockname()[1])
        await over.wait()
        return {"bytes": sink.checker.count, **sink.meter.read()}


async def _send(case: Case, port: int) -> dict[str, float]:
    source = _Source(case.size)
    create: Any = utcp.create_connection
    if case.transport == "tcp":
        create = asyncio.get_running_loop().create_connection
    context = case.client_context()
    name = _NAME if context is not None else None
    await create(lambda: source, _HOST, port, ssl=context, server_hostname=name)
    return await source.over


def measure(case: Case) -> dict[str, float]:
    """One run."""
    with _process(-1, serve, case) as receiver:
        port = _get(receiver)
        with _process(0, send, case, port) as sender:
            sent = _get(sender)
            received = _get(receiver)
    if received["bytes"] != case.size:
        raise ValueError(f"{received['bytes']:,} of {case.size:,} bytes arrived")
    return {
        "MB_per_s": case.size / sent["seconds"] / 1e6,
        "sender_cpu_s_per_GB": sent["cpu"] / case.size * 1e9,
        "receiver_cpu_s_per_GB": received["cpu"] / case.size * 1e9,
    }


def openssl(pipe: Pipe, case: Case) -> None:
    """Main function of a process that has no transport: MB/s of both sides, and the cipher."""
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    asking, serving = case.client_context(), case.server_context()
    assert asking is not None
    assert serving is not None
    client = asking.wrap_bio(client_in, client_out, server_hostname=_NAME)
    server = serving.wrap_bio(server_in, server_out, server_side=True)
    for side in (client, server) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
        server_in.write(client_out.read())
        client_in.write(server_out.read())
    encrypting = decrypting = 0
    for number in range(_OPENSSL_BLOCKS):
        begin = time.perf_counter_ns()
        client.write(blocks()[number % len(blocks())])
        records = client_out.read()
        middle = time.perf_counter_ns()
        server_in.write(records)
        count = 0
        while count < BLOCK:
            count += len(server.read(_READ))
        encrypting += middle - begin
        decrypting += time.perf_counter_ns() - middle
    size = _OPENSSL_BLOCKS * BLOCK
    cipher = client.cipher()
    assert cipher is not None
    pipe.send(
        {
            "encrypt_MB_per_s": size / encrypting * 1e3,
            "decrypt_MB_per_s": size / decrypting * 1e3,
            "cipher": cipher[0],
        }
    )


def measure_openssl(case: Case) -> dict[str, Any]:
    """One run: the mean of two processes, one on each core."""
    with _process(0, openssl, case) as one, _process(-1, openssl, case) as two:
        results = [_get(one), _get(two)]
    rates = {key: statistics.mean(each[key] for each in results) for key in _RATES}
    return {**results[0], **rates}


def _process(core: int, target: Callable[..., None], *args: Any) -> AbstractContextManager[Pipe]:
    """`target(pipe, *args)` in a process on a core of its own: left to the scheduler, both sides
    share one in some runs and not in others."""
    return helper_process(_on_core, core, target, *args)


def _on_core(pipe: Pipe, core: int, target: Callable[..., None], *args: Any) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    target(pipe, *args)


def _get(pipe: Pipe) -> Any:
    if not pipe.poll(_PATIENCE):
        raise TimeoutError(f"nothing for {_PATIENCE:.0f} s")
    return pipe.recv()


def main() -> int:
    """Returns the exit status."""
    arguments = _parser().parse_args()
    authority = trustme.CA()
    certificate = authority.issue_cert(_NAME)
    with (
        authority.cert_pem.tempfile() as ca,
        certificate.private_key_and_cert_chain_pem.tempfile() as own,
    ):
        size = max(1, arguments.size // BLOCK) * BLOCK
        cases = [
            Case(transport, loop, secured, size, (ca, own))
            for loop in arguments.loop or LOOPS
            for transport in ("utcp", "tcp")
            for secured in (False, True)
        ]
        runs: dict[str, list[dict[str, Any]]] = {"openssl": []}
        for number in range(arguments.runs):
            # Interleaved, so that drift hits all alike.
            for case in cases:
                _tell(f"{case.name}: run {number + 1} of {arguments.runs}")
                runs.setdefault(case.name, []).append(measure(case))
            runs["openssl"].append(measure_openssl(cases[-1]))
    _show(runs)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    return 0


def _show(runs: dict[str, list[dict[str, Any]]]) -> None:
    alone = _median(runs, "openssl")
    table = Table(title="MB/s (CPU s/GB of sender + receiver), medians")
    for head in ("", "plain", "TLS", "ratio", "possible"):
        table.add_column(head, justify="right" if head else "left")
    for name in dict.fromkeys(each.rpartition("/")[0] for each in runs if each != "openssl"):
        plain, tls = _median(runs, f"{name}/plain"), _median(runs, f"{name}/tls")
        ratio = tls["MB_per_s"] / plain["MB_per_s"]
        possible = 1 / (1 / plain["MB_per_s"] + 1 / alone["encrypt_MB_per_s"])
        table.add_row(name, _cell(plain), _cell(tls), f"{ratio:.2f}", f"{possible:,.0f}")
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(
        f"OpenSSL alone, {runs['openssl'][0]['cipher']}, {ssl.OPENSSL_VERSION}: encrypts "
        f"{alone['encrypt_MB_per_s']:,.0f} MB/s, decrypts {alone['decrypt_MB_per_s']:,.0f} MB/s"
    )


def _median(runs: dict[str, list[dict[str, Any]]], name: str) -> dict[str, float]:
    """Of each figure; names are no figures."""
    first = runs[name][0]
    return {
        key: statistics.median(run[key] for run in runs[name])
        for key in first
        if not isinstance(first[key], str)
    }


def _cell(run: dict[str, float]) -> str:
    cpu = f"{run['sender_cpu_s_per_GB']:.2f} + {run['receiver_cpu_s_per_GB']:.2f}"
    return f"{run['MB_per_s']:,.0f} ({cpu})"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tls", description="What TLS costs.")
    parser.add_argument("--loop", action="append", choices=LOOPS, help="only this event loop")
    parser.add_argument("--runs", type=int, default=5, help="of each case [%(default)s]")
    parser.add_argument("--size", type=parse_size, default=1 << 30, help="bytes to move [1GiB]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
