"""From what the caller names to numeric socket addresses, and the order to try them in."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import socket
from collections.abc import Iterable
from typing import Any, Final

__all__ = ["Info", "check_proto", "interleave", "resolve", "resolve_local"]

Info = tuple[int, Any]
"""Address family, and a numeric socket address of it."""
_PROTOCOLS: Final = frozenset((socket.IPPROTO_TCP, socket.IPPROTO_UDP))


def check_proto(proto: int) -> None:
    """Raise ValueError for a protocol that this is not."""
    if proto and proto not in _PROTOCOLS:
        raise ValueError(f"proto {proto} makes no sense here: this is TCP, carried in UDP")


async def resolve(
    loop: asyncio.AbstractEventLoop,
    host: str | bytes | None,
    port: int | str | bytes | None,
    *,
    family: int = socket.AF_UNSPEC,
    flags: int = 0,
) -> list[Info]:
    """The addresses of `host` and `port`, in the resolver's order.

    Raises OSError (socket.gaierror) when there are none. Numeric addresses are not looked up.
    """
    literal = _literal(host, port, family)
    if literal is not None:
        return [literal]
    # Ports are TCP's, by name, too: /etc/services knows few of them for UDP.
    found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)
    infos = [(int(info[0]), info[4]) for info in found]
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos


async def resolve_local(
    loop: asyncio.AbstractEventLoop, local_addr: Any, *, family: int, flags: int
) -> list[Info]:
    """The addresses to bind a client's socket to."""
    host, port = local_addr[:2]
    return await resolve(loop, host, port, family=family, flags=flags)


def interleave(infos: list[Info], first_family_count: int) -> list[Info]:
    """Take turns between the address families (RFC 8305 §4), after `first_family_count` addresses
    of the family that comes first."""
    families: dict[int, list[Info]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    queues = list(families.values())
    head = queues[0][: first_family_count - 1]
    queues[0] = queues[0][first_family_count - 1 :]
    turns: Iterable[tuple[Info | None, ...]] = itertools.zip_longest(*queues)
    return head + [info for turn in turns for info in turn if info is not None]


def _literal(host: str | bytes | None, port: Any, family: int) -> Info | None:
    """The address, if `host` and `port` are numbers already."""
    if not isinstance(host, str):
        return None
    if port is None or port in {"", b""}:
        port = 0
    if type(port) is not int and not isinstance(port, int | str | bytes):
        return None
    # What number an interface has can change.
    return _numeric(host, port, family) if "%" in host else _known(host, port, family)


def _numeric(host: str, port: Any, family: int) -> Info | None:
    with contextlib.suppress(TypeError, ValueError):
        number = int(port)
        # RFC 4007 §11: the zone of a link-local address. uvloop's getaddrinfo loses it.
        address, percent, zone = host.partition("%")
        if not percent and family in {socket.AF_UNSPEC, socket.AF_INET}:
            with contextlib.suppress(OSError):
                socket.inet_pton(socket.AF_INET, address)
                return int(socket.AF_INET), (address, number)
        if family in {socket.AF_UNSPEC, socket.AF_INET6} and _is_six(address):
            return int(socket.AF_INET6), (address, number, 0, _zone(zone) if percent else 0)
    return None


_known: Final = functools.lru_cache(maxsize=256)(_numeric)


def _is_six(address: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except OSError:
        return False
    return True


def _zone(zone: str) -> int:
    """The number of the interface that is called `zone`, or has that number. Raises OSError."""
    return int(zone) if zone.isascii() and zone.isdecimal() else socket.if_nametoindex(zone)
