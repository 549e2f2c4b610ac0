"""What ICMP says of a connection, and how much of that is believed (RFC 5927)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import probing
from utcp.core.events import HOST_UNREACHABLE, PORT_UNREACHABLE
from utcp.core.seq import unwrap
from utcp.core.state import SYN_RECEIVED, SYN_SENT, Reason
from utcp.core.teardown import finish

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_QUOTED_SEQ: Final = 8  # bytes of our header up to the end of the sequence number


def unreachable(conn: Connection, hard: bool, quoted: bytes) -> None:
    """RFC 9293 §3.9.2.2: port or protocol (`hard`; or a firewall forbids it), or host or network,
    cannot be reached."""
    if not _quotes(conn, quoted):
        return
    passive = conn.state is SYN_RECEIVED and conn.passive
    if hard and (passive or (conn.state is SYN_SENT and conn.config.icmp_refuses)):
        # RFC 9293 §3.9.2.2 (SHLD-26): a hard error aborts, here where nothing is lost by it. Of
        # two that open at the same time the other one may not be through its NAT yet.
        finish(conn, Reason.REFUSED)
        return
    # RFC 9293 §3.9.2.2 (MUST-56), RFC 5927 §5.2: in a synchronised state, and for soft
    # errors anywhere, the connection goes on and the application is told.
    conn.advise(PORT_UNREACHABLE if hard else HOST_UNREACHABLE)


def packet_too_big(conn: Connection, now: int, mtu: int, quoted: bytes) -> None:
    """RFC 9293 §3.7.2: packets may have at most `mtu` bytes."""
    # RFC 5927 §7.2, RFC 8899 §4.6.1: only what quotes a segment in flight is believed.
    if _quotes(conn, quoted):
        probing.packet_too_big(conn, now, mtu)


def _quotes(conn: Connection, quoted: bytes) -> bool:
    """RFC 5927 §4.1: SND.UNA =< SEG.SEQ < SND.NXT, a segment that is in flight, is quoted."""
    if len(quoted) < _QUOTED_SEQ:
        # Nothing is quoted by this host itself. Too little is what anybody can make up.
        return not quoted
    seq = unwrap(int.from_bytes(quoted[4:8]), conn.snd.snd_nxt)
    return conn.snd.snd_una <= seq < conn.snd.snd_nxt
