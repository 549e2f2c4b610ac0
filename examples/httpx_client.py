"""Ask an HTTP server with httpx over utcp, by the network backend that httpcore has a place for.

python examples/httpx_client.py http://127.0.0.1:7080/hello
python examples/httpx_client.py http://127.0.0.1:7080/shout --data 'how are you?'
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Iterable
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

import utcp


class UtcpStream(httpcore.AsyncNetworkStream):
    """One connection, as httpcore wants to use it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """At most so many bytes; b"" at the end."""
        with translated(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it, at the speed of the peer."""
        with translated(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()

    async def aclose(self) -> None:
        """Close; what was written still arrives."""
        self._writer.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Go on with TLS: httpcore does so for https."""
        with translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for, by its names."""
        if info == "is_readable":  # an idle connection that has something to say is at its end
            return self._reader.at_eof() or self._writer.is_closing()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._writer.get_extra_info(names.get(info, info))


class UtcpBackend(httpcore.AsyncNetworkBackend):
    """Where httpcore gets its connections from."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect."""
        local = None if local_address is None else (local_address, 0)
        with translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                reader, writer = await utcp.open_connection(host, port, local_addr=local)
        for option in socket_options or []:
            writer.get_extra_info("socket").setsockopt(*option)
        return UtcpStream(reader, writer)


@contextmanager
def translated(on_timeout: type[Exception], on_error: type[Exception]) -> Any:
    """Raise httpcore's exceptions."""
    try:
        yield
    except TimeoutError as error:
        raise on_timeout(error) from error
    except OSError as error:
        raise on_error(error) from error


def transport(verify: ssl.SSLContext | None = None) -> httpx.AsyncHTTPTransport:
    """A transport for httpx.AsyncClient. httpx has no argument for the backend; its pool has."""
    over_utcp = httpx.AsyncHTTPTransport()
    over_utcp._pool = httpcore.AsyncConnectionPool(
        ssl_context=verify or ssl.create_default_context(), network_backend=UtcpBackend()
    )
    return over_utcp


async def ask(url: str, data: str | None) -> None:
    """Print what the server answers."""
    async with httpx.AsyncClient(transport=transport()) as client:
        response = await client.request("GET" if data is None else "POST", url, content=data)
        response.raise_for_status()
        print(response.text, end="")


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Ask an HTTP server with httpx over utcp.")
    parser.add_argument("url")
    parser.add_argument("--data", help="POST this, instead of a GET")
    arguments = parser.parse_args()
    try:
        asyncio.run(ask(arguments.url, arguments.data))
    except KeyboardInterrupt:
        return 130
    except (OSError, OverflowError, httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
