"""STATUS: all that can be measured of a connection, at one moment (RFC 9293 §3.9.1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utcp.stats import TcpInfo

if TYPE_CHECKING:
    from utcp.core.connection import Connection


def snapshot(conn: Connection) -> TcpInfo:
    """`Connection.info` (RFC 9293 §3.9.1.5)."""
    snd = conn.snd
    rcv = conn.rcv
    flags = (
        ("timestamps", conn.ts_ok),
        ("sack", conn.sack_ok),
        ("wscale", conn.wscale_ok),
        ("ecn", conn.ecn_ok),
    )
    return TcpInfo(
        state=str(conn.state),
        retransmits=snd.retries,
        rto=snd.rtt.rto_ns // 1000,
        rtt=snd.rtt.srtt_ns // 1000,
        rttvar=snd.rtt.rttvar_ns // 1000,
        min_rtt=max(snd.rtt.min_rtt_ns, 0) // 1000,
        snd_mss=snd.mss,
        rcv_mss=rcv.adv_mss,
        snd_cwnd=snd.cc.cwnd,
        snd_ssthresh=snd.cc.ssthresh,
        snd_wnd=snd.snd_wnd,
        rcv_wnd=rcv.rcv_adv - rcv.rcv_nxt,
        rcv_space=rcv.capacity,
        snd_wscale=snd.snd_wscale,
        rcv_wscale=rcv.rcv_wscale,
        unacked=snd.snd_nxt - snd.snd_una,
        sacked=snd.flight.sacked_bytes,
        lost=snd.flight.lost_bytes,
        notsent_bytes=snd.unsent(),
        pmtu=conn.path_mtu,
        bytes_sent=conn.bytes_sent,
        bytes_retrans=conn.bytes_retrans,
        bytes_acked=max(snd.snd_una - snd.iss - 1, 0),
        bytes_received=rcv.total,
        segs_out=conn.segs_out,
        segs_in=conn.segs_in,
        total_retrans=conn.total_retrans,
        options=tuple(name for name, agreed in flags if agreed),
        congestion_control=snd.cc.name,
    )
