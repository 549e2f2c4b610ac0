"""RACK: what was sent before something that has arrived is lost, unless it may just be late.

RFC 8985 §5 and §6; only for peers that send SACKs. It judges by send times, so it needs no count
of duplicates, finds lost retransmissions like any other loss, and waits a little, `reo_wnd`, where
the network reorders. What was sent when is known to the flight, which also does the marking.

An ACK that moves SND.UNA over data sent once, with nothing SACKed above, changes nothing here:
what it covers was sent before everything that is still in flight. So for ordinary ACKs nobody
calls `update`.
"""

from __future__ import annotations

from typing import Final

from utcp.core.flight import Flight
from utcp.core.rtt import RttEstimator
from utcp.core.sample import AckSample

_PERSIST_RECOVERIES: Final = 16


class Rack:
    """RACK's variables for one connection (RFC 8985 §5.3). Times in nanoseconds.

    RACK.reordering_seen is kept in the flight, where it is noticed; RACK.min_RTT in the RTT
    estimator; RACK.fack and RACK.segs_sacked are read off the scoreboard.
    """

    __slots__ = (
        "_dsack_round",
        "_reo_wnd_persist",
        "end_seq",
        "reo_wnd_mult",
        "rtt_ns",
        "xmit_ts",
    )

    def __init__(self) -> None:
        # RACK.segment: of all that has arrived, what was sent last; -1 if nothing has yet.
        self.xmit_ts = -1
        self.end_seq = -1
        self.rtt_ns = 0
        self.reo_wnd_mult = 1
        self._reo_wnd_persist = 0
        self._dsack_round = -1

    def update(self, sample: AckSample) -> None:
        """Take what has arrived: RACK_update()."""
        sent_at = sample.newest_at
        if sent_at < 0:
            return
        # RFC 8985 §6.2 step 2
        self.rtt_ns = sample.now - sent_at
        if sent_at > self.xmit_ts or (sent_at == self.xmit_ts and sample.newest_end > self.end_seq):
            self.xmit_ts = sent_at
            self.end_seq = sample.newest_end

    def on_dsack(self, una: int, nxt: int) -> None:
        """Something had been retransmitted for nothing: be more patient."""
        # RFC 8985 §6.2 step 4: grow the reordering window per round that sees DSACK.
        if self._dsack_round < 0 or una >= self._dsack_round:
            self._dsack_round = nxt
            self.reo_wnd_mult += 1
            self._reo_wnd_persist = _PERSIST_RECOVERIES

    def on_recovery_exit(self) -> None:
        """A recovery is over: forget the patience after 16 that needed none."""
        # RFC 8985 §6.2 step 4: reset the window after 16 DSACK-free recoveries.
        self._reo_wnd_persist -= 1
        if self._reo_wnd_persist <= 0:
            self.reo_wnd_mult = 1

    def reo_wnd_ns(self, rtt: RttEstimator, reordering_seen: bool, certain: bool) -> int:
        """How much later than expected something may arrive; `certain`: recovery goes on already,
        or as many segments as DupThresh were SACKed."""
        # RFC 8985 §6.2 step 4: RACK_update_reo_wnd()
        if certain and not reordering_seen:
            return 0
        return min(self.reo_wnd_mult * rtt.min_rtt_ns // 4, rtt.srtt_ns)

    def detect(self, flight: Flight, now: int, reo_wnd_ns: int) -> int:
        """Mark in the flight what is lost, and return its bytes: RACK_detect_loss()."""
        # RFC 8985 §6.2 step 5
        return flight.mark_sent_before(self.xmit_ts, self.end_seq, now - self.rtt_ns - reo_wnd_ns)

    def due_at(self, flight: Flight, reo_wnd_ns: int) -> int:
        """When what `detect` has spared will be lost, -1 if it has spared nothing.

        This is when the first of it will be, where RFC 8985 waits for the last: so no loss waits
        for another one, and each expiry of the timer finds at least one.
        """
        return flight.pending_at + self.rtt_ns + reo_wnd_ns if flight.pending_at >= 0 else -1
