"""F-RTO: was a retransmission time-out needless? New data sent after it finds out (RFC 5682).

After a time-out the first segment is retransmitted. When its ACK comes, new data is sent instead
of what is taken for lost. If the next ACK covers data that was not retransmitted, then that was
only late. Needs neither timestamps nor D-SACK; better with SACK (§3) than without (§2).
"""

from __future__ import annotations

from typing import Final

from utcp.core.sample import AckSample

OFF: Final = 0
WAITING: Final = 1  # step 2: for the ACK of the retransmission
SEND_NEW: Final = 2  # step 2b: new data is to be sent
SENT_NEW: Final = 3  # step 3: for the ACK that decides


class Frto:
    """The progress of the algorithm; the sender reads `state` and moves it from SEND_NEW on."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = OFF

    def start(self, in_recovery: bool) -> None:
        """Step 1: the timer has expired."""
        # RFC 5682 §2.1, §3.1 step 1: not if the loss recovery of other data was going on.
        self.state = OFF if in_recovery else WAITING

    def stop(self) -> None:
        """Go on with conventional recovery."""
        self.state = OFF

    def sent_new(self) -> None:
        """New data was sent, as wished."""
        self.state = SENT_NEW

    def on_ack(self, una: int, high_sacked: int, recover: int, resent: int, sample: AckSample,
               sack: bool) -> bool:  # fmt: skip
        """Process an ACK. Returns whether the time-out was needless.

        `recover` is SND.NXT at the time-out, `resent` how many bytes of retransmissions are in the
        network still, `sack`: the peer sends SACKs.
        """
        if not sample.acked and not sample.sacked and not sample.duplicate:
            # Data from the peer, which says nothing of ours.
            return False
        if self.state == SENT_NEW:
            self.state = OFF
            # RFC 5682 §3.1 step 3: a) more than `recover` is covered, so what lies below it and
            # is not must be lost; b) what was sent before the time-out, and only then, arrives.
            # §2.1 step 3 is the same with nothing SACKed.
            return una <= recover and high_sacked <= recover and 0 <= sample.orig < recover
        if self.state == SEND_NEW:
            # It could not be sent before another ACK came.
            self.state = OFF
        elif not sample.acked:
            # RFC 5682 §2.1 step 2a; with SACK (§3.1 step 2) duplicates are only noted.
            if not sack and sample.duplicate:
                self.state = OFF
        elif una >= recover or (not sack and resent):
            # RFC 5682 §2.1 and §3.1 step 2a
            self.state = OFF
        else:
            # RFC 5682 §2.1 and §3.1 step 2b
            self.state = SEND_NEW
        return False
