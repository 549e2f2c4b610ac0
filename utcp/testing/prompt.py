"""An endpoint that takes and sends messages by the shorter way, as `utcp.aio` does."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from utcp.config import Config
from utcp.core import Connection, Endpoint, Transmit

__all__ = ["PromptEndpoint"]


class PromptEndpoint(Endpoint):
    """To be driven as any `Endpoint`: it tries `receive_message` and `poll_message` by itself."""

    __slots__ = ("_heard",)

    def __init__(self, config: Config, entropy: bytes, *, path_mtu: int = 1500) -> None:
        super().__init__(config, entropy, path_mtu=path_mtu)
        self._heard: deque[Connection] = deque()

    def receive(
        self,
        now: int,
        addr: Hashable,
        buf: bytes | bytearray | memoryview,
        length: int,
        stride: int = 0,
        ecn: int = 0,
    ) -> None:
        """As `Endpoint.receive`."""
        if not stride or stride >= length:
            arrived = self.receive_message(now, addr, memoryview(buf), length, ecn)
            if arrived is not None:
                self.unread(*arrived)
                self._heard.append(arrived[0])
                return
        super().receive(now, addr, buf, length, stride, ecn)

    def poll_transmit(self, now: int) -> Transmit | None:
        """As `Endpoint.poll_transmit`."""
        while self._heard:
            conn = self._heard.popleft()
            data = self.poll_message(now, conn)
            if data:
                return Transmit(conn.addr, data, len(data), conn.data_tos)
        return super().poll_transmit(now)
