"""Serve with several processes on one port: the kernel spreads the connections over them.

python examples/many_servers.py --workers 4 --port 7100
python examples/echo_client.py --port 7100 hello

Each process has a UDP socket of its own, all bound to the same port with SO_REUSEPORT. The kernel
chooses by a hash of both addresses and ports, so each connection stays with its process: for as
long as the number of sockets stays the same. One more, or one less, moves about half of the
connections to a process that does not know them, and resets them. Therefore all sockets are made
here, before anybody connects, and live as long as this program; a worker that dies is replaced by
one on the same socket, and connections of the others never notice.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import utcp


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send each line back with the number of this process."""
    try:
        while line := await reader.readline():
            writer.write(b"%d: %s" % (os.getpid(), line))
            await writer.drain()
        writer.close()
        await writer.wait_closed()
    except ConnectionError:
        pass  # this client is gone


async def serve(sock: socket.socket) -> None:
    """Serve on a socket until SIGTERM, or until the parent is gone, however it has ended;
    connections that are open are closed then."""
    server = await utcp.start_server(answer, sock=sock)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    parent = multiprocessing.parent_process()
    assert parent is not None
    loop.add_reader(parent.sentinel, stopped.set)
    await stopped.wait()
    server.close()
    server.close_clients()


def work(sock: socket.socket) -> None:
    """One worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then stops us
    asyncio.run(serve(sock))


def sockets(host: str, port: int, count: int) -> Iterator[socket.socket]:
    """UDP sockets on one port."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][0]
    for _ in range(count):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        port = sock.getsockname()[1]
        yield sock


def start(sock: socket.socket, workers: dict[BaseProcess, socket.socket]) -> None:
    """A new worker on a socket. Ctrl-C waits until it is known, so that none is left behind."""
    process = multiprocessing.get_context("fork").Process(target=work, args=(sock,))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
        workers[process] = sock
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    print(f"worker {process.pid}", flush=True)


def run(host: str, port: int, count: int) -> None:
    """Keep a worker on each socket, until Ctrl-C."""
    workers: dict[BaseProcess, socket.socket] = {}
    with ExitStack() as stack:
        bound = [stack.enter_context(closing(sock)) for sock in sockets(host, port, count)]
        print(f"listening on {host} port {bound[0].getsockname()[1]}", flush=True)
        try:
            for sock in bound:
                start(sock, workers)
            while True:
                wait([worker.sentinel for worker in workers])
                for dead in [worker for worker in workers if worker.exitcode is not None]:
                    start(workers.pop(dead), workers)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join()


def workers(text: str) -> int:
    """A number of processes, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Serve with several processes on one port.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=port, default=7100, help="0: any [%(default)s]")
    parser.add_argument("--workers", type=workers, default=os.cpu_count(), help="[%(default)s]")
    arguments = parser.parse_args()
    try:
        run(arguments.host, arguments.port, arguments.workers)
    except KeyboardInterrupt:
        print("stopped")
    except OSError as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
