"""Real TCP in user space, carried in UDP datagrams, with asyncio's own calls.

    reader, writer = await utcp.open_connection("192.0.2.1", 4433)
    server = await utcp.start_server(handle, "0.0.0.0", 4433)

`create_connection` and `create_server` do the same for protocols. `Config` holds every setting.
To bring your own I/O, see `utcp.core`.
"""

from __future__ import annotations

from utcp.aio import (
    Server,
    StreamWriter,
    Transport,
    create_connection,
    create_server,
    new_event_loop,
    open_connection,
    sendfile,
    start_server,
    start_tls,
)
from utcp.config import Config
from utcp.core.state import Reason, State
from utcp.errors import (
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    ConnectionTimedOut,
    Error,
    HostUnreachable,
)
from utcp.stats import Counters, TcpInfo

__version__ = "0.1.0"

__all__ = [
    "Config",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionTimedOut",
    "Counters",
    "Error",
    "HostUnreachable",
    "Reason",
    "Server",
    "State",
    "StreamWriter",
    "TcpInfo",
    "Transport",
    "__version__",
    "create_connection",
    "create_server",
    "new_event_loop",
    "open_connection",
    "sendfile",
    "start_server",
    "start_tls",
]
