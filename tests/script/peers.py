"""Connections that are open already, for scripts that begin where the handshake ends.

Both sides' first byte has number 1. `client` has measured a round trip of exactly 100 ms, so that
its retransmission time-out is 100 + max(4 * 50, 200) = 300 ms (RFC 6298 §2.2, with the least RTO
of 200 ms as the least variance).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from utcp.config import Config
from utcp.core import State
from utcp.testing import Script

PLAIN = Config(
    timestamps=False,
    sack=False,
    window_scaling=False,
    ecn=False,
    congestion_control="reno",
    quick_acks=0,
    pacing=False,
    mtu_probing=False,
)
"""No options but the MSS, so that every segment of a script is short to read; and the congestion
window that is the easiest to foretell."""

RTT_MS = 100
RTO_MS = 300


def plain(**changes: Any) -> Config:
    """`PLAIN` with some of its settings changed."""
    return dataclasses.replace(PLAIN, **changes)


def client(
    config: Config = PLAIN,
    *,
    options: str = "mss 1460",
    win: int = 65_535,
    flags: str = "S.",
    ack_stamp: str = "",
    **knobs: Any,
) -> Script:
    """An established connection that the endpoint has opened, at 100 ms. `options` and `flags`
    are those of the peer's SYN-ACK."""
    s = Script(config=config, **knobs)
    s.connect()
    s.take()
    s.advance(ms=RTT_MS)
    s.inject(f"{flags} 0:0(0) ack 1 win {win} <{options}>")
    s.expect(f". 1:1(0) ack 1 {ack_stamp}")
    s.expect_state(State.ESTABLISHED)
    s.take_events()
    return s


def server(
    config: Config = PLAIN, *, options: str = "mss 1460", win: int = 65_535, **knobs: Any
) -> Script:
    """An established connection that the peer has opened; `options` are those of its SYN."""
    s = Script(config=config, **knobs)
    s.listen()
    s.inject(f"S 0:0(0) win {win} <{options}>")
    s.take()
    s.inject(f". 1:1(0) ack 1 win {win}")
    s.expect_state(State.ESTABLISHED)
    s.take_events()
    return s
