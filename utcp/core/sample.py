"""AckSample: what one ACK told, filled by the parts in turn and read by the next ones.

There is one sample per connection and it is used again for every ACK, so that none is allocated
on the hot path. In the order of filling:

    caller          reset(now), then duplicate, ece and cwnd_limited
    flight.ack      prior_in_flight, acked, delivered, rtt_ns
    flight.sack     sacked, delivered, dsack, rtt_ns where the cumulative ACK gave none
    loss.on_ack     lost, in_recovery, in_flight
    caller          una, snd_nxt, srtt_ns
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
        "duplicate",
        "ece",
        "in_flight",
        "in_recovery",
        "lost",
        "now",
        "prior_in_flight",
        "rtt_ns",
        "sacked",
        "snd_nxt",
        "srtt_ns",
        "una",
    )

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, now: int) -> None:
        """Empty it for an ACK that is processed at `now`."""
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
        # The ACK carried ECN-Echo (RFC 3168 §6.1.2).
        self.ece = False
        # SND.UNA after this ACK, and SND.NXT: what rounds are counted by.
        self.una = 0
        self.snd_nxt = 0
        # The smoothed round-trip time with this ACK's sample in it, 0 if there was none yet.
        self.srtt_ns = 0
