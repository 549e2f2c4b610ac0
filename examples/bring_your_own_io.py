"""Drive the core yourself: a plain UDP socket, `select`, and no event loop.

`utcp.core` is TCP without input and output. Received datagrams and the time go in; datagrams to
send and the next deadline come out. Everything around it is in this file.

    python examples/bring_your_own_io.py listen --port 7009
    python examples/bring_your_own_io.py connect --port 7009 "how are you?"

The listening side answers each client with what it sent, in capitals.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
import time

from utcp import Config
from utcp.core import NEVER, Connection, Endpoint, Reason, events


class Driver:
    """Moves datagrams between one UDP socket and one endpoint."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        # Entropy is handed in: initial sequence numbers must not be guessable.
        self.endpoint = Endpoint(Config(), os.urandom(32))

    def turn(self) -> None:
        """Send what is due, wait for a datagram or a deadline, and hand it in."""
        self.flush()
        deadline = self.endpoint.poll_timeout()
        wait = None
        if deadline != NEVER:
            wait = max(0.0, (deadline - time.monotonic_ns()) / 1e9)
        if select.select([self.socket], [], [], wait)[0]:
            datagram, sender = self.socket.recvfrom(65_535)
            self.endpoint.receive(time.monotonic_ns(), sender, datagram, len(datagram))
        self.endpoint.handle_timeout(time.monotonic_ns())

    def flush(self) -> None:
        """Send everything that the endpoint has to send now."""
        while (burst := self.endpoint.poll_transmit(time.monotonic_ns())) is not None:
            assert isinstance(burst.addr, tuple)  # as given to receive() and connect()
            # A burst is several datagrams back to back; without GSO they are sent one by one.
            for start in range(0, len(burst.data), burst.segment_size):
                datagram = burst.data[start : start + burst.segment_size]
                self.socket.sendto(datagram, burst.addr)

    def news(self) -> list[tuple[Connection, int]]:
        """Connections with news, and what the news is."""
        news = []
        while (connection := self.endpoint.poll_ready()) is not None:
            news.append((connection, connection.take_events()))
        return news


def listen(host: str, port: int) -> None:
    """Answer every client, until interrupted."""
    driver = Driver(host, port)
    driver.endpoint.listen()
    print("listening on {} port {}".format(*driver.socket.getsockname()[:2]), flush=True)
    with driver.socket:
        while True:
            driver.turn()
            for connection, news in driver.news():
                if news & events.READABLE:
                    connection.write(connection.read().upper())
                if news & events.EOF:
                    connection.close()
                if news & events.CLOSED:
                    print(f"{connection.addr}: {connection.reason.name.lower()}", flush=True)


def connect(host: str, port: int, words: bytes) -> bytes:
    """Send `words` and EOF; returns the answer. Raises ConnectionError."""
    driver = Driver("0.0.0.0", 0)
    connection = driver.endpoint.connect(time.monotonic_ns(), (host, port))
    connection.write(words)
    connection.write_eof()
    answer = b""
    with driver.socket:
        while True:
            driver.turn()
            for _, news in driver.news():
                answer += connection.read()
                if news & events.CLOSED:
                    driver.flush()
                    if connection.reason is not Reason.CLOSED:
                        raise ConnectionError(connection.reason.name.lower())
                    return answer


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="utcp's core on a plain UDP socket.")
    parser.add_argument("mode", choices=["listen", "connect"])
    parser.add_argument("words", nargs="?", default="hello", help="what to send [%(default)s]")
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address [%(default)s]")
    parser.add_argument("--port", type=port, default=7009, help="[%(default)s]")
    arguments = parser.parse_args()
    try:
        if arguments.mode == "listen":
            listen(arguments.host, arguments.port)
        else:
            words = arguments.words.encode()
            print(connect(arguments.host, arguments.port, words).decode(errors="replace"))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 0 if arguments.mode == "listen" else 130
    except OSError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
