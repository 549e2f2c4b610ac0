"""Undo: did a recovery repair anything? If not, its reduction of the window is taken back.

Two witnesses. Eifel detection (RFC 3522): an ACK echoes a timestamp older than the first
retransmission, so what it covers had only been late. D-SACK (RFC 2883): the peer reports every
byte that was retransmitted as received twice. What follows is RFC 4015, also for fast recovery.
"""

from __future__ import annotations

from typing import Final

from utcp.core.flight import Flight
from utcp.core.rtt import RttEstimator
from utcp.core.sample import AckSample

_MS: Final = 1_000_000


class Undo:
    """What is remembered of one recovery until it can no more prove needless."""

    __slots__ = (
        "_dsack_seen",
        "_dsacked",
        "_patient",
        "_until",
        "adapt_above",
        "marker",
        "reduced",
        "rttvar_prev_ns",
        "srtt_prev_ns",
        "timeout",
    )

    def __init__(self) -> None:
        # SND.UNA when the recovery began; -1: there is none to undo.
        self.marker = -1
        self.reduced = False  # the window was
        self.timeout = False  # it began with a time-out
        self._dsacked = 0
        self._dsack_seen = False
        self._until = -1
        self._patient = False
        # RFC 4015 §3.1 step (11): an RTT sample of data above this one restarts the estimator.
        self.adapt_above = -1
        self.srtt_prev_ns = 0
        self.rttvar_prev_ns = 0

    @property
    def idle(self) -> bool:
        """Whether no ACK can have news for it."""
        return self.marker < 0 and self.adapt_above < 0

    def start(self, flight: Flight, reduced: bool, rtt: RttEstimator, timeout: bool) -> None:
        """A recovery begins."""
        flight.forget_resent()
        self.marker = flight.una
        self.reduced = reduced
        self.timeout = timeout
        self._dsacked = 0
        self._until = -1
        self.adapt_above = -1
        # RFC 4015 §3.1 step (0)
        self.srtt_prev_ns = rtt.srtt_ns
        self.rttvar_prev_ns = rtt.rttvar_ns

    def on_dsack(self, sample: AckSample) -> None:
        """Something was received twice."""
        self._dsack_seen = True
        if 0 <= self.marker < sample.dsack_end:
            self._dsacked += sample.dsack

    def ended(self, nxt: int) -> None:
        """The recovery is over; `nxt` is SND.NXT. Late reports may still come."""
        self._until = nxt
        self._patient = True

    def done(self, una: int, nxt: int) -> None:
        """Forget the recovery if all that it sent has been answered; `nxt` is SND.NXT.

        What reorders data reorders retransmissions, so the answers have a round trip to spare.
        """
        if 0 <= self._until < una:
            if self._patient:
                self._patient = False
                self._until = nxt
            else:
                self.marker = self._until = -1

    def by_dsack(self, flight: Flight) -> bool:
        """Whether all that was retransmitted has been received twice."""
        return 0 < flight.resent_total <= self._dsacked

    def by_echo(self, flight: Flight, sample: AckSample) -> bool:
        """Whether this ACK, the timestamp in it, is older than the first retransmission."""
        # RFC 3522 §3.2 steps (4) and (5)
        if not sample.acked or not 0 <= sample.echo_ms < flight.first_resent_at // _MS:
            return False
        return not sample.dsack and (self._dsack_seen or flight.una < flight.nxt)

    def undone(self, nxt: int) -> None:
        """It was needless, and that is settled; `nxt` is SND.NXT."""
        self.marker = self._until = -1
        if self.timeout:
            self.adapt_above = nxt
