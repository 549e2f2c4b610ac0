"""TCP over UDP for asyncio: the only room with an event loop. It knows nothing of TCP's arithmetic.

    driver      one UDP socket, its Endpoint and the loop: datagrams in, an alarm, whose is what
    outlet      the half of a driver that sends
    alarm       one for each driver, all on one timer of the loop
    owner       who gets the news of a connection
    transport   asyncio.Transport on one connection: callbacks, backpressure, half-close, the end
    ending      the half of a transport without data: close, abort, connection_lost
    facade      what get_extra_info("socket") gives: looks like a TCP socket
    hub         one per loop: sockets that outlive their transports, until their time is over
    resolve     host names, local addresses, the order in which addresses are tried
    client      create_connection
    server      create_server and what it returns
    streams     open_connection, start_server
    reader      asyncio's StreamReader, with fewer copies
    loops       an event loop for frameworks that take no transport from outside
    sendfile    a file, in pieces
    tls         the standard library's TLS on a transport, on every loop
    log         structlog, silent unless the application asks

Works on any loop with add_reader and add_writer: asyncio's SelectorEventLoop and uvloop.
"""

from __future__ import annotations

from utcp.aio.client import create_connection
from utcp.aio.loops import new_event_loop
from utcp.aio.sendfile import sendfile
from utcp.aio.server import Server, create_server
from utcp.aio.streams import StreamWriter, open_connection, start_server
from utcp.aio.tls import start_tls
from utcp.aio.transport import Transport

__all__ = [
    "Server",
    "StreamWriter",
    "Transport",
    "create_connection",
    "create_server",
    "new_event_loop",
    "open_connection",
    "sendfile",
    "start_server",
    "start_tls",
]
