"""What only a real socket, a real process and a real loop can show."""

from __future__ import annotations

import asyncio
import errno
import functools
import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop

import utcp
from utcp.aio.hub import Hub
from utcp.core import NEVER
from utcp.testing import SECOND
from utcp.udp import open_socket

ROOT: Final = Path(__file__).parents[2]
QUICK: Final = utcp.Config(msl=0.02, rto_initial=0.05, rto_min=0.02, rto_max=0.2, delayed_ack=0.005)
LOOPS: Final = pytest.mark.parametrize(
    "factory", [asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
SERVER: Final = """
    import asyncio, sys, utcp

    async def handle(reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            pass

    async def main():
        async with await utcp.start_server(handle, "127.0.0.1", int(sys.argv[1])) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await server.serve_forever()

    asyncio.run(main())
"""


class Process:
    """An echo server as a process of its own."""

    def __init__(self, port: int = 0) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER), str(port)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._popen.stdout is not None
        self.port = int(self._popen.stdout.readline())

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()


@contextmanager
def serving(port: int = 0) -> Iterator[Process]:
    process = Process(port)
    try:
        yield process
    finally:
        process.kill()


def run(factory: Any, main: Any) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def endlessly(writer: asyncio.StreamWriter) -> None:
    """Write until it fails."""
    while True:
        writer.write(bytes(100_000))
        await writer.drain()


@LOOPS
def test_a_peer_that_is_killed_is_a_time_out(factory: Any) -> None:
    async def main() -> None:
        config = utcp.Config(user_timeout=0.3, linger=0.0)
        reader, writer = await utcp.open_connection("127.0.0.1", server.port, config=config)
        sending = asyncio.create_task(endlessly(writer))
        await reader.readexactly(1_000_000)
        server.kill()
        with pytest.raises(TimeoutError):
            await reader.read(-1)
        with pytest.raises(OSError, match=r"timed out|lost|clos"):
            await sending

    with serving() as server:
        run(factory, main())


@LOOPS
def test_a_peer_that_is_started_again_is_a_reset(factory: Any) -> None:
    async def main(servers: ExitStack) -> None:
        server = servers.enter_context(serving())
        reader, writer = await utcp.open_connection("127.0.0.1", server.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        server.kill()
        servers.enter_context(serving(server.port))
        writer.write(b"again")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(5)
        reader, writer = await utcp.open_connection("127.0.0.1", server.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()

    with ExitStack() as servers:
        run(factory, main(servers))


@LOOPS
def test_a_peer_that_is_stopped_and_continued_goes_on(factory: Any) -> None:
    async def main() -> None:
        reader, writer = await utcp.open_connection("127.0.0.1", server.port)
        sent, got = hashlib.sha256(), hashlib.sha256()

        async def send() -> None:
            for number in range(100):
                data = number.to_bytes(2) * 25_000
                sent.update(data)
                writer.write(data)
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        got.update(await reader.readexactly(1_000_000))
        server.signal(signal.SIGSTOP)
        counters = writer.get_extra_info("counters")
        while not counters.timeouts:  # noqa: ASYNC110 - the condition is about plain state
            await asyncio.sleep(0.01)
        server.signal(signal.SIGCONT)
        while data := await reader.read(1 << 20):
            got.update(data)
        await sending
        assert got.digest() == sent.digest()
        writer.close()
        await writer.wait_closed()

    with serving() as server:
        run(factory, main())


@LOOPS
def test_a_callback_that_blocks_the_loop_is_no_loss(factory: Any) -> None:
    async def main() -> None:
        reader, writer = await utcp.open_connection("127.0.0.1", server.port)
        writer.write(bytes(100_000))
        await reader.readexactly(100_000)
        writer.write(bytes(100_000))
        time.sleep(0.7)  # noqa: ASYNC251 - that is what it is about
        await reader.readexactly(100_000)
        counters = writer.get_extra_info("counters")
        assert counters.timeouts == counters.retransmitted_segments == 0
        writer.close()
        await writer.wait_closed()

    with serving() as server:
        run(factory, main())


@pytest.mark.parametrize("late_ns", [0, 5 * SECOND], ids=["on time", "late"])
@LOOPS
def test_a_timer_looks_at_what_has_come(
    factory: Any, late_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that was held up calls timers late, and some loops before anything else; and one
    that has much to do takes a few datagrams at a time."""

    async def main() -> None:
        reader, writer = await utcp.open_connection("127.0.0.1", server.port)
        driver = writer.transport._driver  # type: ignore[attr-defined]
        writer.write(b"hello")
        assert driver.endpoint.poll_timeout() < NEVER
        assert select.select([driver.fd], [], [], 20)[0], "no answer has come"
        due_at = driver._alarm.at
        for module in ("alarm", "driver", "hub", "outlet"):
            later = f"utcp.aio.{module}.monotonic_ns"
            monkeypatch.setattr(later, lambda: due_at + late_ns)
        driver._alarm.ring()
        counters = writer.get_extra_info("counters")
        assert counters.timeouts == counters.retransmitted_segments == 0
        assert await reader.readexactly(5) == b"hello"
        writer.transport.abort()

    with serving() as server:
        run(factory, main())


class Refusing:
    """A socket that refuses to send for a while: every call, or some."""

    def __init__(self, sock: socket.socket, code: int, every: int, times: int) -> None:
        self._sock = sock
        self._code = code
        self._every = every
        self._calls = 0
        self.times = times

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sock, name)
        return functools.partial(self._send, found) if name.startswith("send") else found

    def _send(self, call: Any, *arguments: Any) -> Any:
        self._calls += 1
        if self._calls % self._every == 0 and self.times > 0:
            self.times -= 1
            raise OSError(self._code, os.strerror(self._code))
        return call(*arguments)


@LOOPS
@pytest.mark.parametrize(("every", "times"), [(1, 7), (3, 15)])
@pytest.mark.parametrize(
    "code",
    [errno.ENOBUFS, errno.EPERM, errno.EMSGSIZE, errno.ENETUNREACH, errno.EAGAIN, errno.EINVAL],
    ids=errno.errorcode.get,
)
def test_a_kernel_that_refuses_to_send(factory: Any, code: int, every: int, times: int) -> None:
    size = 200_000

    async def main() -> None:
        server = await utcp.start_server(echo, "127.0.0.1", 0, config=QUICK)
        address = server.sockets[0].getsockname()
        reader, writer = await utcp.open_connection(*address, config=QUICK)
        refusing = []
        for driver in Hub.of(asyncio.get_running_loop()).drivers:
            refusing.append(Refusing(driver.sock._sock, code, every, times))
            driver.sock._sock = refusing[-1]  # type: ignore[assignment]
        data = os.urandom(size)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == data
        assert all(one.times < times for one in refusing)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(factory, main())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.close()
    await writer.wait_closed()


@LOOPS
def test_a_receive_buffer_that_overflows(factory: Any) -> None:
    """What the kernel drops is counted, and sent again."""

    async def main() -> None:
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        driver_socket = functools.partial(open_socket, rcvbuf=0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("utcp.aio.server.open_socket", driver_socket)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            server = await utcp.start_server(echo, sock=sock, config=QUICK)
        driver = next(iter(Hub.of(asyncio.get_running_loop()).drivers))
        driver.endpoint.burst_capacity = 0  # else windows are no larger than the buffer
        address = server.sockets[0].getsockname()
        reader, writer = await utcp.open_connection(*address, config=QUICK)
        data = os.urandom(400_000)
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == data
        assert driver.sock.dropped > 0
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(factory, main())


NO_DESCRIPTORS: Final = """
    import asyncio, errno, os, resource, uvloop, utcp

    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def ask(reader, writer):
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    async def main():
        server = await utcp.start_server(echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        old = await utcp.open_connection(*address)
        await ask(*old)
        before = descriptors()
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, before + 20))
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError as error:
            assert error.errno == errno.EMFILE
        for _ in range(5):
            for call in (utcp.open_connection(*address),
                         utcp.start_server(echo, "127.0.0.1", 0)):
                try:
                    await call
                except OSError as error:
                    assert error.errno == errno.EMFILE, error
                else:
                    raise AssertionError("there was one more")
            await ask(*old)
        os.close(taken.pop())
        os.close(taken.pop())
        new = await utcp.open_connection(*address)
        await ask(*new)
        for fd in taken:
            os.close(fd)
        for _, writer in (old, new):
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        print("all")

    %s(main())
"""


@pytest.mark.parametrize("runner", ["asyncio.run", "uvloop.run"])
def test_out_of_descriptors(runner: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(NO_DESCRIPTORS % runner)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "all\n"


@LOOPS
def test_a_socket_closed_behind_our_back(factory: Any) -> None:
    """The loop is told, and so is each connection; nothing hangs."""

    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        reader, writer = await utcp.open_connection("127.0.0.1", server.port)
        driver = writer.transport._driver  # type: ignore[attr-defined]
        driver.sock._sock.close()
        writer.write(b"nobody takes this")
        with pytest.raises(ConnectionAbortedError):
            await reader.read()
        assert "failed" in told[0]["message"]

    with serving() as server:
        run(factory, main())
