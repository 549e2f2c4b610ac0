"""AckSample: what one ACK told, filled by the parts in turn and read by the next ones.

There is one sample for all connections of an endpoint and it is used again for every ACK, so that
none is allocated on the hot path. In the order of filling:

    caller          reset(now), then duplicate and cwnd_limited; echo_ms and min_rtt_ns
    flight.ack      prior_in_flight, acked, delivered, rtt_ns, newest_at, newest_end, orig
    flight.sack     sacked, delivered, dsack, newest_at, newest_end, orig; rtt_ns where the
                    cumulative ACK gave none
    loss.on_ack     lost, in_recovery, in_flight
    caller          ece, una, snd_nxt, srtt_ns
    cc.on_ack       reads

A part reads only what stands above its own line. Sizes are bytes of sequence space, so SYN and
FIN count one each.
"""

from __future__ import annotations


class AckSample:
    """One ACK, as the sender's parts see it. All sizes in bytes, all times in nanoseconds."""

    __slots__ = (
        "acked",
        "cwnd_limited",
        "delivered",
        "dsack",
        "dsack_end",
        "duplicate",
        "ece",
        "echo_ms",
        "in_flight",
        "in_recovery",
        "lost",
        "min_rtt_ns",
        "newest_at",
        "newest_end",
        "now",
        "orig",
        "prior_in_flight",
        "rtt_ns",
        "sacked",
        "snd_nxt",
        "srtt_ns",
        "una",
        "used",
    )

    def __init__(self) -> None:
        self.forget()
        self.reset(0)

    def forget(self) -> None:
        """Empty what is read only where another field says that it was filled for this ACK."""
        # Only with a retransmission in flight does anybody look at these two, so only then the
        # caller sets them: the time that the ACK's timestamp echoes, as our clock's time in
        # milliseconds, or -1 for none; and the least RTT known.
        self.echo_ms = -1
        self.min_rtt_ns = 0
        # The ends of what `newest_at` and `dsack` are about.
        self.newest_end = 0
        self.dsack_end = 0

    def reset(self, now: int) -> None:
        """Empty it for an ACK that is processed at `now`."""
        # Whether it has been filled since then with anything but what `flight.ack_plain` fills.
        self.used = True
        self.now = now
        # Newly acknowledged by the cumulative acknowledgment, SACKed before or not.
        self.acked = 0
        # Newly selectively acknowledged.
        self.sacked = 0
        # Newly known to have arrived: `acked` less what had been SACKed earlier, plus `sacked`.
        self.delivered = 0
        # Newly taken for lost.
        self.lost = 0
        # Round-trip time of the newest data acknowledged, or -1 (Karn: retransmissions give none).
        self.rtt_ns = -1
        # Estimated to be in the network (RFC 6675 "pipe") before and after this ACK.
        self.prior_in_flight = 0
        self.in_flight = 0
        # A duplicate ACK as RFC 5681 §2 defines it; the caller decides.
        self.duplicate = False
        # The congestion window, not the application or the peer, limited what was sent.
        self.cwnd_limited = False
        # Fast recovery was going on when this ACK came, or it began with it.
        self.in_recovery = False
        # Reported by the peer as received twice (RFC 2883).
        self.dsack = 0
        # When the last sent of what is newly known to have arrived was sent, -1 if unknown
        # (RFC 8985 §6.2 step 2: RACK_update).
        self.newest_at = -1
        # The lowest sequence number newly known to have arrived that was sent only once, or -1.
        self.orig = -1
        # The ACK carried ECN-Echo (RFC 3168 §6.1.2).
        self.ece = False
        # SND.UNA after this ACK, and SND.NXT: what rounds are counted by.
        self.una = 0
        self.snd_nxt = 0
        # The smoothed round-trip time with this ACK's sample in it, 0 if there was none yet.
        self.srtt_ns = 0
