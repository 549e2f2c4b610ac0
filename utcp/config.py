"""Config: every knob of a connection, with its default, its unit and the RFC it comes from.

A `Config` is frozen and checked once, when it is made. Times are given in seconds, as floats or
ints, and sizes in bytes; the core asks `ns` for whole nanoseconds.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from utcp.core.cc import CongestionControl

__all__ = ["Config"]

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of the connections of one endpoint.

    Raises `ValueError` (or `TypeError`) from the constructor for a value that makes no sense.
    Use `dataclasses.replace` to derive a changed one.
    """

    # -- lifetime -------------------------------------------------------------------------------
    msl: float = 30.0
    """Maximum segment lifetime, seconds. TIME-WAIT lasts twice this (RFC 9293 §3.4.2 says 2
    minutes; 30 s gives the 60 s of Linux)."""
    fin_wait2_timeout: float = 60.0
    """Seconds that a closed connection waits in FIN-WAIT-2 for the peer's FIN (as in Linux)."""
    linger: float = 5.0
    """Seconds that the end of an event loop waits for data written before close() to get out."""
    user_timeout: float = 0.0
    """Seconds that data may stay unacknowledged, or unsent because the peer's window is shut,
    before the connection is given up (RFC 9293 §3.9.1.1). 0: only the retransmission limits
    decide."""

    # -- retransmission -------------------------------------------------------------------------
    rto_initial: float = 1.0
    """First retransmission time-out, seconds (RFC 6298 §2 (2.1))."""
    rto_min: float = 0.2
    """Least retransmission time-out, seconds. RFC 6298 §2 (2.4) says 1 s; Linux uses 200 ms."""
    rto_max: float = 120.0
    """Greatest retransmission time-out, seconds (RFC 6298 §2 (2.5): at least 60)."""
    syn_retries: int = 7
    """SYN retransmissions before connecting fails; 7 last 247 s, with the default
    `rto_max` (RFC 9293 §3.8.3, MUST-23: at least 3 minutes)."""
    icmp_refuses: bool = True
    """Whether ICMP's "port unreachable" ends a connection that is being opened (RFC 9293 §3.9.2.2).
    False where it says nothing of the peer: when both sides connect to each other at once, to open
    the NATs between them, the first SYN may come to one that is still shut."""
    synack_retries: int = 5
    """SYN-ACK retransmissions before a half-open passive connection is dropped (as in Linux)."""
    retries1: int = 3
    """R1: retransmissions of one segment after which the application is advised (SHLD-10)."""
    retries2: int = 15
    """R2: retransmissions of one segment after which the connection fails; 15 last about 15
    minutes, RFC 9293 §3.8.3 SHLD-11 asks for at least 100 s."""
    orphan_retries: int = 8
    """R2 for a connection that its application has closed (as in Linux)."""

    # -- segments -------------------------------------------------------------------------------
    max_segment_size: int = 0
    """Upper bound of the MSS announced and used, in bytes, options not taken off. 0: what the
    path MTU allows."""
    timestamps: bool = True
    """Offer timestamps and PAWS (RFC 7323)."""
    window_scaling: bool = True
    """Offer window scaling (RFC 7323)."""
    sack: bool = True
    """Offer selective acknowledgments (RFC 2018)."""
    ecn: bool = True
    """Offer and accept ECN (RFC 3168)."""
    nodelay: bool = True
    """Send small segments at once. False turns the Nagle algorithm on (RFC 9293 §3.7.4)."""
    delayed_ack: float = 0.04
    """Longest delay of an acknowledgment, seconds; below 0.5 (RFC 9293 §3.8.6.3, MUST-40). Within
    it the delay adapts to what the peer and the application do, down to none."""
    quick_acks: int = 16
    """Acknowledgments that are not delayed at the beginning, and again after a loss, a silence or
    a delay that was for nothing (as in Linux). 0: none, and the delay does not adapt."""
    mtu_probing: bool = True
    """Search for a larger path MTU with segments of data, and fall back to a small one when full
    segments get lost again and again (RFC 8899). False: only what the kernel and ICMP say."""
    mtu_raise_interval: float = 600.0
    """Seconds after which a path MTU that has become smaller is tried to be raised again (RFC 8899
    §5.1.1, PMTU_RAISE_TIMER)."""
    dscp: int = 0
    """Differentiated Services code point of what is sent, 0..63 (RFC 9293 §3.9.1.9)."""
    ttl: int = 64
    """IP time to live, or hop limit, of what is sent (RFC 9293 §3.9.2, MUST-49)."""

    # -- buffers --------------------------------------------------------------------------------
    recv_buffer: int = 32 << 20
    """Most bytes of receive buffer, and so the greatest window ever offered: enough for 1 Gbit/s
    over 100 ms with as much again in queues. It begins with 256 KiB, or 16 segments if that is more
    (where a round trip is very short, with what the socket's buffer allows), and grows as fast as
    the application reads."""
    send_buffer: int = 32 << 20
    """Most bytes that TCP takes as its own for one connection, sent and unsent together: twice the
    congestion window, or twice the peer's if that is less; at least 256 KiB, up to this. What is
    written beyond waits in the transport's buffer, where water marks apply."""

    # -- keep-alive -----------------------------------------------------------------------------
    keepalive: bool = False
    """Probe an idle peer (RFC 9293 §3.8.4; off by default, MUST-25)."""
    keepalive_idle: float = 7200.0
    """Idle seconds before the first probe (MUST-28: no less than two hours by default)."""
    keepalive_interval: float = 75.0
    """Seconds between unanswered probes. Many peers, this one too, answer one in half a second at
    most (`challenge_ack_interval`): if all probes of an idle time fall into that, a healthy peer is
    given up."""
    keepalive_count: int = 9
    """Unanswered probes before the connection is given up (MUST-29: never a single one)."""

    # -- congestion control ---------------------------------------------------------------------
    congestion_control: str | type[CongestionControl] = "cubic"
    """Congestion control: "cubic" (RFC 9438), "reno" (RFC 5681, 6582), or a class of your own,
    derived from `utcp.core.cc.CongestionControl`."""
    initial_window: int = 10
    """Initial congestion window, segments (RFC 6928)."""
    pacing: bool = True
    """Spread what is sent over the round trip, where that is longer than about a millisecond."""

    # -- defence --------------------------------------------------------------------------------
    challenge_ack_interval: float = 0.5
    """Least time between two challenge ACKs, or two ACKs of unacceptable segments, of one
    connection, seconds (RFC 5961 §7; Linux's tcp_invalid_ratelimit)."""
    reset_rate: int = 100
    """Most RSTs per second that an endpoint sends to one host for segments that belong to no
    connection."""
    syn_cookies: str = "auto"
    """When a SYN is answered without remembering it (RFC 4987 §3.6): "auto" when the backlog is
    full, "always", or "never"; then a SYN too many gets no answer, or the place of an old one."""
    max_connections: int = 65_536
    """Most connections that peers may have opened to one endpoint. SYNs beyond get no answer. 0, as
    in the limits that follow: no limit."""
    max_connections_per_host: int = 16_384
    """Most of these from one host: an IPv4 address, or the /64 of an IPv6 address. SYNs beyond are
    answered with RST."""
    max_orphans: int = 16_384
    """Most connections of an endpoint that the application has closed and that still have to send
    data or FIN, or wait for the peer's. Closing one more resets it (Linux's tcp_max_orphans)."""
    max_time_wait: int = 65_536
    """Most TIME-WAIT records of an endpoint; the oldest go (Linux's tcp_max_tw_buckets)."""
    max_buffered: int = 1 << 30
    """Bytes in the buffers of all connections of an endpoint, sent, unsent and received, from which
    on it accepts no connection and lets windows and buffers shrink (Linux's tcp_mem)."""

    _ns: dict[str, int] = dataclasses.field(init=False, repr=False, compare=False)
    """The durations in nanoseconds, worked out once: they are read for every connection."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ns", {})
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
            if math.isnan(value) or not low <= value <= high:
                raise ValueError(f"{name} must be between {low:g} and {high:g}, not {value!r}")
            if isinstance(low, float):
                self._ns[name] = round(value * _NS)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (isinstance(value, bool) or not isinstance(value, int)):
                raise TypeError(f"{field.name} must be an int, not {type(value).__name__}")
            if field.type == "bool" and not isinstance(value, bool):
                raise TypeError(f"{field.name} must be a bool, not {type(value).__name__}")
        if 0 < self.max_segment_size < 88:
            # Linux's least send MSS is 48 with 40 bytes of options already taken off.
            raise ValueError("max_segment_size must be 0 (no bound) or at least 88")
        if self.rto_max < self.rto_min or self.rto_max < self.rto_initial:
            raise ValueError("rto_max must not be below rto_min or rto_initial")
        if self.retries2 <= self.retries1:
            raise ValueError("retries2 must be greater than retries1")
        if self.syn_cookies not in _SYN_COOKIES:
            raise ValueError(f"syn_cookies must be one of {_SYN_COOKIES}, not {self.syn_cookies!r}")
        _check_congestion_control(self.congestion_control)

    def ns(self, name: str) -> int:
        """The duration called `name`, in whole nanoseconds."""
        return self._ns[name]


def _check_congestion_control(control: object) -> None:
    if isinstance(control, str):
        if control not in _CONGESTION_CONTROLS:
            raise ValueError(f"unknown congestion_control {control!r}")
    elif not isinstance(control, type) or not hasattr(control, "on_ack"):
        # The base class is the core's, and this module imports nothing of it.
        raise TypeError("congestion_control must be a name or a CongestionControl class")


_CONGESTION_CONTROLS: Final = ("cubic", "reno")
_SYN_COOKIES: Final = ("auto", "always", "never")

_DAY: Final = 86_400.0
_RANGES: Final = (
    ("msl", 0.001, 600.0),
    ("fin_wait2_timeout", 0.001, _DAY),
    ("linger", 0.0, _DAY),
    ("user_timeout", 0.0, 7 * _DAY),
    ("rto_initial", 0.001, 60.0),
    ("rto_min", 0.001, 60.0),
    ("rto_max", 0.001, 3600.0),
    ("syn_retries", 0, 32),
    ("synack_retries", 0, 32),
    ("retries1", 1, 100),
    ("retries2", 2, 1000),
    ("orphan_retries", 0, 100),
    ("max_segment_size", 0, 65_495),
    # RFC 9293 §3.8.6.3 (MUST-40): the delay is below half a second.
    ("delayed_ack", 0.0, 0.499),
    ("quick_acks", 0, 1024),
    ("mtu_raise_interval", 0.001, _DAY),
    ("dscp", 0, 63),
    ("ttl", 1, 255),
    ("recv_buffer", 2048, 1 << 30),
    ("send_buffer", 2048, 1 << 30),
    ("keepalive_idle", 0.001, 365 * _DAY),
    ("keepalive_interval", 0.001, _DAY),
    ("keepalive_count", 1, 1000),
    ("initial_window", 1, 1000),
    ("challenge_ack_interval", 0.0, 60.0),
    ("reset_rate", 0, 1_000_000),
    ("max_connections", 0, 1 << 30),
    ("max_connections_per_host", 0, 1 << 30),
    ("max_orphans", 0, 1 << 30),
    ("max_time_wait", 0, 1 << 30),
    ("max_buffered", 0, 1 << 50),
)
