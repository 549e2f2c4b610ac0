"""Serve an ASGI application with uvicorn over utcp: uvicorn is given utcp's event loop.

python examples/uvicorn_app.py --port 7081

The same from the shell, for any application:

uvicorn examples.uvicorn_app:app --port 7081 --loop utcp:new_event_loop
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import uvicorn


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer HTTP requests, and WebSocket messages, in capital letters."""
    if scope["type"] == "http":
        await answer(scope, receive, send)
    elif scope["type"] == "websocket":
        await talk(receive, send)
    else:  # lifespan
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Send the body back while it is still coming in; without one, the path."""
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["method"] == "GET":
        await send({"type": "http.response.body", "body": scope["path"].upper().encode()})
        return
    more = True
    while more:
        event = await receive()
        more = event.get("more_body", False)
        body = event.get("body", b"").upper()
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def talk(receive: Any, send: Any) -> None:
    """One WebSocket."""
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": event.get("text", "").upper()})


def port(text: str) -> int:
    """A port number, for argparse."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Serve an application with uvicorn over utcp.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on [%(default)s]")
    parser.add_argument("--port", type=port, default=7081, help="0: any [%(default)s]")
    arguments = parser.parse_args()
    try:
        uvicorn.run(app, host=arguments.host, port=arguments.port, loop="utcp:new_event_loop")
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
