"""What `get_extra_info("socket")` and `Server.sockets` give: looks like a TCP socket.

Frameworks read names from it, check its type, and set TCP options on it; the raw UDP socket would
refuse some of that and misunderstand the rest. Sending and receiving is the transport's business.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from utcp.core import Connection, State
from utcp.stats import TcpInfo

if TYPE_CHECKING:
    from utcp.aio.driver import Driver
    from utcp.aio.server import Server

__all__ = ["ListeningSocket", "StreamSocket"]

_SECOND: Final = 1_000_000_000
_MILLISECOND: Final = 1_000_000
_Key = tuple[int, int]


def _option(level: int, name: str) -> _Key:
    """The number of a socket option; one that cannot be asked for where the system lacks it."""
    return level, getattr(socket, name, -1)


_TCP: Final = socket.IPPROTO_TCP
_SOL: Final = socket.SOL_SOCKET
_NODELAY: Final = _option(_TCP, "TCP_NODELAY")
_CORK: Final = _option(_TCP, "TCP_CORK")
_KEEPALIVE: Final = _option(_SOL, "SO_KEEPALIVE")
_KEEPIDLE: Final = _option(_TCP, "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else
                           "TCP_KEEPALIVE")  # fmt: skip
_KEEPINTVL: Final = _option(_TCP, "TCP_KEEPINTVL")
_KEEPCNT: Final = _option(_TCP, "TCP_KEEPCNT")
_USER_TIMEOUT: Final = _option(_TCP, "TCP_USER_TIMEOUT")
_TOS: Final = _option(socket.IPPROTO_IP, "IP_TOS")
_TCLASS: Final = _option(socket.IPPROTO_IPV6, "IPV6_TCLASS")
_TCP_INFO: Final = _option(_TCP, "TCP_INFO")
_CONGESTION: Final = _option(_TCP, "TCP_CONGESTION")
_QUICKACK: Final = _option(_TCP, "TCP_QUICKACK")
_SNDBUF: Final = _option(_SOL, "SO_SNDBUF")
_RCVBUF: Final = _option(_SOL, "SO_RCVBUF")
_REUSEPORT: Final = _option(_SOL, "SO_REUSEPORT")
_LINGER: Final = _option(_SOL, "SO_LINGER")
_LINGER_VALUE: Final = struct.Struct("ii")  # l_onoff, l_linger in seconds
_NAME_SIZE: Final = 16  # of a congestion control, as Linux gives it
_LEAST_BUFFER: Final = 4096
_QUICK: Final = 16  # ACKs that are sent at once after TCP_QUICKACK, at most as many as in Linux


class _Socket:
    """What both kinds have in common."""

    __slots__ = ("_driver",)

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd={self.fileno()} laddr={self.getsockname()}>"

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return socket.AddressFamily(self._driver.sock.family)

    def get_inheritable(self) -> bool:
        """False: a child process does not get the UDP socket below."""
        return False

    @property
    def type(self) -> socket.SocketKind:
        """SOCK_STREAM: this is what the application gets."""
        return socket.SOCK_STREAM

    @property
    def proto(self) -> int:
        """IPPROTO_TCP."""
        return socket.IPPROTO_TCP

    def fileno(self) -> int:
        """The descriptor of the UDP socket below, -1 once that is closed. Only to tell it apart:
        reading or writing there would disturb every connection of the socket.
        """
        return -1 if self._driver.closed else self._driver.fd

    def getsockname(self) -> Any:
        """The local address."""
        return self._driver.sockname

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> int | bytes:
        """The value of an option: an int, or as many bytes as `buflen` says.

        Raises OSError (ENOPROTOOPT) for an option that means nothing here.
        """
        value = self._get((level, optname))
        if isinstance(value, bytes):
            if not buflen:
                _invalid()
            return value[:buflen]
        return struct.pack("i", value)[:buflen] if buflen else value

    def setsockopt(
        self, level: int, optname: int, value: int | bytes | None, optlen: int = 0
    ) -> None:
        """Set an option. Raises OSError (ENOPROTOOPT) for one that means nothing here."""
        key = (level, optname)
        if isinstance(value, bytes | bytearray):
            if self._set_bytes(key, bytes(value)):
                return
            if len(value) >= 4:
                value = int(struct.unpack_from("i", value)[0])
        if not isinstance(value, int):
            _invalid()
        self._set(key, value)

    def _get(self, key: _Key) -> int | bytes:
        match key:
            case (socket.SOL_SOCKET, socket.SO_TYPE):
                return int(socket.SOCK_STREAM)
            case (socket.SOL_SOCKET, socket.SO_ERROR):
                return 0  # errors come out of connection_lost
            case (socket.SOL_SOCKET, socket.SO_REUSEADDR):
                return 1  # TIME-WAIT never keeps an address from being bound again
            case (socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return int(self._driver.server is not None and isinstance(self, ListeningSocket))
            case _:
                pass
        if key == _REUSEPORT:
            return int(self._driver.sock.reuse_port)
        if key == _option(_SOL, "SO_PROTOCOL"):
            return socket.IPPROTO_TCP
        if key == _option(_SOL, "SO_DOMAIN"):
            return int(self.family)
        _unknown()

    def _set(self, key: _Key, value: int) -> None:
        _unknown()

    def _set_bytes(self, key: _Key, value: bytes) -> bool:
        """Set an option whose value is no number, and say whether it is one of them."""
        return False

    def gettimeout(self) -> float:
        """0.0: nothing here blocks."""
        return 0.0

    def settimeout(self, value: float | None) -> None:
        """Only 0 is possible."""
        if value != 0:
            raise ValueError("settimeout(): only 0 timeout is allowed on transport sockets")

    def setblocking(self, flag: bool) -> None:
        """Only False is possible."""
        if flag:
            raise ValueError("setblocking(): transport sockets cannot be blocking")

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        """Not possible here: the transport reads, writes and closes."""
        raise OSError(errno.EOPNOTSUPP, "this socket belongs to a utcp transport; use that")

    accept = bind = close = connect = connect_ex = detach = dup = listen = makefile = _refuse
    recv = recv_into = recvfrom = recvfrom_into = recvmsg = recvmsg_into = _refuse
    send = sendall = sendfile = sendmsg = sendto = shutdown = _refuse


class ListeningSocket(_Socket):
    """A server's socket."""

    __slots__ = ("_server",)

    def __init__(self, driver: Driver, server: Server) -> None:
        super().__init__(driver)
        self._server = server

    def fileno(self) -> int:
        """The descriptor of the UDP socket below, -1 once the server is closed."""
        return super().fileno() if self._driver.server is self._server else -1

    def getpeername(self) -> NoReturn:
        """Raises OSError (ENOTCONN)."""
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


