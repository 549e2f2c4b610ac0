"""Send lines to an echo server and print what comes back.

    python examples/echo_client.py --port 7007 hello world

Without words, lines are read from standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable

import utcp


async def talk(host: str, port: int, lines: Iterable[str]) -> None:
    """Send each line and wait for it to come back."""
    reader, writer = await utcp.open_connection(host, port)
    try:
        for line in lines:
            writer.write(line.rstrip("\n").encode() + b"\n")
            await writer.drain()
            answer = await reader.readline()
            if not answer.endswith(b"\n"):
                raise ConnectionError("the server closed early")
            print(answer.decode(errors="replace"), end="", flush=True)
    finally:
        writer.close()
    await writer.wait_closed()


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Talk to an echo server over utcp.")
    parser.add_argument("words", nargs="*", help="a line each; by default standard input's lines")
    parser.add_argument("--host", default="127.0.0.1", help="server [%(default)s]")
    parser.add_argument("--port", type=port, default=7007, help="its port [%(default)s]")
    arguments = parser.parse_args()
    try:
        asyncio.run(talk(arguments.host, arguments.port, arguments.words or sys.stdin))
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
