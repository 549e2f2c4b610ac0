"""Ask an HTTP server with aiohttp over utcp: a connector of one method.

python examples/aiohttp_client.py http://127.0.0.1:7080/hello
python examples/aiohttp_client.py http://127.0.0.1:7080/shout --data 'how are you?'
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

import aiohttp
from aiohttp.client_exceptions import ClientConnectorCertificateError, ClientConnectorError

import utcp


class UtcpConnector(aiohttp.TCPConnector):
    """aiohttp's connector, with its pool, its resolver and its TLS; connections go over utcp."""

    async def _wrap_create_connection(  # what aiohttp's own connectors override
        self,
        *args: Any,
        addr_infos: list[Any],
        req: Any,
        timeout: aiohttp.ClientTimeout,
        client_error: type[Exception] = ClientConnectorError,
        **kwds: Any,
    ) -> Any:
        host, port = addr_infos[0][4][:2]  # aiohttp calls again without the first if it fails
        try:
            async with asyncio.timeout(timeout.sock_connect):
                return await utcp.create_connection(args[0], host, port, **kwds)
        except aiohttp.client_exceptions.cert_errors as error:
            raise ClientConnectorCertificateError(req.connection_key, error) from error
        except TimeoutError:
            raise
        except OSError as error:
            raise client_error(req.connection_key, error) from error


async def ask(url: str, data: str | None) -> None:
    """Print what the server answers."""
    async with aiohttp.ClientSession(connector=UtcpConnector()) as session:
        method = "GET" if data is None else "POST"
        async with session.request(method, url, data=data) as response:
            response.raise_for_status()
            print(await response.text(), end="")


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description="Ask an HTTP server with aiohttp over utcp.")
    parser.add_argument("url")
    parser.add_argument("--data", help="POST this, instead of a GET")
    arguments = parser.parse_args()
    try:
        asyncio.run(ask(arguments.url, arguments.data))
    except KeyboardInterrupt:
        return 130
    except (OSError, aiohttp.ClientError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
