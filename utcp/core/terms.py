"""What every connection of an endpoint begins with, as `Config` says, in the core's own units.

It is worked out once for the endpoint, so that a connection only takes it over.
"""

from __future__ import annotations

from utcp.config import Config
from utcp.core import cc
from utcp.core.receiver import window_scale
from utcp.core.segment import TIMESTAMPS_SIZE
from utcp.core.tlp import pto_ns


class Terms:
    """Times in nanoseconds. Read only."""

    __slots__ = (
        "challenge_interval_ns",
        "control",
        "delayed_ack_ns",
        "keepalive_idle_ns",
        "keepalive_interval_ns",
        "mtu_raise_ns",
        "options_size",
        "rto_initial_ns",
        "rto_max_ns",
        "rto_min_ns",
        "soon_ns",
        "user_timeout_ns",
        "wscale",
    )

    def __init__(self, config: Config) -> None:
        ns = config.ns
        self.rto_initial_ns = ns("rto_initial")
        self.rto_min_ns = ns("rto_min")
        self.rto_max_ns = ns("rto_max")
        self.delayed_ack_ns = ns("delayed_ack")
        self.soon_ns = min(self.rto_min_ns, pto_ns(0, True, self.delayed_ack_ns))
        """No time-out of something sent is shorter, but for the user's."""
        self.mtu_raise_ns = ns("mtu_raise_interval")
        self.challenge_interval_ns = ns("challenge_ack_interval")
        self.user_timeout_ns = ns("user_timeout")
        self.keepalive_idle_ns = ns("keepalive_idle")
        self.keepalive_interval_ns = ns("keepalive_interval")
        self.control = cc.find(config.congestion_control)
        """A class: every connection has one of its own."""
        self.options_size = TIMESTAMPS_SIZE if config.timestamps else 0
        """Bytes of options that each segment will have, unless the peer does not agree."""
        self.wscale = window_scale(config.recv_buffer) if config.window_scaling else 0
        """The shift that our SYN offers (RFC 7323 §2.2)."""
