"""Loss detection and recovery: fast retransmit, NewReno, SACK-based recovery, time-outs.

RFC 5681 §3.2 and RFC 6582 for a peer without SACK, RFC 6675 for one with it. The detector looks at
what an ACK did to the flight, marks there what is lost, and says in a word of flags what happened.
It sends nothing and knows no congestion window. The sender's part is:

- send what `flight.next_lost()` names, before new data, while there is room for a segment between
  `flight.pipe` and the congestion window; as many segments as `must_send` says go out regardless
  (then set it to 0);
- when nothing is lost and no new data may be sent, ask `last_resort` in RECOVERY;
- on REDUCE call the congestion control's `on_loss`, on EXITED_RECOVERY its `on_recovery_exit`
  (that one first, if both are set), after a time-out its `on_rto`.

Limited transmit (RFC 3042) needs nothing more: a SACK and a duplicate ACK make `pipe` smaller, so
each of the first two lets one segment of new data out without any change of the window.
"""

from __future__ import annotations

from typing import Final

from utcp.core.flight import NOTHING, Flight
from utcp.core.sample import AckSample

# LossDetector.state
OPEN: Final = 0
RECOVERY: Final = 1  # fast recovery
LOSS: Final = 2  # after a time-out, until all that was outstanding then is acknowledged

# Flags of on_ack and on_rto
ENTERED_RECOVERY: Final = 1
EXITED_RECOVERY: Final = 2
MARKED_LOST: Final = 4
PARTIAL_ACK: Final = 8  # RFC 6582 §3.2 step 3; only without SACK
EXITED_LOSS: Final = 16
REDUCE: Final = 32  # recovery began, and the window was not yet reduced in this round trip
FIRST_TIMEOUT: Final = 64  # of the data at SND.UNA; the time-outs after it are backed off
RENEGED: Final = 128  # the SACK marks were forgotten

DUP_THRESH: Final = 3


