"""Nodes that speak the polling interface but no TCP."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from utcp.core.timers import NEVER


class FakeBurst:
    def __init__(self, addr: Hashable, data: bytes, segment_size: int = 0, tos: int = 0) -> None:
        self.addr = addr
        self.data = data
        self.segment_size = segment_size or len(data)
        self.tos = tos


class FakeNode:
    """Records what it receives; sends what is put into `outbox`; echoes if told so."""

    def __init__(self, echo: bool = False) -> None:
        self.echo = echo
        self.outbox: list[FakeBurst] = []
        self.received: list[tuple[int, Hashable, bytes, int, int]] = []
        self.too_big: list[tuple[int, Hashable, int]] = []
        self.gone: list[tuple[int, Hashable, bool]] = []
        self.buffers: list[bytes] = []
        self.timeout_at = NEVER
        self.timeouts: list[int] = []
        self.settled = 0

    def receive(
        self, now: int, addr: Hashable, buf: bytes, length: int, stride: int = 0, ecn: int = 0
    ) -> None:
        assert length == len(buf)
        self.buffers.append(buf)
        self.received.append((now, addr, bytes(buf), stride, ecn))
        if self.echo:
            self.outbox.append(FakeBurst(addr, bytes(buf), stride or length))

    def datagrams(self) -> list[bytes]:
        """All datagrams received, merged ones cut apart again."""
        found = []
        for _, _, data, stride, _ in self.received:
            size = stride or len(data) or 1
            found += [data[i : i + size] for i in range(0, len(data), size)] or [b""]
        return found

    def packet_too_big(self, now: int, addr: Hashable, mtu: int) -> None:
        self.too_big.append((now, addr, mtu))

    def unreachable(self, now: int, addr: Hashable, hard: bool) -> None:
        self.gone.append((now, addr, hard))

    def poll_transmit(self, now: int) -> FakeBurst | None:
        return self.outbox.pop(0) if self.outbox else None

    def poll_timeout(self) -> int:
        return self.timeout_at

    def handle_timeout(self, now: int) -> None:
        if now >= self.timeout_at:
            self.timeouts.append(now)
            self.timeout_at = NEVER

    def poll_ready(self) -> Any:
        return None

    def settle(self) -> None:
        self.settled += 1

    def state(self, addr: Hashable) -> str:
        return f"S{len(self.received)}"
