"""SCTP by aiortc: a WebRTC data channel, in Python, over ICE and DTLS, which encrypts.

Written as aiortc's examples are: two peer connections with one reliable, ordered data channel;
offer and answer go over a TCP connection. Settings:

- no STUN server: both ends are on this machine;
- messages of 64 KiB, the size that every WebRTC implementation takes;
- at most 1 MiB of them is buffered (`bufferedAmountLowThreshold`).

Its packets cannot be made as large as the task's segments: each carries 1,160 bytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, cast

from benchmarks.cases import Task, Way
from benchmarks.contestants import HOST, AsyncioContestant, StreamCallback, Streams

_MESSAGE: Final = 64 << 10
_BUFFERED: Final = 1 << 20
_EOF: Final = "EOF"  # a text message; those with data are binary


class Sctp(AsyncioContestant):
    name = "sctp"
    title = "aiortc (SCTP over DTLS)"
    encrypts = True
    share = 0.5

    def missing(self) -> str:
        return "" if find_spec("aiortc") else "not installed: aiortc"

    def ways(self, task: Task) -> Sequence[Way]:
        # One peer connection takes a tenth of a second to open, so not many of them.
        bulk = task.question == "bulk" and task.segment == 1448
        others = task.question in {"echo", "requests"} and task.connections == 1
        return [Way("uvloop", "streams")] if task.headline and (bulk or others) else []

    async def start_server(self, callback: StreamCallback, task: Task) -> tuple[object, int]:
        running: set[asyncio.Future[None]] = set()

        async def on_offer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = _connection()

            def on_channel(channel: Any) -> None:
                streams = _streams(channel)
                answering = asyncio.ensure_future(callback(*streams))
                running.add(cast("asyncio.Future[None]", answering))

            connection.on("datachannel", on_channel)
            await connection.setRemoteDescription(await _read(reader))
            await connection.setLocalDescription(await connection.createAnswer())
            _write(writer, connection.localDescription)
            writer.close()

        server = await asyncio.start_server(on_offer, HOST, 0)
        return server, server.sockets[0].getsockname()[1]

    async def open_connection(self, port: int, task: Task) -> Streams:
        connection = _connection()
        channel = connection.createDataChannel("bench")
        opened = asyncio.Event()
        channel.on("open", opened.set)
        await connection.setLocalDescription(await connection.createOffer())
        reader, writer = await asyncio.open_connection(HOST, port)
        _write(writer, connection.localDescription)
        await connection.setRemoteDescription(await _read(reader))
        writer.close()
        await opened.wait()
        return _streams(channel)


class _Writer:
    """What is written to a data channel, as a stream."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._over = False
        self._low = asyncio.Event()
        channel.bufferedAmountLowThreshold = _BUFFERED // 2
        channel.on("bufferedamountlow", self._low.set)

    def write(self, data: bytes) -> None:
        for at in range(0, len(data), _MESSAGE):
            self._channel.send(data[at : at + _MESSAGE])

    async def drain(self) -> None:
        self._low.clear()
        if self._channel.bufferedAmount > _BUFFERED:
            await self._low.wait()

    def write_eof(self) -> None:
        if not self._over and self._channel.readyState == "open":
            self._over = True
            self._channel.send(_EOF)

    close = write_eof

    async def wait_closed(self) -> None:
        """Closing the peer connection would take away what is not sent yet: the end of the process
        closes it."""


def _streams(channel: Any) -> Streams:
    reader = asyncio.StreamReader()

    def on_message(message: bytes | str) -> None:
        if isinstance(message, bytes):
            reader.feed_data(message)
        else:
            reader.feed_eof()

    channel.on("message", on_message)
    return reader, cast("asyncio.StreamWriter", _Writer(channel))


def _connection() -> Any:
    asyncio.get_running_loop().set_exception_handler(_complain)
    aiortc = import_module("aiortc")
    return aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """When the loop ends, aiortc still wants to send, and nobody takes its ConnectionError."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


def _write(writer: asyncio.StreamWriter, description: Any) -> None:
    writer.write(json.dumps({"sdp": description.sdp, "type": description.type}).encode() + b"\n")


async def _read(reader: asyncio.StreamReader) -> Any:
    description = json.loads(await reader.readline())
    return import_module("aiortc").RTCSessionDescription(**description)


CONTESTANT = Sctp()
