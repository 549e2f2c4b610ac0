"""Serve HTTP with aiohttp over utcp: aiohttp's own server is the protocol factory.

python examples/aiohttp_server.py --port 7080
python examples/aiohttp_client.py http://127.0.0.1:7080/hello
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from aiohttp import WSMsgType, web

import utcp


async def hello(request: web.Request) -> web.Response:
    """Say hello to whoever asks."""
    return web.Response(text=f"hello, {request.remote}\n")


async def shout(request: web.Request) -> web.StreamResponse:
    """Send the body back in capital letters, while it is still coming in."""
    response = web.StreamResponse()
    await response.prepare(request)
    async for chunk in request.content.iter_any():
        await response.write(chunk.upper())
    return response


async def talk(request: web.Request) -> web.WebSocketResponse:
    """A WebSocket that answers each text in capital letters."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data.upper())
    return socket


async def serve(host: str, port: int) -> None:
    """Serve until cancelled."""
    app = web.Application()
    app.add_routes([web.get("/hello", hello), web.post("/shout", shout), web.get("/talk", talk)])
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    try:
        server = await utcp.create_server(runner.server, host, port)
        host, port = server.sockets[0].getsockname()[:2]
        print(f"serving on {host} port {port}", flush=True)
        await server.serve_forever()
    finally:
        await runner.cleanup()


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Serve HTTP with aiohttp over utcp.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=port, default=7080, help="0: any [%(default)s]")
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
