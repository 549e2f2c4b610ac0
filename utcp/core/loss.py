"""Loss detection and recovery: what every ACK and every time-out means for what is in flight.

For a peer with SACK: RACK-TLP (RFC 8985; `rack`, `tlp`). Without: fast retransmit and NewReno
(RFC 5681 §3.2, RFC 6582). Time-outs as in RFC 6298 and RFC 8985 §6.3, F-RTO (`frto`), and needless
recoveries taken back (`undo`) for both. The detector looks at what an ACK did to the flight, marks
there what is lost, and says in a word of flags what happened. It sends nothing and knows no
congestion window. The other side is `recovery`, which acts on the flags, and the sender, who

- sends what `flight.next_lost()` names, before new data, while there is room for a segment between
  `flight.pipe` and the congestion window; as many segments as `must_send` says go out regardless
  (then set it to 0);
- sends new data instead while `frto.state` is SEND_NEW, and nothing lost while it is SENT_NEW;
- calls `on_reorder_timeout` at `reorder_at`, and sends a probe if nothing comes for a PTO while
  `may_probe`.

Limited transmit (RFC 3042) needs nothing more: a SACK and a duplicate ACK make `pipe` smaller, so
each of the first two lets one segment of new data out without any change of the window.
"""

from __future__ import annotations

from typing import Final

from utcp.core.flight import RESENT, Flight
from utcp.core.frto import Frto
from utcp.core.rack import Rack
from utcp.core.rtt import RttEstimator
from utcp.core.sample import AckSample
from utcp.core.timers import NEVER
from utcp.core.tlp import TailProbe
from utcp.core.undo import Undo

# LossDetector.state
OPEN: Final = 0
RECOVERY: Final = 1  # fast recovery
LOSS: Final = 2  # after a time-out, until all that was outstanding then is acknowledged

# Flags of on_ack, on_rto and on_reorder_timeout
ENTERED_RECOVERY: Final = 1
EXITED_RECOVERY: Final = 2
MARKED_LOST: Final = 4
PARTIAL_ACK: Final = 8  # RFC 6582 §3.2 step 3; only without SACK
EXITED_LOSS: Final = 16
REDUCE: Final = 32  # the first sign of loss in this round trip
FIRST_TIMEOUT: Final = 64  # of the data at SND.UNA; the time-outs after it are backed off
RENEGED: Final = 128  # the SACK marks were forgotten
UNDONE: Final = 256  # the recovery was needless: it is over
UNDO_REDUCTION: Final = 512  # so was its reduction of the window
ADAPT_RTO: Final = 1024  # RFC 4015 §3.1 step (11): restart the RTT estimator
EXAMINED: Final = 2048  # the ACK was not an ordinary one

DUP_THRESH: Final = 3

_IDLE: Final = (Rack(), TailProbe(), Frto(), Undo())
"""What all connections share that never had a reason for parts of their own: see `_wake`."""


