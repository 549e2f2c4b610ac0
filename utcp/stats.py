"""What can be measured: a snapshot of one connection, and an endpoint's counters."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Counters", "TcpInfo"]


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """A snapshot of one connection: the fields of Linux's `struct tcp_info` that mean something
    here, with times in microseconds as there; windows and amounts are bytes, where Linux
    counts some in segments.
    """

    state: str
    retransmits: int  # consecutive time-outs of the oldest segment
    rto: int  # microseconds
    rtt: int  # smoothed, microseconds; 0 before the first sample
    rttvar: int  # microseconds
    min_rtt: int  # microseconds; 0 before the first sample
    snd_mss: int  # bytes of payload in a full segment
    rcv_mss: int  # bytes, as announced by us
    snd_cwnd: int  # bytes (Linux counts segments)
    snd_ssthresh: int  # bytes
    snd_wnd: int  # bytes that the peer lets us have in flight
    rcv_wnd: int  # bytes that we let the peer have in flight
    rcv_space: int  # size of the receive buffer, bytes
    snd_wscale: int
    rcv_wscale: int
    unacked: int  # bytes in flight or lost
    sacked: int  # bytes of them selectively acknowledged
    lost: int  # bytes of them taken for lost
    notsent_bytes: int
    pmtu: int
    bytes_sent: int  # payload, retransmissions included
    bytes_retrans: int
    bytes_acked: int
    bytes_received: int
    segs_out: int
    segs_in: int
    total_retrans: int  # segments
    options: tuple[str, ...]  # of "timestamps", "sack", "wscale", "ecn"
    congestion_control: str


@dataclass(slots=True)
class Counters:
    """What an endpoint has seen, counted since it was made."""

    datagrams_in: int = 0
    datagrams_out: int = 0
    segments_in: int = 0
    segments_out: int = 0
    connections_opened: int = 0
    connections_accepted: int = 0
    connections_refused: int = 0  # SYNs dropped because the backlog was full
    syn_cookies_sent: int = 0  # SYNs answered without remembering them
    syn_cookies_accepted: int = 0  # connections that came of these
    syn_cookies_failed: int = 0  # ACKs for no connection that brought no good cookie
    # Beyond the limit of Config that is called max_...
    over_connections: int = 0  # SYNs dropped, completed handshakes reset
    over_connections_per_host: int = 0  # the same, answered with RST
    over_orphans: int = 0  # connections reset when their application closed them
    over_time_wait: int = 0  # records dropped before their time
    over_buffered: int = 0  # SYNs dropped, completed handshakes reset
    replies_dropped: int = 0  # answers without a connection that the socket had no room for
    resets_in: int = 0
    resets_out: int = 0
    resets_suppressed: int = 0  # beyond Config.reset_rate
    strays: int = 0  # segments that belong to no connection
    not_ours: int = 0  # first nibble below 5, for example STUN
    malformed: int = 0  # short, data offset beyond the end, broken options
    challenge_acks: int = 0
    paws_drops: int = 0
    retransmitted_segments: int = 0
    timeouts: int = 0  # retransmission time-outs
