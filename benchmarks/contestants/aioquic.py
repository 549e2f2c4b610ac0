"""aioquic: QUIC in Python, with C for encryption only."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.quic import Quic


class Aioquic(Quic):
    name = "aioquic"
    title = "aioquic (QUIC)"
    largest = 1472  # its C code encrypts at most 1,500 bytes
    # As utcp and the kernel have it; the default is reno.
    settings: ClassVar = {"congestion_control_algorithm": "cubic"}
    most_per_second = 10_000_000


CONTESTANT = Aioquic()
