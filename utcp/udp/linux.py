"""UDP on Linux: bursts by UDP_SEGMENT and UDP_GRO, ECN, source addresses, the error queue.

Measured with CPython 3.11 on Linux 6.18, the reasons for what is done here:

- each control message that a datagram brings costs 0.1 us of about 3.5; comparing them with the
  ones of the datagram before is cheaper than reading them, and they are nearly always the same;
- how many datagrams were dropped is asked for (SO_MEMINFO) when somebody wants to know, rather
  than received with each datagram (SO_RXQ_OVFL), which also comes one datagram late;
- a TOS byte as a control message costs 0.7 us per send, as a socket option 1.2 us per change and
  the cached route. So the exception is sent as a message, and what stops being one is made the
  socket's own;
- the segment size always goes as a control message, which costs 0.6 us more than a socket option
  set for good: with that, every larger datagram would be cut, and to a peer with a smaller path
  MTU even the small ones refused.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from utcp.udp.base import (
    HARD_ERRORS,
    NO_MTU,
    SENT,
    WOULD_BLOCK,
    Address,
    Data,
    ErrorReport,
    Path,
    Pieces,
    UdpSocket,
    set_option,
)
from utcp.udp.probe import (
    IP_PKTINFO,
    IP_RECVERR,
    IP_RECVTOS,
    SOL_UDP,
    UDP_GRO,
    UDP_SEGMENT,
    Capabilities,
    probe,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LinuxUdpSocket"]

# linux/in.h, linux/in6.h, linux/errqueue.h, asm-generic/socket.h
_IP: Final = 0
_IPV6: Final = 41
_IP_TOS: Final = 1
_IPV6_RECVERR: Final = 25
_IPV6_RECVPKTINFO: Final = 49
_IPV6_PKTINFO: Final = 50
_IPV6_RECVTCLASS: Final = 66
_IPV6_TCLASS: Final = 67
_SO_MEMINFO: Final = 55
_SK_MEMINFO_DROPS: Final = 8
_ORIGIN_ICMP: Final = frozenset({2, 3})  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
# Of which origin, type and code are firewalls that say no: RFC 1812 §5.2.7.1, RFC 4443 §3.1. Who
# connects need not wait for them to change their mind.
_PROHIBITED: Final = frozenset({(2, 3, 9), (2, 3, 10), (2, 3, 13), (3, 1, 1), (3, 1, 5), (3, 1, 6)})

_INT: Final = struct.Struct("=i")
_SEGMENT: Final = struct.Struct("=H")
_PKTINFO4: Final = struct.Struct("=i4s4s")  # interface, our address, address in the header
_PKTINFO6: Final = struct.Struct("=16si")
_EXTENDED_ERROR: Final = struct.Struct("=IBBBxI4x")  # errno, origin, type, code, info
_MEMINFO: Final = struct.Struct("=9I")

_MAX_SEGMENTS: Final = 64  # UDP_MAX_SEGMENTS; newer kernels take 128
# With all headers, also those of the link and of a tunnel, a burst must stay below the device's
# gso_max_size of 65,536: what exceeds it is cut in software and arrives as single datagrams.
_MAX_BURST: Final = 65_000
_GSO_REFUSED: Final = frozenset(
    {errno.EIO, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.ENOSYS}
)
_ANCILLARY_SPACE: Final = 256  # room for every message enabled here, twice
_QUOTE: Final = 128  # bytes of our own datagram kept from an ICMP message
_ERRORS_AT_ONCE: Final = 64
_TOS_EXCEPTIONS: Final = 16  # sends with a TOS that is not the socket's, before it is made so
_MAX_PATHS: Final = 4096
_MAX_ANCILLARIES: Final = 1024


class LinuxUdpSocket(UdpSocket):
    """A UDP socket with everything that Linux has for bulk transfer."""

    __slots__ = (
        "_ancillaries",
        "_error_queue",
        "_info",
        "_paths",
        "_seen",
        "_tos",
        "_tos_exceptions",
        "_tos_patience",
        "_wildcard",
    )

    def __init__(self, sock: socket.socket, capabilities: Capabilities | None = None) -> None:
        """Take over `sock` and use `capabilities` of the kernel; None: all that it has."""
        super().__init__(sock)
        can = probe() if capabilities is None else capabilities
        self._seen: list[tuple[int, int, bytes]] = []  # control messages of the last recv()
        self._info = b""  # the pktinfo among them
        self._paths: dict[tuple[Any, bytes], Path] = {}
        self._ancillaries: dict[tuple[int, int, str, int], tuple[tuple[int, int, bytes], ...]] = {}
        if can.segment:
            self.max_burst_segments = _MAX_SEGMENTS
            self.max_burst_bytes = _MAX_BURST
        if can.gro:
            set_option(sock, SOL_UDP, UDP_GRO, 1)
        if can.recv_tos:
            self._enable(IP_RECVTOS, _IPV6_RECVTCLASS)
        self._error_queue = can.error_queue and self._enable(IP_RECVERR, _IPV6_RECVERR)
        self._wildcard = (
            can.pktinfo
            and not self._connected
            and self.sockname[0] in {"0.0.0.0", "::"}  # noqa: S104
            and self._enable_pktinfo()
        )
        self._tos = 0
        self._tos_exceptions = 0
        self._tos_patience = _TOS_EXCEPTIONS if can.send_tos else 0
        self._adopt_tos(0)

    def recv(self) -> int:
        """Receive one datagram or one train of them; see `UdpSocket.recv`."""
        try:
            length, ancillary, _, addr = self._sock.recvmsg_into((self.buffer,), _ANCILLARY_SPACE)
        except BlockingIOError:
            return -1
        except OSError as error:
            return self._recv_failed(error)
        if ancillary != self._seen:
            self._read_ancillary(ancillary)
        if self._wildcard:
            path = self._paths.get((addr, self._info))
            self.addr = path = self._learn_path(addr) if path is None else path
            # RFC 9293 §3.9.2.3 (MUST-57): what was sent to many is not for a connection.
            if not path.local:
                return 0
        elif not self._connected:
            self.addr = addr
        return length

    def send(self, addr: Address, data: Data | Pieces, segment_size: int, tos: int) -> int:
        """Send a burst with one system call; see `UdpSocket.send`."""
        if type(data) is not bytes and isinstance(data, list | tuple):
            return self._send_pieces(addr, data, segment_size, tos)
        ancillary: Sequence[tuple[int, int, bytes]] = ()
        try:
            if len(data) <= segment_size and tos == self._tos and not self._wildcard:
                segment_size = 0
                # The usual case: nothing is to be said about it.
                if self._connected:
                    self._sock.send(data)
                else:
                    self._sock.sendto(data, addr)
                return SENT
            if len(data) <= segment_size:
                segment_size = 0
            elif self.max_burst_segments == 1:
                return self._send_each(addr, data, segment_size, self._ancillary(addr, 0, tos))
            ancillary = self._ancillary(addr, segment_size, tos)
            self._transmit(addr, data, ancillary)
        except BlockingIOError:
            return WOULD_BLOCK
        except OSError as error:
            return self._failed(error, addr, data, segment_size, tos, ancillary)
        return SENT

    def _send_pieces(self, addr: Address, pieces: Pieces, segment_size: int, tos: int) -> int:
        """Have the kernel gather the burst, which saves copying it once more."""
        if sum(map(len, pieces)) <= segment_size:
            segment_size = 0
        elif self.max_burst_segments == 1:
            return self.send(addr, b"".join(pieces), segment_size, tos)
        ancillary: Sequence[tuple[int, int, bytes]] = ()
        if self._wildcard or segment_size or tos != self._tos:
            ancillary = self._ancillary(addr, segment_size, tos)
        try:
            if self._connected:
                self._sock.sendmsg(pieces, ancillary)
            else:
                self._sock.sendmsg(pieces, ancillary, 0, self.remote(addr))
        except BlockingIOError:
            return WOULD_BLOCK
        except OSError as error:
            return self._failed(error, addr, b"".join(pieces), segment_size, tos, ancillary)
        return SENT

    def _failed(
        self,
        error: OSError,
        addr: Address,
        data: Data,
        segment_size: int,
        tos: int,
        ancillary: Sequence[tuple[int, int, bytes]],
    ) -> int:
        """Make the best of a burst that was not sent, and return what `send` returns."""
        code = self._try_again(error, addr, data, ancillary)
        if segment_size and code in _GSO_REFUSED:
            return self._without_gso(addr, data, segment_size, tos)
        return self._outcome(code, addr)

    def errors(self) -> list[ErrorReport]:
        """Drain the error queue; see `UdpSocket.errors`."""
        reports = super().errors()
        if not self._error_queue:
            return reports
        for _ in range(_ERRORS_AT_ONCE):
            try:
                quoted, ancillary, _, remote = self._sock.recvmsg(
                    _QUOTE, 2 * _ANCILLARY_SPACE, socket.MSG_ERRQUEUE
                )
            except BlockingIOError:
                return reports
            report = self._read_error(quoted, ancillary, remote)
            if report is not None:
                reports.append(report)
                if report.mtu:
                    self._mtu = NO_MTU
        self.has_errors = True
        return reports

    @property
    def dropped(self) -> int:
        """Datagrams dropped because the receive buffer was full."""
        try:
            raw = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        if len(raw) < _MEMINFO.size:
            return 0
        drops: int = _MEMINFO.unpack(raw)[_SK_MEMINFO_DROPS]
        return drops

    # -- receiving ------------------------------------------------------------------------------

    def _read_ancillary(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        stride = 0
        ecn = 0
        for _, kind, value in ancillary:  # these kinds differ on all levels that are enabled
            if kind == UDP_GRO:
                stride = _INT.unpack(value)[0]
            elif kind == _IP_TOS:
                ecn = value[0] & 3
            elif kind == _IPV6_TCLASS:
                ecn = _INT.unpack(value)[0] & 3
            elif kind in {IP_PKTINFO, _IPV6_PKTINFO}:
                self._info = value
        self.stride = stride
        self.ecn = ecn
        self._seen = ancillary

    def _learn_path(self, remote: tuple[Any, ...]) -> Path:
        if len(self._paths) >= _MAX_PATHS:
            self._paths.clear()  # peers that are still there come back at once
        path = _path(remote, self._info)
        self._paths[remote, self._info] = path
        return path

    def _read_error(
        self, quoted: bytes, ancillary: list[tuple[int, int, bytes]], remote: tuple[Any, ...]
    ) -> ErrorReport | None:
        code = origin = icmp_type = icmp_code = info = 0
        pktinfo = b""
        for level, kind, value in ancillary:
            if (level, kind) in {(_IP, IP_RECVERR), (_IPV6, _IPV6_RECVERR)}:
                code, origin, icmp_type, icmp_code, info = _EXTENDED_ERROR.unpack_from(value)
            elif (level, kind) in {(_IP, IP_PKTINFO), (_IPV6, _IPV6_PKTINFO)}:
                pktinfo = value
        if origin not in _ORIGIN_ICMP:
            return None  # of local origin: what send() has returned already
        addr: Address = remote
        if self.peername is not None:
            addr = self.peername
        elif self._wildcard and pktinfo:
            addr = _path(remote, pktinfo)
        mtu = info if code == errno.EMSGSIZE else 0
        if mtu and not quoted:
            # RFC 5927 §4: a message that quotes no more than ports, as RFC 792 has it, is easily
            # forged. A small MTU would last; what else it may say is soft, or refuses a connection
            # that is not there yet, and then waiting for the SYN's time-out would be worse.
            return None
        hard = code in HARD_ERRORS or (origin, icmp_type, icmp_code) in _PROHIBITED
        return ErrorReport(addr, hard, mtu, quoted)

    def _network_error(self, code: int) -> None:
        if self._error_queue:
            self.has_errors = True
        else:
            super()._network_error(code)

    # -- sending --------------------------------------------------------------------------------

    def _ancillary(
        self, addr: Address, segment_size: int, tos: int
    ) -> tuple[tuple[int, int, bytes], ...]:
        """Return the control messages for a send; -1 in the key stands for the socket's TOS."""
        if tos == self._tos:
            tos = -1
        elif self._tos_exceptions >= self._tos_patience:
            self._adopt_tos(tos)
            tos = -1
        else:
            self._tos_exceptions += 1
        if self._wildcard and isinstance(addr, Path):
            key = (segment_size, tos, addr.local, addr.ifindex)
        else:
            key = (segment_size, tos, "", 0)
        ancillary = self._ancillaries.get(key)
        if ancillary is None:
            if len(self._ancillaries) >= _MAX_ANCILLARIES:
                self._ancillaries.clear()
            ancillary = self._ancillaries[key] = self._build_ancillary(*key)
        return ancillary

    def _build_ancillary(
        self, segment_size: int, tos: int, local: str, ifindex: int
    ) -> tuple[tuple[int, int, bytes], ...]:
        messages = []
        if segment_size:
            messages.append((SOL_UDP, UDP_SEGMENT, _SEGMENT.pack(segment_size)))
        if tos >= 0:
            # Each address family ignores the other's message, so a dual-stack socket sends both.
            if self.family == socket.AF_INET6:
                messages.append((_IPV6, _IPV6_TCLASS, _INT.pack(tos)))
            if self.family == socket.AF_INET or self._dual:
                messages.append((_IP, _IP_TOS, _INT.pack(tos)))
        if local and self.family == socket.AF_INET6:
            info = _PKTINFO6.pack(socket.inet_pton(socket.AF_INET6, local), ifindex)
            messages.append((_IPV6, _IPV6_PKTINFO, info))
        elif local:
            info = _PKTINFO4.pack(0, socket.inet_aton(local), bytes(4))
            messages.append((_IP, IP_PKTINFO, info))
        return tuple(messages)

    def _adopt_tos(self, tos: int) -> None:
        """Make `tos` what the socket sends when nothing else is said."""
        self._tos = tos
        self._tos_exceptions = 0
        self._enable(_IP_TOS, _IPV6_TCLASS, tos)

    def _transmit(
        self,
        addr: Address,
        data: Data,
        ancillary: Sequence[tuple[int, int, bytes]],
    ) -> None:
        if self._connected:
            self._sock.sendmsg((data,), ancillary)
        else:
            self._sock.sendmsg((data,), ancillary, 0, self.remote(addr))

    def _without_gso(self, addr: Address, data: Data, segment_size: int, tos: int) -> int:
        """Send a burst that the kernel refused, and learn whether GSO was the reason.

        It is not if the datagrams fail one by one as well: older kernels answer EINVAL where
        they mean EMSGSIZE, and so do all for a source address that is no longer ours.
        """
        outcome = self._send_each(addr, data, segment_size, self._ancillary(addr, 0, tos))
        if outcome == SENT:
            self.max_burst_segments = 1
        return outcome

    def _address(self, remote: tuple[Any, ...], source: tuple[Any, ...]) -> Address:
        if not self._wildcard:
            return remote
        return _make_path(remote, source[0], source[3] if len(source) > 3 else 0)

    def _enable(self, ipv4_option: int, ipv6_option: int, value: int = 1) -> bool:
        """Set the option of our address family, on a dual-stack socket those of both."""
        done = False
        if self.family == socket.AF_INET6:
            done = set_option(self._sock, _IPV6, ipv6_option, value)
        if self.family == socket.AF_INET or self._dual:
            done = set_option(self._sock, _IP, ipv4_option, value) or done
        return done

    def _enable_pktinfo(self) -> bool:
        if self.family == socket.AF_INET6:  # tells IPv4 addresses too, in their IPv6 form
            return set_option(self._sock, _IPV6, _IPV6_RECVPKTINFO, 1)
        return set_option(self._sock, _IP, IP_PKTINFO, 1)


def _path(remote: tuple[Any, ...], pktinfo: bytes) -> Path:
    """Return the way of a datagram from `remote` that came with `pktinfo`."""
    if len(pktinfo) == _PKTINFO4.size:
        _, ours, destination = _PKTINFO4.unpack(pktinfo)
        # "Ours" differs for broadcast and multicast, and is unset in the error queue.
        to_many = any(ours) and ours != destination
        return Path(remote, "" if to_many else socket.inet_ntoa(destination))
    packed, ifindex = _PKTINFO6.unpack(pktinfo)
    if packed[0] == 0xFF:
        return Path(remote, "")
    return _make_path(remote, socket.inet_ntop(socket.AF_INET6, packed), ifindex)


def _make_path(remote: tuple[Any, ...], local: str, ifindex: int) -> Path:
    # Elsewhere the interface is routing's choice, and may change during a connection.
    return Path(remote, local, ifindex if local.startswith("fe80:") else 0)
