"""Limits on what peers can make an endpoint keep: how many connections, from one host and in all,
and how many that their applications have closed.

Only what has proved its address is counted. Whoever forges addresses could otherwise use up the
share of another host; connections whose handshake is going on have the backlog for a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final

from utcp.config import Config
from utcp.stats import Counters

if TYPE_CHECKING:
    from utcp.core.connection import Connection

# What `refusal` says.
NONE: Final = 0
SILENT: Final = 1  # as Linux does where it has no room: the peer tries again, and room may come
RESET: Final = 2  # the peer has too much already: it is told


class Admission:
    """The counts of one endpoint. `host_of` makes of an address what names its host."""

    __slots__ = ("_config", "_counters", "_host_of", "_hosts", "_total", "orphans")

    def __init__(
        self, config: Config, counters: Counters, host_of: Callable[[Hashable], Hashable]
    ) -> None:
        self._config = config
        self._counters = counters
        self._host_of = host_of
        self._hosts: dict[Hashable, int] = {}
        self._total = 0
        self.orphans: dict[Connection, None] = {}
        """Connections that their applications have closed and that are not over yet."""

    def refusal(self, addr: Hashable, pressed: bool) -> int:
        """Whether a connection from `addr` would be one too many, which is counted then.

        `pressed`: there are too many bytes in the buffers already.
        """
        config = self._config
        counters = self._counters
        if config.max_connections and self._total >= config.max_connections:
            counters.over_connections += 1
            return SILENT
        if pressed:
            counters.over_buffered += 1
            return SILENT
        most = config.max_connections_per_host
        # One host has no more than all of them have.
        if 0 < most <= self._total and self._hosts.get(self._host_of(addr), 0) >= most:
            counters.over_connections_per_host += 1
            return RESET
        return NONE

    def enter(self, addr: Hashable) -> None:
        """A connection that `addr` has opened is established."""
        host = self._host_of(addr)
        self._total += 1
        self._hosts[host] = self._hosts.get(host, 0) + 1

    def leave(self, addr: Hashable) -> None:
        """It is over."""
        host = self._host_of(addr)
        self._total -= 1
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]

    def orphaned(self, conn: Connection) -> bool:
        """Note that the application has closed `conn`. False, and counted, if that makes one too
        many, so that it has to be reset (as in Linux)."""
        most = self._config.max_orphans
        if most and len(self.orphans) >= most:
            self._counters.over_orphans += 1
            return False
        self.orphans[conn] = None
        return True