class LossDetector:
    """The loss recovery state of one connection."""

    __slots__ = (
        "_high_rxt",
        "_rescue_rxt",
        "_timeout_una",
        "cwr_until",
        "dup_acks",
        "must_send",
        "recover",
        "state",
    )

    def __init__(self, iss: int) -> None:
        self.state = OPEN
        # Duplicate ACKs since SND.UNA moved: RFC 5681 §2, or RFC 6675 §2 where there is SACK.
        self.dup_acks = 0
        # Recovery ends when SND.UNA gets here. Like SND.NXT one above the highest number sent.
        # RFC 6582 §3.2 step 1: initially the initial send sequence number.
        self.recover = iss
        # Segments that are retransmitted even if the congestion window has no room.
        self.must_send = 0
        # The congestion window was reduced for ECN; not again before SND.UNA gets here.
        self.cwr_until = iss
        # RFC 6675 §2, as ends of ranges. `_high_rxt` is kept for NextSeg() rule 3 alone: what rule
        # 1 has retransmitted is marked so in the flight.
        self._high_rxt = iss
        self._rescue_rxt = iss
        # SND.UNA at the last time-out.
        self._timeout_una = -1

    def on_ack(self, flight: Flight, sample: AckSample, snd_nxt: int, mss: int, sack: bool) -> int:
        """Process one ACK after `flight.ack` and `flight.sack`. Returns flags.

        `snd_nxt` is the highest sequence number sent plus one; `sack`: the peer sends SACKs.
        """
        if self.state == OPEN:
            if sample.acked:
                self.dup_acks = 0
                if flight.dup_bytes:
                    flight.forget_dups()
            if not sample.sacked and (sack or not sample.duplicate):
                sample.in_flight = flight.pipe
                return 0
            flags = 0
        else:
            sample.in_recovery = self.state == RECOVERY
            flags = self._try_exit(flight)
        if self.state == OPEN:
            flags |= self._count_duplicate(flight, sample, snd_nxt, mss, sack)
        elif sack:
            flags |= self._mark_sacked_holes(flight, sample, mss)
        elif self.state == RECOVERY:
            flags |= self._newreno(flight, sample, mss)
        sample.in_flight = flight.pipe
        return flags

    def on_rto(self, flight: Flight, snd_nxt: int) -> int:
        """Process a retransmission time-out: everything outstanding is lost. Returns flags."""
        flags = MARKED_LOST
        una = flight.una
        if una != self._timeout_una:
            self._timeout_una = una
            flags |= FIRST_TIMEOUT
        # RFC 2018 §8: the peer may have discarded what it had SACKed. It has, if it still does not
        # acknowledge SND.UNA although it SACKed that; then all marks are worth nothing. Otherwise
        # they are kept, as Linux does and RFC 6675 §5.1 allows: for if it reneged on something
        # further up, SND.UNA will get there, wait for the next time-out, and then it shows.
        reneged = flight.head_sacked()
        if reneged:
            flags |= RENEGED
        flight.mark_all_lost(reneged)
        # RFC 6582 §3.2 step 4, RFC 6675 §5.1: recovery ends, and none begins before all that is
        # outstanding now has been acknowledged.
        self.recover = snd_nxt
        self.state = LOSS
        self.dup_acks = 0
        # RFC 6298 §5.4: retransmit the earliest segment.
        self.must_send = 1
        return flags

    def on_ece(self, una: int, snd_nxt: int) -> bool:
        """Process ECN-Echo on an ACK, after `on_ack`. Returns whether to reduce the window.

        If so, call the congestion control's `on_ecn`. (CWR goes out on the next new data after
        any reduction: this one, REDUCE, and a time-out.)
        """
        # RFC 3168 §6.1.2: once per window of data, for losses and CE marks together. An ACK for
        # exactly that window may still repeat the old mark: the peer has not seen our CWR.
        if self.state != OPEN or una <= self.cwr_until:
            return False
        self.cwr_until = snd_nxt
        return True

    def last_resort(self, flight: Flight, mss: int) -> tuple[int, int]:
        """Name a segment to retransmit to keep the ACK clock going, or (-1, -1).

        To be asked in RECOVERY, when `flight.next_lost()` names nothing, no new data may
        be sent and the congestion window has room. The caller sends what is named and reports it
        to `flight.resent` as usual.
        """
        if self.state != RECOVERY:
            return NOTHING
        # RFC 6675 §4 NextSeg() rule 3: not known to be lost, but below the highest SACK.
        start, end = flight.first_unsacked(max(self._high_rxt, flight.lost_below))
        if 0 <= start < flight.high_sacked():
            end = min(end, start + mss)
            self._high_rxt = end
            return start, end
        # RFC 6675 §4 NextSeg() rule 4: once per recovery, the highest that is outstanding.
        if flight.una > self._rescue_rxt:
            self._rescue_rxt = self.recover
            start, end = _highest_unsacked(flight)
            start = max(start, end - mss)
            if start < end:
                # In `pipe` it counts once: HighRxt is not updated.
                flight.mark_lost(start, end)
                return start, end
        return NOTHING

    # -- RECOVERY and LOSS --------------------------------------------------------------------

    def _try_exit(self, flight: Flight) -> int:
        """Leave RECOVERY or LOSS if SND.UNA got as far as `recover`."""
        # RFC 6582 §3.2 step 3, full acknowledgment; RFC 6675 §5 (A).
        if flight.una < self.recover:
            return 0
        flags = EXITED_RECOVERY if self.state == RECOVERY else EXITED_LOSS
        self.state = OPEN
        self.dup_acks = 0
        self.must_send = 0
        flight.forget_dups()
        return flags

    def _mark_sacked_holes(self, flight: Flight, sample: AckSample, mss: int) -> int:
        """Mark what RFC 6675 takes for lost now."""
        # RFC 6675 §5 (B). After a time-out it concerns only what was sent since.
        lost = flight.mark_lost_below(lost_edge(flight, mss))
        sample.lost += lost
        return MARKED_LOST if lost else 0

    def _newreno(self, flight: Flight, sample: AckSample, mss: int) -> int:
        """Go on with fast recovery without SACK."""
        if sample.acked:
            # RFC 6582 §3.2 step 3, partial acknowledgment: retransmit the first unacknowledged
            # segment. `pipe` has been adjusted by the flight.
            sample.lost += flight.mark_lost(flight.una, flight.una + mss)
            self.must_send = 1
            return PARTIAL_ACK | MARKED_LOST
        if sample.duplicate:
            flight.dup_acked(mss)
        return 0

    # -- OPEN ---------------------------------------------------------------------------------

    def _count_duplicate(
        self, flight: Flight, sample: AckSample, snd_nxt: int, mss: int, sack: bool
    ) -> int:
        """Count a duplicate ACK, and begin recovery if it is time to."""
        if sack:
            if not sample.sacked:
                return 0
            # RFC 6675 §5: the ACK brought new SACK information, whatever else it did.
            self.dup_acks += 1
            edge = lost_edge(flight, mss)
            # RFC 6675 §5 steps 1 and 2.
            if self.dup_acks < DUP_THRESH and edge <= flight.una:
                return 0
        else:
            if not sample.duplicate or sample.acked:
                return 0
            self.dup_acks += 1
            edge = flight.una
            # RFC 3042 §2: the first two duplicate ACKs let new data out. The third does too, by
            # what it says of the network, if it begins recovery, but none if it does not.
            if self.dup_acks < DUP_THRESH:
                flight.dup_acked(mss)
                return 0
            # RFC 6582 §3.2 step 2, the "careful" variant: the duplicates may come from
            # retransmissions of what the peer had.
            if self.dup_acks > DUP_THRESH or flight.una <= self.recover:
                return 0
            flight.dup_acked(mss)
        return self._enter(flight, sample, snd_nxt, mss, edge, sack)

    def _enter(
        self, flight: Flight, sample: AckSample, snd_nxt: int, mss: int, edge: int, sack: bool
    ) -> int:
        """Begin fast recovery (RFC 5681 §3.2 steps 2 and 3, RFC 6675 §5 step 4)."""
        una = flight.una
        self.state = RECOVERY
        sample.in_recovery = True
        self.recover = snd_nxt
        start, end = flight.first_unsacked(una)
        end = min(end, start + mss)
        lost = flight.mark_lost(start, end)
        lost += flight.mark_lost_below(edge)
        sample.lost += lost
        # RFC 6675 §5 step 4.3: the first segment is retransmitted, whatever cwnd and pipe are.
        self.must_send = 1
        self._high_rxt = end
        # Without SACK there is no rescue: partial acknowledgments name what is missing.
        self._rescue_rxt = end if sack else snd_nxt
        flags = ENTERED_RECOVERY | MARKED_LOST
        # RFC 3168 §6.1.2: one reduction for the losses and CE marks of one window.
        if una >= self.cwr_until:
            flags |= REDUCE
        # Losses reduce on their own once per recovery; ECN-Echo not again for the same window.
        self.cwr_until = snd_nxt
        return flags


def lost_edge(flight: Flight, mss: int) -> int:
    """Below which sequence number RFC 6675's IsLost() is true of what is not SACKed.

    SND.UNA if nowhere. Looks at no more than the three highest ranges.
    """
    # RFC 6675 §4 IsLost(): DupThresh discontiguous SACKed sequences, or more than
    # (DupThresh - 1) * SMSS SACKed bytes, lie above it.
    starts = flight.scoreboard.starts
    ends = flight.scoreboard.ends
    sacked = 0
    for i in range(len(starts) - 1, -1, -1):
        sacked += ends[i] - starts[i]
        if sacked > (DUP_THRESH - 1) * mss or len(starts) - i >= DUP_THRESH:
            return starts[i]
    return flight.una


def _highest_unsacked(flight: Flight) -> tuple[int, int]:
    """The highest range that is outstanding and not SACKed. Empty if there is none."""
    starts = flight.scoreboard.starts
    ends = flight.scoreboard.ends
    if not ends or ends[-1] < flight.nxt:
        return flight.high_sacked(), flight.nxt
    return ends[-2] if len(ends) > 1 else flight.una, starts[-1]
