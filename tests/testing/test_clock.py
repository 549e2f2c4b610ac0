from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import cast

import pytest

from utcp.testing import SECOND, DeadlockError, VirtualClock, VirtualLoop, run_virtual


def test_clock_moves_only_forward() -> None:
    clock = VirtualClock(10)
    assert clock.advance(5) == 15
    assert clock.advance_to(12) == 15
    assert clock.advance_to(20) == 20
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    assert repr(clock) == "VirtualClock(20)"


def test_sleep_takes_no_real_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.sleep(30 * 24 * 3600)
        return loop.time() - start

    real = time.monotonic()
    assert run_virtual(main()) == pytest.approx(30 * 24 * 3600)
    assert time.monotonic() - real < 5


def test_timers_fire_in_their_order_at_their_times() -> None:
    async def main() -> list[tuple[str, int]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        start = loop.clock.now
        seen: list[tuple[str, int]] = []

        async def wait(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append((name, round((loop.clock.now - start) / SECOND * 1000)))

        await asyncio.gather(wait("c", 0.3), wait("a", 0.1), wait("b", 0.2), wait("z", 0))
        return seen

    assert run_virtual(main()) == [("z", 0), ("a", 100), ("b", 200), ("c", 300)]


def test_timeout() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()

    run_virtual(main())


def test_deadlock_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="nothing is ready"):
        run_virtual(main())


def test_threads_stop_the_clock() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        go = threading.Event()
        # The timer is there, but must wait for the thread, which waits for the real world.
        timer = loop.call_later(1000, lambda: None)
        threading.Timer(0.02, go.set).start()
        assert await asyncio.to_thread(go.wait, 5)
        timer.cancel()
        return loop.time() - start

    assert run_virtual(main()) == 0


def test_name_resolution() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        return len(await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_DGRAM))

    assert run_virtual(main()) == 1


def test_loopback_datagrams_need_no_time() -> None:
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data.upper(), addr)

    class Client(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.answer = asyncio.get_running_loop().create_future()

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.answer.set_result(data)

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
        where = server.get_extra_info("sockname")
        client, protocol = await loop.create_datagram_endpoint(Client, remote_addr=where)
        client.sendto(b"hello")
        start = loop.time()
        async with asyncio.timeout(1):
            answer: bytes = await protocol.answer
        assert loop.time() == start
        client.close()
        server.close()
        await asyncio.sleep(0)
        return answer

    assert run_virtual(main()) == b"HELLO"


def test_a_full_socket_is_waited_for() -> None:
    """A writer that must wait changes what the loop watches, and goes on without a timer."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        left.setblocking(False)
        right.setblocking(False)
        received = 0

        async def drain() -> None:
            nonlocal received
            while data := await loop.sock_recv(right, 65_536):
                received += len(data)

        async with asyncio.TaskGroup() as group:
            group.create_task(drain())
            await loop.sock_sendall(left, bytes(2_000_000))
            left.close()
        right.close()
        return received

    assert run_virtual(main()) == 2_000_000


def test_one_socket_watched_for_both() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        seen: list[str] = []
        loop.add_reader(left, seen.append, "readable")
        loop.add_writer(left, seen.append, "writable")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.remove_writer(left)
        right.send(b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.remove_reader(left)
        left.close()
        right.close()
        return list(dict.fromkeys(seen))

    assert run_virtual(main()) == ["writable", "readable"]


def test_a_clock_can_be_shared() -> None:
    clock = VirtualClock(5 * SECOND)
    loop = VirtualLoop(clock)
    loop.run_until_complete(asyncio.sleep(2))
    assert clock.now == loop.monotonic_ns() == 7 * SECOND
    loop.close()
