"""What a connection has to tell its application: bits of `Connection.take_events()`."""

from __future__ import annotations

from typing import Final

CONNECTED: Final = 0x01
"""The connection is established. A passive one shows itself with this for the first time."""
READABLE: Final = 0x02
"""More bytes can be read."""
EOF: Final = 0x04
"""The peer has said that it sends no more: after what is readable now comes the end."""
WRITABLE: Final = 0x08
"""The buffer fell to the level that `watch_writable` asked for."""
FINISHED: Final = 0x10
"""The peer has acknowledged our FIN, and so everything written."""
CLOSED: Final = 0x20
"""The connection is over for the application; its `reason` says how. Always the last event."""
ADVICE: Final = 0x40
"""Delivery is in trouble but goes on: see `Connection.soft_error` (RFC 9293 §3.9.1.8)."""

# What `Connection.soft_error` may be.
RETRANSMISSIONS: Final = "retransmissions"
"""RFC 9293 §3.8.3 (a): R1 is reached."""
OLD_CONNECTION: Final = "old connection"
"""The peer takes our SYN for a segment of an earlier connection between these ports."""
PORT_UNREACHABLE: Final = "port unreachable"
HOST_UNREACHABLE: Final = "host unreachable"
"""By ICMP, as the one before."""
