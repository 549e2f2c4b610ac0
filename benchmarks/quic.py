"""QUIC by aioquic, or by qh3, which began as a copy of it and has the same calls.

Written as their examples are: one connection with one bidirectional stream for each pair of
reader and writer. Settings, the same for both:

- flow-control windows of 16 MiB, so that they never limit (aioquic's default is 1 MiB);
- datagrams as large as the task's segments, or as large as the package can make them;
- a P-256 certificate that the client does not verify: each connection has its handshake, but
  nobody spends time on a chain of certificates.

Everything is encrypted, AES-128-GCM or whatever the package prefers; it cannot be switched off.
Neither has backpressure, so a sender buffers all that it is given: hence `most_per_second`.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final, cast

from benchmarks.cases import Task, Way
from benchmarks.certificate import write_certificate
from benchmarks.contestants import HOST, AsyncioContestant, StreamCallback, Streams

_WINDOW: Final = 16 << 20
_HEADERS: Final = 24  # of a utcp segment: UDP payloads are equally long
_QUESTIONS: Final = frozenset({"bulk", "echo", "requests", "churn"})


class Quic(AsyncioContestant):
    """Either of them."""

    share = 0.5

    largest: ClassVar[int]
    """UDP payload, where the task sets no limit."""
    settings: ClassVar[dict[str, Any]]
    """Those that only one of them has."""
    encrypts = True

    def missing(self) -> str:
        lacking = [name for name in (self.name, "trustme") if find_spec(name) is None]
        return f"not installed: {', '.join(lacking)}" if lacking else ""

    def ways(self, task: Task) -> Sequence[Way]:
        return [Way("uvloop", "streams")] if task.headline and task.question in _QUESTIONS else []

    async def start_server(self, callback: StreamCallback, task: Task) -> tuple[object, int]:
        tasks: set[asyncio.Future[None]] = set()

        def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Each takes a function here, and makes no task of a coroutine.
            running = asyncio.ensure_future(callback(reader, _streams(reader, writer)[1]))
            tasks.add(running)
            running.add_done_callback(tasks.discard)

        configuration = self._configuration(task, is_client=False)
        with TemporaryDirectory() as folder:
            chain, key = write_certificate(folder, HOST)
            configuration.load_cert_chain(chain, key)
        server = await self._package("asyncio").serve(
            HOST, 0, configuration=configuration, stream_handler=on_stream
        )
        return server, server._transport.get_extra_info("sockname")[1]

    async def open_connection(self, port: int, task: Task) -> Streams:
        configuration = self._configuration(task, is_client=True)
        configuration.verify_mode = ssl.CERT_NONE
        stack = AsyncExitStack()
        connecting = self._package("asyncio").connect(HOST, port, configuration=configuration)
        connection = await stack.enter_async_context(connecting)
        reader, writer = await connection.create_stream()
        return _streams(reader, writer, stack)

    def _configuration(self, task: Task, *, is_client: bool) -> Any:
        return self._package("quic.configuration").QuicConfiguration(
            is_client=is_client,
            alpn_protocols=["bench"],
            max_data=_WINDOW,
            max_stream_data=_WINDOW,
            max_datagram_size=task.segment + _HEADERS if task.segment else self.largest,
            **self.settings,
        )

    def _package(self, module: str) -> Any:
        return importlib.import_module(f"{self.name}.{module}")


class _Writer:
    """A stream's writer whose end is that of its connection, if `stack` holds one."""

    def __init__(self, writer: asyncio.StreamWriter, stack: AsyncExitStack | None) -> None:
        self.write = writer.write
        self.write_eof = writer.write_eof
        self._writer = writer
        self._stack = stack

    async def drain(self) -> None:
        """Let the loop run. The packages' own does not wait for anything, or fails."""
        await asyncio.sleep(0)

    def close(self) -> None:
        self._writer.transport.close()

    async def wait_closed(self) -> None:
        """Close the connection. Not for itself, for the writers' own would never return."""
        if self._stack is not None:
            # Nor is it waited for the end of the draining period, as TIME-WAIT is not.
            ending = asyncio.ensure_future(self._stack.aclose())
            _ending.add(ending)
            ending.add_done_callback(_ending.discard)


_ending: Final[set[asyncio.Future[None]]] = set()


def _streams(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    stack: AsyncExitStack | None = None,
) -> Streams:
    return reader, cast("asyncio.StreamWriter", _Writer(writer, stack))
