"""What every UDP socket of utcp offers, and the part of it that is the same everywhere.

A `UdpSocket` wraps one nonblocking UDP socket. `recv()` makes one system call and leaves what it
got in plain attributes; `send()` makes one system call for a whole burst of datagrams where the
kernel can, and answers with a number, never with an exception for what the network did. Nothing
here waits, and nothing here knows what the datagrams mean.

The order of use in a level-triggered event loop:

- readable: `recv()` until it returns -1, a bounded number of times;
- then, if `has_errors`: `errors()`. Linux reports a socket as readable for as long as its error
  queue holds something, so also call `errors()` when the very first `recv()` returned -1;
- `send()` returned `TOO_BIG`: `errors()` holds the address and its path MTU.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Hashable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DEFAULT_MTU",
    "LOST",
    "SENT",
    "TOO_BIG",
    "WOULD_BLOCK",
    "Address",
    "ErrorReport",
    "Path",
    "UdpSocket",
]

SENT: Final = 0
"""The kernel took the whole burst."""
WOULD_BLOCK: Final = 1
"""The kernel took nothing: its send buffer is full. Wait until the socket is writable."""
TOO_BIG: Final = 2
"""The datagrams exceed the path MTU. Nothing was sent; `errors()` has the MTU."""
LOST: Final = 3
"""The burst, or a part of it, is gone as if the network had lost it; counted in `lost`."""

DEFAULT_MTU: Final = 1500
"""What `path_mtu` answers where the platform does not tell."""

BUFFER_SIZE: Final = 1 << 16  # no UDP payload, nor what GRO puts together, is longer
HARD_ERRORS: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOPROTOOPT})

# What an ICMP message leaves pending on a socket. The next system call of any kind reports it
# and does nothing else, so the datagram it was asked to send is not to blame and not sent.
PENDING_ERRORS: Final = HARD_ERRORS | {
    getattr(errno, name)
    for name in (
        "EACCES",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "EMSGSIZE",
        "ENETDOWN",
        "ENETRESET",
        "ENETUNREACH",
        "ENONET",
        "EOPNOTSUPP",
        "EPROTO",
    )
    if hasattr(errno, name)
}

_MISUSE: Final = frozenset({errno.EBADF, errno.ENOTSOCK, errno.EDESTADDRREQ})
_MAPPED: Final = bytes(10) + b"\xff\xff"
_LINK_LOCAL: Final = b"\xfe\x80"
_MTU_LIFE: Final = 1.0  # seconds for which a path MTU is believed without asking again
NO_MTU: Final = (None, 0.0, 0)  # ask again
_MAX_PENDING: Final = 64  # reports kept for a caller who does not ask for them

Data: TypeAlias = bytes | bytearray | memoryview
Pieces: TypeAlias = "list[bytes | memoryview] | tuple[bytes | memoryview, ...]"
_Option: TypeAlias = tuple[int, int, int]  # level, name, value
_Cmsg: TypeAlias = tuple[int, int, bytes]  # level, type, data

# Level and number of the option that reads the path MTU of a connected socket. The socket
# module does not name them; the numbers are those of each system's headers.
_MTU_OPTIONS: Final[dict[str, dict[int, tuple[int, int]]]] = {
    "linux": {socket.AF_INET: (socket.IPPROTO_IP, 14), socket.AF_INET6: (socket.IPPROTO_IPV6, 24)},
    "win32": {socket.AF_INET: (socket.IPPROTO_IP, 73), socket.AF_INET6: (socket.IPPROTO_IPV6, 72)},
}
# The same for "set DF, and do not fragment here either".
_DONT_FRAGMENT: Final[dict[str, dict[int, tuple[_Option, ...]]]] = {
    "linux": {
        socket.AF_INET: ((socket.IPPROTO_IP, 10, 2),),  # IP_MTU_DISCOVER = IP_PMTUDISC_DO
        socket.AF_INET6: ((socket.IPPROTO_IPV6, 23, 2), (socket.IPPROTO_IPV6, 62, 1)),
    },
    "darwin": {
        socket.AF_INET: ((socket.IPPROTO_IP, 28, 1),),
        socket.AF_INET6: ((socket.IPPROTO_IPV6, 62, 1),),
    },
    "win32": {
        socket.AF_INET: ((socket.IPPROTO_IP, 14, 1),),
        socket.AF_INET6: ((socket.IPPROTO_IPV6, 14, 1),),
    },
}

Address: TypeAlias = Any
"""Who a datagram came from, hashable: a socket address, or a `Path` on a wildcard-bound socket.
As in the socket module, no type says which of the shapes of a socket address it has."""


class Path(NamedTuple):
    """An address of a wildcard-bound socket: the peer, and which of our addresses it uses.

    A reply must leave from the address that was asked, or the peer's connected socket drops it.
    """

    remote: tuple[Any, ...]
    """The peer's socket address."""
    local: str
    """Our own IP address."""
    ifindex: int = 0
    """The interface, if `local` is an IPv6 link-local address, which needs it; otherwise 0."""


