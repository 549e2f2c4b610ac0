"""qh3: QUIC in Python, with much of it in Rust, and with GSO and GRO where Linux has them."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.quic import Quic


class Qh3(Quic):
    name = "qh3"
    title = "qh3 (QUIC)"
    largest = 1472
    # Its path MTU discovery would go beyond what the task allows.
    settings: ClassVar = {"probe_datagram_size": False}
    most_per_second = 30_000_000


CONTESTANT = Qh3()
