"""Path MTU discovery of a connection: what `pmtu` decides, done to the parts (RFC 8899, RFC 4821).

When a probe leaves and what its ACK means; what time-outs and the kernel say about the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import pmtu
from utcp.core.loss import OPEN
from utcp.core.segment import HEADER_SIZE, TIMESTAMPS_SIZE
from utcp.core.state import SYN_SENT

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_SEGMENTS_BEHIND: Final = 3
_MOST_SACK: Final = 36  # bytes that a SACK option may have taken from a segment


def start(conn: Connection, now: int) -> None:
    """The connection is established, and what both hosts can deal with is known."""
    mss = conn.snd.peer_mss
    if conn.config.max_segment_size:
        mss = min(mss, conn.config.max_segment_size)
    conn.pmtu.start(now, mss + _headers(conn))


def payload(conn: Connection, now: int, end: int) -> int:
    """The payload of the probe to be sent now, 0 for none; new data may go up to `end`.

    -1: send nothing until the windows have room for the probe. It has within a round
    trip, for what is in flight leaves it; without waiting, an ACK would never open enough.
    """
    snd = conn.snd
    nxt = snd.snd_nxt
    size = conn.pmtu.candidate(now)
    # RFC 4821 §7.4: not while losses are being repaired. Without SACK a probe that is lost could
    # not be told from congestion.
    if not size or not conn.sack_ok or snd.loss.state != OPEN or snd.flight.lost_bytes:
        return 0
    if conn.rcv.reassembly.starts or conn.rcv.reassembly.duplicated:
        return 0  # SACK blocks would take room of the same segment
    length = size - _headers(conn) - (TIMESTAMPS_SIZE if conn.ts_ok else 0)
    # RFC 4821 §7.4: enough must follow to find its loss without a time-out.
    needed = length + _SEGMENTS_BEHIND * snd.mss
    if min(snd.cc.cwnd, snd.snd_wnd, snd.buffer.end - nxt) < needed:
        return 0
    if end - nxt < length:
        return -1
    conn.pmtu.sent(size, nxt, nxt + length)
    return length


def on_ack(conn: Connection, now: int) -> None:
    """An ACK came while a probe is in flight. After `flight.sack`, before loss detection."""
    snd = conn.snd
    flight = snd.flight
    probe = conn.pmtu
    sacked = flight.scoreboard.covers(probe.probe_start, probe.probe_end)
    verdict = probe.verdict(flight.una, sacked, flight.sacked_bytes, snd.mss)
    if verdict == pmtu.ARRIVED and flight.repeated_below > probe.probe_start:
        # Perhaps only what was sent again, in smaller segments, has arrived.
        probe.forget_probe()
    elif verdict == pmtu.ARRIVED:
        _set_path_mtu(conn, probe.arrived(now))
    elif verdict == pmtu.LOST:
        _lose_probe(conn, now)
    elif verdict == pmtu.INCONCLUSIVE:
        probe.forget_probe()
    elif flight.sacked_bytes and probe.probe_start == flight.una:
        # RFC 4821 §7.6.2: no congestion. So here, before RACK finds it (RFC 8985 §6.2 step 5).
        head = flight.head()
        loss = snd.loss
        wait_ns = loss.rack.reo_wnd_ns(snd.rtt, flight.reordering_seen, loss.dup_acks >= 2)
        if head is not None and snd.sample.newest_at - head.sent_at >= wait_ns:
            _lose_probe(conn, now)


def on_reorder_timeout(conn: Connection, now: int) -> None:
    """Time is up for what may only be late (RFC 8985 §6.2 step 5): for the probe, if it is first.

    Before the loss detector looks.
    """
    if conn.pmtu.probe_start == conn.snd.snd_una:
        _lose_probe(conn, now)


def _lose_probe(conn: Connection, now: int) -> None:
    """RFC 4821 §7.6.2: its bytes go again, in smaller segments. The congestion window stays."""
    probe = conn.pmtu
    conn.snd.flight.mark_lost(probe.probe_start, probe.probe_end)
    probe.lost(now)


def on_timeout(conn: Connection, now: int) -> None:
    """The retransmission timer has expired, `snd.retries` counts it."""
    snd = conn.snd
    flight = snd.flight
    # Small segments were joined when they went again.
    end = flight.scoreboard.starts[0] if flight.scoreboard.starts else flight.nxt
    size = max(0, min(end - flight.una, snd.mss))
    full = size == snd.mss
    size += snd.smss - snd.mss + _headers(conn)
    if conn.pmtu.on_timeout(now, snd.retries, size, full):
        _set_path_mtu(conn, conn.pmtu.low)


def packet_too_big(conn: Connection, now: int, mtu: int) -> None:
    """The path takes packets of at most `mtu` bytes (RFC 9293 §3.7.2): what is in flight is cut
    anew and sent again, if there may be something larger."""
    probe = conn.pmtu
    flight = conn.snd.flight
    smaller, probe_lost = probe.packet_too_big(now, mtu)
    conn.calm = False
    if smaller:
        _set_path_mtu(conn, probe.low)
        if flight.nxt - flight.una > conn.snd.mss - _MOST_SACK:
            conn.agenda.forget_bursts(conn.addr)
            flight.mark_all_lost(forget_sacked=False)
    elif probe_lost:
        flight.mark_lost(probe.probe_start, probe.probe_end)
    conn.touch()


def _set_path_mtu(conn: Connection, mtu: int) -> None:
    """The path takes packets of `mtu` bytes (RFC 9293 §3.7.2)."""
    conn.path_mtu = mtu
    snd = conn.snd
    snd.path_mss = pmtu.mss_for(mtu, conn.ipv6, conn.config)
    if conn.state is not SYN_SENT:
        # Before the peer's SYN nothing is agreed; then the handshake does it.
        snd.set_mss(conn.ts_ok)


def _headers(conn: Connection) -> int:
    """What an MSS does not count: the headers of IP and UDP, and ours."""
    return (40 if conn.ipv6 else 20) + 8 + HEADER_SIZE