class ErrorReport(NamedTuple):
    """One thing that the network, by ICMP, or this host said about datagrams sent."""

    addr: Address
    """The address they were sent to, as `recv()` would give it."""
    hard: bool
    """Port or protocol unreachable, or a firewall forbids it. Otherwise it may pass."""
    mtu: int
    """Path MTU in bytes if they were too big; otherwise 0."""
    quoted: bytes
    """The start of the datagram that was answered, as the network quoted it; may be empty."""


class UdpSocket:
    """One nonblocking UDP socket, which it owns. Made by `open_socket`."""

    __slots__ = (
        "_buffers",
        "_connected",
        "_dual",
        "_helper",
        "_kept",
        "_mtu",
        "_pending",
        "_sock",
        "addr",
        "buffer",
        "ecn",
        "family",
        "has_errors",
        "last_errno",
        "lost",
        "max_burst_bytes",
        "max_burst_segments",
        "peername",
        "rcvbuf",
        "sndbuf",
        "sockname",
        "stride",
    )

    buffer: memoryview
    """What `recv()` fills, 64 KiB. Overwritten by the next `recv()`, unless `keep()` is called."""
    addr: Address
    """Set by `recv()`: who sent it. Hand it to `send()` to answer."""
    stride: int
    """Set by `recv()`: length of each datagram in the buffer but the last; 0 for a single one."""
    ecn: int
    """Set by `recv()`: the ECN bits of the datagrams, 0..3; 0 where the platform hides them."""
    has_errors: bool
    """`errors()` has something to tell."""
    lost: dict[int, int]
    """How many calls of `send()` returned LOST, by errno."""
    last_errno: int
    """errno of the last `send()` that returned TOO_BIG or LOST; 0 if none did."""
    max_burst_bytes: int
    """The greatest `len(data)` that `send()` takes well if it is more than one datagram."""
    max_burst_segments: int
    """The greatest number of datagrams `send()` takes; becomes 1 if the kernel refuses bursts."""
    family: int
    sockname: tuple[Any, ...]
    peername: tuple[Any, ...] | None
    rcvbuf: int
    """SO_RCVBUF as the kernel gave it, bytes. Linux reports twice what it was asked for and
    charges each datagram with its bookkeeping, so count on about half of it for payload."""
    sndbuf: int
    """SO_SNDBUF as the kernel gave it, bytes; same remark."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`, a bound or connected UDP socket; it is made nonblocking."""
        sock.setblocking(False)
        self._sock = sock
        self._helper: socket.socket | None = None
        self._pending: list[ErrorReport] = []
        # Of the host asked about last: its name, until when to believe the path MTU, and that.
        self._mtu: tuple[Any, float, int] = NO_MTU
        self.family = sock.family
        self.sockname = sock.getsockname()
        try:
            self.peername = sock.getpeername()
        except OSError:
            self.peername = None
        self._connected = self.peername is not None
        self._dual = sock.family == socket.AF_INET6 and not sock.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        )
        self.buffer = memoryview(bytearray(BUFFER_SIZE))
        self._buffers = [self.buffer]
        self._kept = 0
        self.addr = self.peername or ()
        self.stride = 0
        self.ecn = 0
        self.has_errors = False
        self.lost = {}
        self.last_errno = 0
        # A UDP payload is at most 65,535 less the UDP header, and on IPv4 less the IP header.
        ipv6_only = self.family == socket.AF_INET6 and not self._dual
        self.max_burst_bytes = 65_527 if ipv6_only else 65_507
        self.max_burst_segments = 1
        self.rcvbuf = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.sndbuf = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        for option in self._options(_DONT_FRAGMENT.get(sys.platform, {}), ()):
            set_option(sock, *option)

    def fileno(self) -> int:
        """Return the file descriptor, -1 once closed."""
        return self._sock.fileno()

    @property
    def reuse_port(self) -> bool:
        """Whether other sockets may be bound to the same address (SO_REUSEPORT)."""
        option = getattr(socket, "SO_REUSEPORT", None)
        return option is not None and bool(self._sock.getsockopt(socket.SOL_SOCKET, option))

    def close(self) -> None:
        """Close the socket. May be called again."""
        self._sock.close()
        self._drop_helper()

    def recv(self) -> int:
        """Receive one datagram, or one train of equally long ones from the same peer.

        Returns the number of bytes now in `buffer`, 0 for an empty datagram, or -1 if there is
        nothing to receive; a pending network error also gives -1 and sets `has_errors`.
        `addr`, `stride` and `ecn` then describe it. Raises OSError if the socket is unusable.
        """
        raise NotImplementedError

    def keep(self) -> None:
        """Leave alone what `recv()` has filled: the next one fills another buffer, which becomes
        `buffer`. Takes 64 KiB of memory for as many as were ever kept at a time."""
        self._kept += 1
        if self._kept == len(self._buffers):
            self._buffers.append(memoryview(bytearray(BUFFER_SIZE)))
        self.buffer = self._buffers[self._kept]

    def reuse(self) -> None:
        """What was kept is not needed any more."""
        if self._kept:
            self._kept = 0
            self.buffer = self._buffers[0]

    def send(self, addr: Address, data: Data | Pieces, segment_size: int, tos: int) -> int:
        """Send the datagrams in `data` to `addr`, which a connected socket ignores.

        `data` may be in pieces, a list or tuple, which are sent as if they were joined. Each
        datagram is `segment_size` bytes long, the last may be shorter; 0 means a single
        one. `tos` is the byte of the IP header, DSCP and ECN. A burst has at most
        `max_burst_bytes` and `max_burst_segments`.
        Returns SENT, WOULD_BLOCK, TOO_BIG or LOST. Raises OSError only if the socket is closed
        or has nobody to send to.
        """
        raise NotImplementedError

    def errors(self) -> list[ErrorReport]:
        """Return what was reported since the last call, oldest first, and clear `has_errors`.

        A flood of reports is cut short; `has_errors` is then still set.
        """
        reports = self._pending
        self._pending = []
        self.has_errors = False
        return reports

    @property
    def dropped(self) -> int:
        """Datagrams dropped because the receive buffer was full; 0 where nobody counts them."""
        return 0

    def remote(self, addr: Address) -> tuple[Any, ...]:
        """Return the peer's socket address in `addr`."""
        remote: tuple[Any, ...] = addr.remote if isinstance(addr, Path) else addr
        return remote

    def local(self, addr: Address) -> tuple[Any, ...]:
        """Return our own socket address as the peer `addr` sees it, as far as is known."""
        if not isinstance(addr, Path):
            return self.sockname
        if self.family == socket.AF_INET6:
            return (addr.local, self.sockname[1], 0, addr.ifindex)
        return (addr.local, self.sockname[1])

    def host(self, addr: Address) -> Hashable:
        """Return what tells the peer's host from others: its IPv4 address, or the first 64 bits
        of an IPv6 address, for among the addresses with the same ones it has its choice."""
        ip: str = self.remote(addr)[0]
        if self.family == socket.AF_INET:
            return ip
        packed = socket.inet_pton(socket.AF_INET6, ip.partition("%")[0])
        # Where these bits say nothing: IPv4 in IPv6, and neighbours on the link.
        return packed if packed.startswith((_MAPPED, _LINK_LOCAL)) else packed[:8]

    def address_of(self, remote: tuple[Any, ...]) -> Address:
        """Return what `addr` will be for datagrams from `remote`, a numeric socket address.

        On a wildcard-bound socket this assumes that the peer uses the address which the routing
        table makes ours towards it.
        """
        self._drop_helper()  # a socket keeps its source address when it is connected again
        with suppress(OSError):
            helper = self._connect_helper(remote)
            return self._address(helper.getpeername(), helper.getsockname())
        return remote

    def path_mtu(self, addr: Address) -> int:
        """Return the kernel's path MTU to `addr` in bytes, IP header included.

        DEFAULT_MTU if the platform does not tell or there is no route. Takes some microseconds, for
        the same host as the last time at most once a second, unless an error has said more since.
        """
        options = _MTU_OPTIONS.get(sys.platform)
        if options is None:
            return DEFAULT_MTU
        level, name = options[self.family]
        if self._connected:
            # Not connected in the eyes of this option: no route is cached just now.
            try:
                return self._sock.getsockopt(level, name)
            except OSError:
                pass  # the helper knows
        remote = self.remote(addr)
        name_of_host = (remote[0], remote[3:])  # without port and flow
        now = monotonic()
        host, until, mtu = self._mtu
        if host != name_of_host or now >= until:
            mtu = self._ask_mtu(remote, level, name)
            self._mtu = name_of_host, now + _MTU_LIFE, mtu
        return mtu

    def _ask_mtu(self, remote: tuple[Any, ...], level: int, name: int) -> int:
        for _ in range(2):
            # The second try is with a new helper: a used one is tied to a source address that
            # may be unable to reach this peer.
            try:
                return self._connect_helper(remote).getsockopt(level, name)
            except OSError:
                self._drop_helper()
        return DEFAULT_MTU

    # -- for subclasses -------------------------------------------------------------------------

    def _transmit(self, addr: Address, data: Data, ancillary: Sequence[_Cmsg]) -> None:
        """Make the system call that sends. Raises OSError."""
        raise NotImplementedError

    def _address(self, remote: tuple[Any, ...], source: tuple[Any, ...]) -> Address:
        """Return the `addr` of `remote`, if our own socket address towards it is `source`."""
        del source
        return remote

    def _network_error(self, code: int) -> None:
        """Note that a system call reported the pending error `code`."""
        if self.peername is None or code == errno.EMSGSIZE:
            return  # it could be about any peer; a TOO_BIG is reported by itself
        self._report(ErrorReport(self.peername, code in HARD_ERRORS, 0, b""))

    def _options(
        self, by_family: dict[int, tuple[_Option, ...]], default: tuple[_Option, ...]
    ) -> tuple[_Option, ...]:
        """Choose options by family; a dual-stack socket needs those of both."""
        options = by_family.get(self.family, default)
        if self._dual:
            options += by_family.get(socket.AF_INET, default)
        return options

    def _recv_failed(self, error: OSError) -> int:
        code = error.errno or 0
        if code not in PENDING_ERRORS and code not in {errno.ENOBUFS, errno.ENOMEM}:
            raise error
        self._network_error(code)
        return -1

    def _send_one(self, addr: Address, data: Data, ancillary: Sequence[_Cmsg]) -> int:
        try:
            self._transmit(addr, data, ancillary)
        except BlockingIOError:
            return WOULD_BLOCK
        except OSError as error:
            return self._outcome(self._try_again(error, addr, data, ancillary), addr)
        return SENT

    def _send_each(
        self,
        addr: Address,
        data: Data,
        segment_size: int,
        ancillary: Sequence[_Cmsg],
    ) -> int:
        """Send a burst with one system call per datagram."""
        view = memoryview(data)
        step = segment_size or len(view)
        for start in range(0, len(view), step):
            outcome = self._send_one(addr, view[start : start + step], ancillary)
            if outcome == SENT:
                continue
            if start and outcome == WOULD_BLOCK:
                # The caller would send the whole burst again, also what has left already.
                return self._outcome(errno.EAGAIN, addr)
            return outcome
        return SENT

    def _try_again(
        self,
        error: OSError,
        addr: Address,
        data: Data,
        ancillary: Sequence[_Cmsg],
    ) -> int:
        """Repeat a send that may only have met an older, pending error.

        Returns the errno of what came of it: 0 if it was sent, EWOULDBLOCK as a negative number
        so that nobody takes it for a loss.
        """
        code = error.errno or 0
        if code in _MISUSE:
            raise error
        if code not in PENDING_ERRORS:
            return code
        self._network_error(code)
        try:
            self._transmit(addr, data, ancillary)
        except BlockingIOError:
            return -errno.EWOULDBLOCK
        except OSError as again:
            return again.errno or 0
        return 0

    def _outcome(self, code: int, addr: Address) -> int:
        """Turn what `_try_again` returned into what `send` returns."""
        if code == 0:
            return SENT
        if code == -errno.EWOULDBLOCK:
            return WOULD_BLOCK
        self.last_errno = code
        if code == errno.EMSGSIZE:
            self._mtu = NO_MTU
            target = self.peername or addr
            self._report(ErrorReport(target, False, self.path_mtu(target), b""))
            return TOO_BIG
        self.lost[code] = self.lost.get(code, 0) + 1
        return LOST

    def _report(self, report: ErrorReport) -> None:
        self.has_errors = True
        if len(self._pending) < _MAX_PENDING and report not in self._pending:
            self._pending.append(report)

    def _connect_helper(self, remote: tuple[Any, ...]) -> socket.socket:
        """Return a socket connected to `remote`, only to ask the kernel about the way there."""
        helper = self._helper
        if helper is None:
            helper = socket.socket(self.family, socket.SOCK_DGRAM)
            self._helper = helper
            if self.family == socket.AF_INET6:
                helper.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not self._dual)
            helper.bind((self.sockname[0], 0, *self.sockname[2:]))
        helper.connect(remote)
        return helper

    def _drop_helper(self) -> None:
        if self._helper is not None:
            self._helper.close()
            self._helper = None


def set_option(sock: socket.socket, level: int, name: int, value: int) -> bool:
    """Set a socket option; return whether the kernel took it."""
    try:
        sock.setsockopt(level, name, value)
    except OSError:
        return False
    return True