class StreamSocket(_Socket):
    """The socket of one connection."""

    __slots__ = ("_conn", "_linger", "over")

    def __init__(self, driver: Driver, conn: Connection) -> None:
        super().__init__(driver)
        self._conn = conn
        self._linger = (0, 0)
        self.over = False
        """connection_lost was called: now this is a closed socket."""

    @property
    def resets(self) -> bool:
        """Whether SO_LINGER with a time of 0 was set: closing is aborting then."""
        return self._linger[0] != 0 and self._linger[1] == 0

    def fileno(self) -> int:
        """The descriptor of the UDP socket below, -1 once the connection is over."""
        return -1 if self.over else super().fileno()

    def getsockname(self) -> Any:
        """The local address."""
        return self._driver.local(self._conn)

    def getpeername(self) -> Any:
        """The peer's address. Raises OSError (ENOTCONN) when the connection is over."""
        if self.over or self._conn.state in {State.CLOSED, State.TIME_WAIT}:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._driver.remote(self._conn)

    def _get(self, key: _Key) -> int | bytes:
        read = _READ.get(key)
        return super()._get(key) if read is None else read(self)

    def _set(self, key: _Key, value: int) -> None:
        if key in {_LINGER, _CONGESTION}:
            _invalid()  # these are no numbers
        write = _WRITE.get(key)
        if write is None:
            _unknown()
        write(self._conn, value)
        self._driver.written(self._conn)  # what it held back, and what it has set a timer for

    def _set_bytes(self, key: _Key, value: bytes) -> bool:
        if key == _LINGER:
            if len(value) < _LINGER_VALUE.size:
                _invalid()
            on, seconds = _LINGER_VALUE.unpack_from(value)
            # Nothing here blocks, so any other time means what it means without.
            self._linger = (int(on != 0), seconds)
            return True
        if key == _CONGESTION:
            try:
                name = value.rstrip(b"\0").decode("ascii")
                self._conn.congestion_control = name
            except ValueError:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
            return True
        return False

    def _tcp_info(self) -> bytes:
        """Linux's `struct tcp_info` as far as its fields mean something here, else zeros."""
        return _pack_tcp_info(self._conn.info(), self._conn.state)


def _unknown() -> NoReturn:
    raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))


def _invalid() -> NoReturn:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _positive(value: int) -> int:
    if value <= 0:
        _invalid()
    return value


def _set_nodelay(conn: Connection, value: int) -> None:
    conn.nodelay = bool(value)


def _set_cork(conn: Connection, value: int) -> None:
    conn.cork = bool(value)


def _set_keepalive(conn: Connection, value: int) -> None:
    conn.keepalive = bool(value)


def _set_keepidle(conn: Connection, value: int) -> None:
    conn.keepalive_idle_ns = _positive(value) * _SECOND
    conn.keepalive = conn.keepalive_on  # from now on


def _set_keepintvl(conn: Connection, value: int) -> None:
    conn.keepalive_interval_ns = _positive(value) * _SECOND


