"""Serve WebSockets, or talk to such a server, with the package websockets over utcp's event loop.

python examples/websockets_echo.py serve --port 7082
python examples/websockets_echo.py talk --port 7082 hello 'how are you?'

`websockets` opens and serves with the running event loop, so it is given one of utcp's. Nothing
here is different from a program over kernel TCP but `loop_factory`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException

import utcp


async def echo(connection: ServerConnection) -> None:
    """Send every message back."""
    async for message in connection:
        await connection.send(message)


async def serve_echo(host: str, port: int) -> None:
    """Serve until cancelled."""
    async with serve(echo, host, port) as server:
        host, port = server.sockets[0].getsockname()[:2]
        print(f"listening on {host} port {port}", flush=True)
        await server.serve_forever()


async def talk(host: str, port: int, messages: Iterable[str]) -> None:
    """Send each message and print the answer."""
    async with connect(f"ws://{host}:{port}/") as connection:
        for message in messages:
            await connection.send(message)
            print(await connection.recv())


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="WebSockets over utcp.")
    parser.add_argument("do", choices=["serve", "talk"])
    parser.add_argument("message", nargs="*")
    parser.add_argument("--host", default="127.0.0.1", help="address of the server [%(default)s]")
    parser.add_argument("--port", type=port, default=7082, help="0: any [%(default)s]")
    arguments = parser.parse_args()
    if arguments.do == "serve":
        program = serve_echo(arguments.host, arguments.port)
    else:
        program = talk(arguments.host, arguments.port, arguments.message)
    try:
        with asyncio.Runner(loop_factory=utcp.new_event_loop) as runner:
            runner.run(program)
    except KeyboardInterrupt:
        return 130
    except (OSError, WebSocketException) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
