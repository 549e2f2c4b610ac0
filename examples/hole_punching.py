"""One connection between two machines behind NATs, which both can only connect outward.

Both connect to each other at once, each from the port from which it has spoken to a third machine
that knows the addresses of both. To its NAT each SYN is a question, which opens the way for the
other one; and TCP makes one connection of it, whoever is first (simultaneous open, RFC 9293
§3.5). On a machine that both can reach, and then on both:

    python examples/hole_punching.py meet --port 7010
    python examples/hole_punching.py join blue-parrot --host HOST --port 7010

It works through NATs that keep the port for all destinations and drop what nobody inside has
asked for (RFC 4787 §4.1 and §5, RFC 5382 §4.3), as most do.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import time

import utcp

Address = tuple[str, int]

MOST = 10_000  # words that are remembered
PATIENCE = 60  # seconds

# A NAT, or a host, that is not open yet may answer that the port is unreachable: no reason to
# give up. SYNs are repeated after 0.2 s, 0.4 s, ...: 51 s in all.
CONFIG = utcp.Config(icmp_refuses=False, rto_initial=0.2, syn_retries=7)


def meet(port: int) -> None:
    """Tell each two that say the same word the addresses that they come from."""
    places: dict[bytes, list[Address]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", port))
        print(f"listening on port {sock.getsockname()[1]}", flush=True)
        while True:
            word, addr = sock.recvfrom(100)
            if len(places) > MOST:
                places.clear()
            pair = places.setdefault(word, [])
            if addr not in pair:
                if len(pair) == 2:
                    pair.clear()
                pair.append(addr)
            if len(pair) == 2:
                for one, other in (pair, pair[::-1]):
                    # It begins with a digit, which no segment does.
                    sock.sendto(f"{other[0]} {other[1]}".encode(), one)


def find(sock: socket.socket, word: str, third: Address) -> Address:
    """The address of whoever says `word`, too, to the third one. Raises TimeoutError."""
    third = (socket.gethostbyname(third[0]), third[1])
    sock.settimeout(1)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        sock.sendto(word.encode(), third)
        try:
            text, addr = sock.recvfrom(100)
        except TimeoutError:
            continue
        if addr == third:
            host, port = text.decode().split()
            return host, int(port)
    raise TimeoutError("the other one does not come")


async def talk(sock: socket.socket, peer: Address, line: str) -> str:
    """Connect, say something and hear what the other one says."""
    sock.connect(peer)
    reader, writer = await utcp.open_connection(sock=sock, config=CONFIG)
    writer.write(line.encode())
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


def join(word: str, third: Address, line: str) -> None:
    """Find the other one and talk."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", 0))
    peer = find(sock, word, third)
    print(f"connecting to {peer[0]}:{peer[1]}", flush=True)
    print(asyncio.run(talk(sock, peer, line)))


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="A connection between two machines behind NATs.")
    commands = parser.add_subparsers(dest="command", required=True)
    meeting = commands.add_parser("meet", help="be the third machine, which both can reach")
    joining = commands.add_parser("join", help="be one of the two")
    joining.add_argument("word", help="that the other one says, too")
    joining.add_argument("--host", default="127.0.0.1", help="the third machine [%(default)s]")
    joining.add_argument("--say", default="hello", metavar="TEXT", help="[%(default)s]")
    for command in (meeting, joining):
        command.add_argument("--port", type=port, default=7010, help="[%(default)s]")
    arguments = parser.parse_args()
    try:
        if arguments.command == "meet":
            meet(arguments.port)
        else:
            join(arguments.word, (arguments.host, arguments.port), arguments.say)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