def _set_keepcnt(conn: Connection, value: int) -> None:
    conn.keepalive_count = _positive(value)


def _set_user_timeout(conn: Connection, value: int) -> None:
    if value < 0:
        _invalid()
    conn.user_timeout_ns = value * _MILLISECOND


def _set_tos(conn: Connection, value: int) -> None:
    # RFC 3168 §5: the two low bits are ECN's, and TCP's own.
    conn.dscp = (value & 0xFF) >> 2


def _set_sndbuf(conn: Connection, value: int) -> None:
    # As Linux with its own limits: neither less than works nor more than is configured.
    conn.send_buffer = min(max(value, _LEAST_BUFFER), conn.config.send_buffer)


def _set_rcvbuf(conn: Connection, value: int) -> None:
    conn.recv_buffer = min(max(value, _LEAST_BUFFER), conn.config.recv_buffer)
    conn.rcv.resize(conn.most_received)


def _set_quickack(conn: Connection, value: int) -> None:
    # As in Linux not for good: what follows may make ACKs wait again.
    conn.acks.quick = max(conn.acks.quick, _QUICK) if value else 0


_WRITE: Final[dict[_Key, Callable[[Connection, int], None]]] = {
    _NODELAY: _set_nodelay,
    _CORK: _set_cork,
    _KEEPALIVE: _set_keepalive,
    _KEEPIDLE: _set_keepidle,
    _KEEPINTVL: _set_keepintvl,
    _KEEPCNT: _set_keepcnt,
    _USER_TIMEOUT: _set_user_timeout,
    _TOS: _set_tos,
    _TCLASS: _set_tos,
    _SNDBUF: _set_sndbuf,
    _RCVBUF: _set_rcvbuf,
    _QUICKACK: _set_quickack,
}
_READ: Final[dict[_Key, Callable[[StreamSocket], int | bytes]]] = {
    _NODELAY: lambda own: int(own._conn.nodelay),
    _CORK: lambda own: int(own._conn.cork),
    _KEEPALIVE: lambda own: int(own._conn.keepalive),
    _KEEPIDLE: lambda own: own._conn.keepalive_idle_ns // _SECOND,
    _KEEPINTVL: lambda own: own._conn.keepalive_interval_ns // _SECOND,
    _KEEPCNT: lambda own: own._conn.keepalive_count,
    _USER_TIMEOUT: lambda own: own._conn.user_timeout_ns // _MILLISECOND,
    _TOS: lambda own: own._conn.tos,
    _TCLASS: lambda own: own._conn.tos,
    _TCP_INFO: StreamSocket._tcp_info,
    _option(_TCP, "TCP_MAXSEG"): lambda own: own._conn.info().snd_mss,
    _SNDBUF: lambda own: own._conn.send_buffer,
    _RCVBUF: lambda own: own._conn.recv_buffer,
    _QUICKACK: lambda own: int(own._conn.acks.quick > 0),
    _CONGESTION: lambda own: own._conn.congestion_control.encode().ljust(_NAME_SIZE, b"\0"),
    _LINGER: lambda own: _LINGER_VALUE.pack(*own._linger),
}
for _table in (_WRITE, _READ):
    for _missing in [key for key in _table if key[1] < 0]:
        del _table[_missing]

# State numbers of Linux's include/net/tcp_states.h.
_LINUX_STATE: Final = {
    State.ESTABLISHED: 1, State.SYN_SENT: 2, State.SYN_RECEIVED: 3, State.FIN_WAIT_1: 4,
    State.FIN_WAIT_2: 5, State.TIME_WAIT: 6, State.CLOSED: 7, State.CLOSE_WAIT: 8,
    State.LAST_ACK: 9, State.LISTEN: 10, State.CLOSING: 11,
}  # fmt: skip
_LINUX_OPTION: Final = {"timestamps": 1, "sack": 2, "wscale": 4, "ecn": 8}
_LINUX_INFO: Final = struct.Struct("=8B24I")


def _pack_tcp_info(info: TcpInfo, state: State) -> bytes:
    mss = max(1, info.snd_mss)
    return _LINUX_INFO.pack(
        _LINUX_STATE[state],
        0,  # ca_state
        min(info.retransmits, 255),
        0,  # probes
        0,  # backoff
        sum(_LINUX_OPTION.get(name, 0) for name in info.options),
        (info.rcv_wscale & 15) << 4 | info.snd_wscale & 15,
        0,
        *(min(value, 0xFFFF_FFFF) for value in (
            info.rto, 0, info.snd_mss, info.rcv_mss,
            -(-info.unacked // mss), -(-info.sacked // mss), -(-info.lost // mss), 0, 0,
            0, 0, 0, 0,  # times since the last segments
            info.pmtu, 0, info.rtt, info.rttvar, info.snd_ssthresh // mss, info.snd_cwnd // mss,
            info.rcv_mss, 3, 0, info.rcv_space, info.total_retrans,
        )),
    )  # fmt: skip