class LossDetector:
    """The loss recovery state of one connection."""

    __slots__ = (
        "_timeout_una",
        "cwr_until",
        "dup_acks",
        "frto",
        "may_probe",
        "must_send",
        "rack",
        "recover",
        "reorder_at",
        "state",
        "tlp",
        "undo",
        "watch",
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
        # The congestion window was reduced; not again before SND.UNA gets here (RFC 3168 §6.1.2).
        self.cwr_until = iss
        self.rack, self.tlp, self.frto, self.undo = _IDLE
        # When on_reorder_timeout() is due, or NEVER.
        self.reorder_at = NEVER
        # Whether a silent peer is sent a tail loss probe before the RTO. Only for one with SACK:
        # whoever knows that sets it True to begin with.
        self.may_probe = False
        # Whether in OPEN an ACK can matter to `tlp` or `undo`.
        self.watch = False
        # SND.UNA at the last time-out.
        self._timeout_una = -1

    def on_ack(
        self, flight: Flight, sample: AckSample, rtt: RttEstimator, mss: int, sack: bool
    ) -> int:
        """Process one ACK after `flight.ack` and `flight.sack`. Returns flags, 0 for an ACK that
        says nothing but that all is well. `sack`: the peer sends SACKs."""
        if self.state == OPEN and not self.watch:
            if sample.acked:
                self.dup_acks = 0
                if flight.dup_bytes:
                    flight.forget_dups()
            if not flight.sacked_bytes and (sack or not sample.duplicate):
                sample.in_flight = flight.pipe
                return 0
        flags = EXAMINED | self._examine(flight, sample, rtt, mss, sack)
        sample.in_flight = flight.pipe
        self.watch = not self.undo.idle or not self.tlp.ready
        self.may_probe = sack and self.state == OPEN and self.tlp.ready
        if not flight.sacked_bytes and self.state == OPEN:
            self.reorder_at = NEVER
        return flags

    def _wake(self) -> None:
        """Something is not as usual. From the first time on the parts are our own."""
        if self.rack is _IDLE[0]:
            self.rack = Rack()
            self.tlp = TailProbe()
            self.frto = Frto()
            self.undo = Undo()

    def await_rtt(self) -> None:
        """No round trip is known yet: no probe before there is an RTT sample (RFC 8985 §7.2)."""
        self._wake()
        self.tlp.await_rtt()
        self.watch = True

    @property
    def settled(self) -> bool:
        """Whether an ACK that comes while nothing is in flight can be passed over."""
        return self.state == OPEN and not self.watch

    def on_rto(self, flight: Flight, rtt: RttEstimator, now: int, mss: int, sack: bool) -> int:
        """Process a retransmission time-out. Returns flags."""
        self._wake()
        flags = MARKED_LOST
        una = flight.una
        again = una == self._timeout_una
        if not again:
            self._timeout_una = una
            flags |= FIRST_TIMEOUT
        # RFC 5682 §2.1, §3.1 step 1; a segment that timed out before may have been late each time.
        self.frto.start(self.state == RECOVERY or (self.state == LOSS and not again))
        if self.state == OPEN:
            # RFC 4015 §3.1: not again upon what follows before this recovery is over.
            flags |= REDUCE
            self.undo.start(flight, True, rtt, True)
        # RFC 2018 §8: the peer may have discarded what it had SACKed. It has, if it still does not
        # acknowledge SND.UNA although it SACKed that; then all marks are worth nothing. Otherwise
        # they are kept, as Linux does and RFC 6675 §5.1 allows: for if it reneged on something
        # further up, SND.UNA will get there, wait for the next time-out, and then it shows.
        reneged = flight.head_sacked()
        if reneged:
            flags |= RENEGED
        if sack and not reneged and rtt.srtt_ns:
            # RFC 8985 §6.3: the first segment, and whatever had the time to be acknowledged.
            flight.mark_lost(una, una + mss)
            wait_ns = self.rack.reo_wnd_ns(rtt, flight.reordering_seen, certain=True)
            flight.mark_sent_by(now - max(rtt.latest_ns, self.rack.rtt_ns) - wait_ns)
        else:
            flight.mark_all_lost(reneged)
        # RFC 6582 §3.2 step 4: recovery ends, and none begins before all that is outstanding now
        # has been acknowledged.
        self.recover = self.cwr_until = flight.nxt
        self.state = LOSS
        self.dup_acks = 0
        self.reorder_at = NEVER
        self.may_probe = False
        # RFC 8985 §7.1
        self.tlp.reset()
        # RFC 6298 §5 (5.4): retransmit the earliest segment.
        self.must_send = 1
        return flags

    def on_reorder_timeout(self, flight: Flight, rtt: RttEstimator, now: int, mss: int) -> int:
        """Process the expiry of the reordering timer. Returns flags."""
        self._wake()
        # RFC 8985 §6.2 step 5: RACK_detect_loss_and_arm_timer()
        if not self._detect(flight, rtt, now, mss):
            return EXAMINED
        flags = EXAMINED | MARKED_LOST
        if self.state == OPEN:
            self.may_probe = False
            flags |= self._enter(flight, rtt)
            self._detect(flight, rtt, now, mss)
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

    def probe_sent(self, nxt: int, is_retrans: bool) -> None:
        """A tail loss probe goes out; `nxt` is SND.NXT with it."""
        self._wake()
        self.tlp.sent(nxt, is_retrans)
        self.may_probe = False
        self.watch = True

    # -- ACKs that are not ordinary -----------------------------------------------------------

    def _examine(
        self, flight: Flight, sample: AckSample, rtt: RttEstimator, mss: int, sack: bool
    ) -> int:
        """What on_ack() does when something is lost, SACKed, or watched for."""
        self._wake()
        sample.in_recovery = self.state == RECOVERY
        if sample.acked and self.state == OPEN:
            self.dup_acks = 0
            flight.forget_dups()
        flags = self._look_back(flight, sample)
        if self.state != OPEN:
            if self.frto.state and self._needless_timeout(flight, sample, sack):
                flags |= self._undo(flight)
            else:
                flags |= self._try_exit(flight)
        if sack:
            self.rack.update(sample)
            if self.state == OPEN and sample.sacked:
                self.dup_acks += 1
            lost = self._detect(flight, rtt, sample.now, mss)
            sample.lost += lost
            # RFC 5681 §4.3: what is lost beyond `recover` is a loss in another window, also if it
            # was found before this one was over.
            if lost or (flags & (EXITED_RECOVERY | EXITED_LOSS) and flight.lost_bytes):
                # RFC 8985 §9.3: where retransmissions are among it, PRR is response enough to the
                # second loss (that of RFC 5681 §4.3 is for those who do without).
                flags |= MARKED_LOST
                if self.state == OPEN:
                    sample.in_recovery = True
                    flags |= self._enter(flight, rtt)
                    # RFC 8985 §6.2 step 4: without reordering seen, RACK.reo_wnd is 0 from here on.
                    sample.lost += self._detect(flight, rtt, sample.now, mss)
        elif self.state == OPEN:
            flags |= self._count_duplicate(flight, sample, rtt, mss)
        elif self.state == RECOVERY:
            flags |= self._newreno(flight, sample, mss)
        elif sample.duplicate and not sample.acked and flight.nxt > self.recover:
            # As in Linux: it is the new data of F-RTO that causes it, and its arrival makes room
            # for what is lost.
            flight.dup_acked(mss, sample)
        # It was about this ACK only, and is not always told.
        sample.echo_ms = -1
        return flags

    def _look_back(self, flight: Flight, sample: AckSample) -> int:
        """What the ACK says about the probe and the retransmissions that went out earlier."""
        flags = 0
        una = flight.una
        undo = self.undo
        if sample.dsack:
            self.rack.on_dsack(una, flight.nxt)
            undo.on_dsack(sample)
        if self.tlp.on_ack(una, sample, flight.sacked_bytes > 0):
            # RFC 8985 §7.4.2: a congestion control response equivalent to a fast recovery.
            flags |= self._reduce(flight)
        if undo.marker >= 0:
            if undo.by_dsack(flight):
                flight.reordering_seen |= not undo.timeout
                flags |= self._undo(flight)
            elif self.state != OPEN and self._late(flight, sample):
                flags |= self._undo(flight)
            elif self.state == OPEN:
                undo.done(una, flight.nxt)
        if 0 <= undo.adapt_above < una and sample.rtt_ns >= 0:
            undo.adapt_above = -1
            flags |= ADAPT_RTO
        return flags

    def _late(self, flight: Flight, sample: AckSample) -> bool:
        """Whether this ACK shows that what was taken for lost was late (Eifel detection)."""
        late = self.undo.by_echo(flight, sample)
        if late and self.state == RECOVERY:
            # As in Linux: what was sent first has filled the hole, so the network reorders. RFC
            # 8985 §6.2 step 3 cannot see that in what was retransmitted, and would go on so.
            flight.reordering_seen = True
            # As in Linux: it is about one hole; the others may be real, and it is settled only
            # when no retransmission is under way that may fill one.
            if flight.una < self.recover and flight.resent_bytes:
                return False
        return late

    def _needless_timeout(self, flight: Flight, sample: AckSample, sack: bool) -> bool:
        """Let F-RTO look at the ACK."""
        before = self.frto.state
        una = flight.una
        resent = flight.resent_bytes
        if self.frto.on_ack(una, flight.high_sacked(), self.recover, resent, sample, sack):
            return True
        if self.frto.state != before and self.frto.state:
            # RFC 5682 §3.1 step 2: the highest sequence number transmitted so far.
            self.recover = flight.nxt
        return False

    def _undo(self, flight: Flight) -> int:
        """The recovery was needless: go on as if there had been none."""
        flags = UNDONE
        if self.undo.reduced:
            flags |= UNDO_REDUCTION
            self.cwr_until = flight.una
        if self.state != OPEN:
            flight.unmark_lost()
            self.state = OPEN
        # RFC 5682 §2.1 step 3b, §3.1 step 3
        self.recover = flight.una
        self.must_send = 0
        self.dup_acks = 0
        self.frto.stop()
        self.undo.undone(flight.nxt)
        return flags

    def _try_exit(self, flight: Flight) -> int:
        """Leave RECOVERY or LOSS if SND.UNA got as far as `recover`."""
        # RFC 6582 §3.2 step 3, full acknowledgment; RFC 6675 §5 (A).
        if flight.una < self.recover:
            return 0
        flags = EXITED_RECOVERY if self.state == RECOVERY else EXITED_LOSS
        self.state = OPEN
        self.dup_acks = 0
        self.must_send = 0
        self.frto.stop()
        self.rack.on_recovery_exit()
        self.undo.ended(flight.nxt)
        flight.forget_dups()
        return flags

    # -- with SACK ----------------------------------------------------------------------------

    def _detect(self, flight: Flight, rtt: RttEstimator, now: int, mss: int) -> int:
        """Let RACK mark what is lost now; returns its bytes. Sets `reorder_at`."""
        board = flight.scoreboard
        # RFC 8985 §6.2 step 4: DupThresh segments SACKed; in bytes as in RFC 6675 §4 IsLost().
        certain = (
            self.state != OPEN
            or self.dup_acks >= DUP_THRESH
            or flight.sacked_bytes > (DUP_THRESH - 1) * mss
            or len(board.starts) >= DUP_THRESH
        )
        wait_ns = self.rack.reo_wnd_ns(rtt, flight.reordering_seen, certain)
        lost = self.rack.detect(flight, now, wait_ns)
        due_at = self.rack.due_at(flight, wait_ns)
        self.reorder_at = due_at if due_at >= 0 else NEVER
        return lost

    # -- without SACK -------------------------------------------------------------------------

    def _newreno(self, flight: Flight, sample: AckSample, mss: int) -> int:
        """Go on with fast recovery without SACK."""
        if sample.acked:
            head = flight.head()
            if head is not None and head.marks & RESENT:
                # It ends within what was just sent again, as no receiver's does that means well:
                # an ACK for each byte would let a whole segment out for each.
                return PARTIAL_ACK
            # RFC 6582 §3.2 step 3, partial acknowledgment: retransmit the first unacknowledged
            # segment. `pipe` has been adjusted by the flight.
            sample.lost += flight.mark_lost(flight.una, flight.una + mss)
            self.must_send = 1
            return PARTIAL_ACK | MARKED_LOST
        # RFC 9937 §6.2: no more of them than RecoverFS, what was outstanding when this began.
        if sample.duplicate and flight.dup_bytes < self.recover - self.undo.marker:
            flight.dup_acked(mss, sample)
        return 0

    def _count_duplicate(
        self, flight: Flight, sample: AckSample, rtt: RttEstimator, mss: int
    ) -> int:
        """Count a duplicate ACK, and begin recovery if it is time to."""
        if not sample.duplicate or sample.acked or flight.una == flight.nxt:
            return 0
        self.dup_acks += 1
        # RFC 3042 §2: the first two duplicate ACKs let new data out. The third does too, by
        # what it says of the network, if it begins recovery, but none if it does not.
        if self.dup_acks < DUP_THRESH:
            flight.dup_acked(mss, sample)
            return 0
        # RFC 6582 §3.2 step 2, the "careful" variant: the duplicates may come from
        # retransmissions of what the peer had.
        if self.dup_acks > DUP_THRESH or flight.una <= self.recover:
            return 0
        flight.dup_acked(mss, sample)
        sample.in_recovery = True
        flags = self._enter(flight, rtt)
        sample.lost += flight.mark_lost(flight.una, flight.una + mss)
        return flags | MARKED_LOST

    # -- both ---------------------------------------------------------------------------------

    def _enter(self, flight: Flight, rtt: RttEstimator) -> int:
        """Begin fast recovery (RFC 5681 §3.2 steps 2 and 3, RFC 8985 §6.2)."""
        self.state = RECOVERY
        flags = ENTERED_RECOVERY | self._reduce(flight)
        self.recover = flight.nxt
        # RFC 8985 §7.1
        self.tlp.reset()
        self.undo.start(flight, bool(flags & REDUCE), rtt, False)
        # RFC 5681 §3.2 step 3: the first segment is retransmitted, whatever cwnd and pipe are.
        self.must_send = 1
        return flags

    def _reduce(self, flight: Flight) -> int:
        """The flag that makes the congestion window smaller, once per window of data."""
        # RFC 3168 §6.1.2: one reduction for the losses and CE marks of one window.
        flags = REDUCE if flight.una >= self.cwr_until else 0
        # ECN-Echo does not reduce again for the same window.
        self.cwr_until = flight.nxt
        return flags
