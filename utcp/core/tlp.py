"""TLP: a probe for the tail of a flight, whose loss nothing behind it would show.

RFC 8985 §7; only for peers that send SACKs. If no ACK comes for two round trips, one segment more
is sent. Its ACK, or SACK, lets RACK find what is missing before it.
"""

from __future__ import annotations

from typing import Final

from utcp.core.sample import AckSample

_SLACK_NS: Final = 10_000_000


def pto_ns(srtt_ns: int, one_segment: bool, max_ack_delay_ns: int) -> int:
    """The probe time-out: TLP_calc_PTO(), for a connection that has an RTT sample."""
    # RFC 8985 §7.2. The slack is not in it: as Linux, which adds two ticks of its clock, we do not
    # take the scheduling delays of two hosts for loss where the round trip is far below them.
    pto = 2 * srtt_ns + _SLACK_NS
    return pto + max_ack_delay_ns if one_segment else pto


class TailProbe:
    """The probe of one connection, if there is one in flight."""

    __slots__ = ("_rtt_taken", "end_seq", "is_retrans")

    def __init__(self) -> None:
        # RFC 8985 §5.3: SND.NXT when the probe was sent; -1 if none is in flight.
        self.end_seq = -1
        self.is_retrans = False
        self._rtt_taken = True

    @property
    def ready(self) -> bool:
        """Whether a probe may be sent."""
        # RFC 8985 §7.3: no other is in flight, and there was an RTT sample since the last one.
        return self.end_seq < 0 and self._rtt_taken

    def await_rtt(self) -> None:
        """No probe before there is an RTT sample."""
        self._rtt_taken = False

    def sent(self, nxt: int, is_retrans: bool) -> None:
        """A probe went out; `nxt` is SND.NXT after it."""
        self.end_seq = nxt
        self.is_retrans = is_retrans
        self._rtt_taken = False

    def reset(self) -> None:
        """The probe does not matter any more: RFC 8985 §7.1, TLP_init()."""
        self.end_seq = -1
        self.is_retrans = False

    def on_ack(self, una: int, sample: AckSample, sacked: bool) -> bool:
        """Process an ACK: TLP_process_ack(). Returns whether the probe has repaired a loss, which
        congestion control has to hear of. `sacked`: something is SACKed above `una`."""
        if sample.rtt_ns >= 0:
            self._rtt_taken = True
        end_seq = self.end_seq
        if end_seq < 0 or una < end_seq:
            return False
        # RFC 8985 §7.4.2. A FIN is in `end_seq`, but no receiver reports it in a DSACK.
        if not self.is_retrans or (sample.dsack and end_seq - sample.dsack_end <= 1):
            self.reset()
        elif una > end_seq:
            self.reset()
            return True
        elif sample.duplicate and not sample.dsack and not sacked:
            self.reset()
        return False
