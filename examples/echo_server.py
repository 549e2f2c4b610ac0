"""Serve echo: every byte that a client sends goes back to it.

python examples/echo_server.py --port 7007
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import utcp


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one client until it says EOF or goes away."""
    host, port = writer.get_extra_info("peername")[:2]
    print(f"{host} {port} connected", flush=True)
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
    except ConnectionError as error:
        print(f"{host} {port} lost: {error}", flush=True)
    else:
        print(f"{host} {port} closed", flush=True)


async def serve(host: str, port: int) -> None:
    """Serve until cancelled."""
    server = await utcp.start_server(echo, host, port)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        print(f"listening on {host} port {port}", flush=True)
        await server.serve_forever()


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Echo over utcp.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=port, default=7007, help="0: any [%(default)s]")
    arguments = parser.parse_args()
    try:
        asyncio.run(serve(arguments.host, arguments.port))
    except KeyboardInterrupt:
        print("stopped")
    except OSError as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
