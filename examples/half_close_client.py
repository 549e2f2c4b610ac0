"""Send everything, say EOF, and only then read the answer.

Half-close: this side is done sending, the other goes on for as long as it likes. It is how a
filter such as `sort` works over a network. Try it with the echo server:

    python examples/half_close_client.py --port 7007 < README.md
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import utcp


async def ask(host: str, port: int, question: bytes) -> bytes:
    """The answer to `question`, however long it is."""
    reader, writer = await utcp.open_connection(host, port)
    sending = asyncio.create_task(send(writer, question))
    try:
        answer = await reader.read()
        await sending
    finally:
        sending.cancel()
        writer.close()
    await writer.wait_closed()
    return answer


async def send(writer: asyncio.StreamWriter, question: bytes) -> None:
    """Write all of it, then close this direction."""
    writer.write(question)
    await writer.drain()
    writer.write_eof()
    print(f"sent {len(question):,} bytes and EOF", file=sys.stderr, flush=True)


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Send standard input, say EOF, print what the server answers."
    )
    parser.add_argument("--host", default="127.0.0.1", help="server [%(default)s]")
    parser.add_argument("--port", type=port, default=7007, help="its port [%(default)s]")
    arguments = parser.parse_args()
    try:
        answer = asyncio.run(ask(arguments.host, arguments.port, sys.stdin.buffer.read()))
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
