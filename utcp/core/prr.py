"""PRR: how much may be sent while the congestion window shrinks (RFC 9937).

Instead of falling silent until half a window of ACKs has passed, the sender answers what arrives
in the proportion in which the window is to shrink. If losses have made the flight smaller than
the target already, it sends what was delivered, and one segment more as long as recovery makes
good progress.
"""

from __future__ import annotations

from typing import Final

_UNBOUNDED: Final = 1 << 62


class Prr:
    """The state of one fast recovery. Sizes in bytes.

    What was sent is told as the connection's running total, so that sending costs nothing here.
    """

    __slots__ = ("_delivered", "_most", "_recover_fs", "_sent_before", "_ssthresh")

    def __init__(self, recover_fs: int, ssthresh: int, sent: int, sack: bool = True) -> None:
        """Fast recovery begins, and is to end with a window of `ssthresh`.

        `recover_fs` is all that recovery will hear the delivery of, or the loss: what is
        outstanding and not SACKed, as it was before this ACK; `sent` the running total; `sack`:
        the peer tells what was delivered, instead of leaving it to be guessed.
        """
        # RFC 9937 §6.1
        self._delivered = 0
        self._recover_fs = max(recover_fs, 1)
        # RFC 9937 §6.2: without SACK no more is believed to be delivered than was outstanding,
        # however many duplicate ACKs come.
        self._most = _UNBOUNDED if sack else self._recover_fs
        self._sent_before = sent
        self._ssthresh = ssthresh

    def cwnd(self, delivered: int, safe: bool, pipe: int, mss: int, sent: int) -> int:
        """The congestion window after an ACK that told of `delivered` bytes.

        `safe`: it advanced SND.UNA and brought no new loss. `pipe` is what is in the network now.
        """
        # RFC 9937 §6.2: on every ACK starting or during fast recovery
        delivered = min(delivered, self._most - self._delivered)
        self._delivered += delivered
        prr_out = sent - self._sent_before
        if pipe > self._ssthresh:
            sndcnt = -(-self._delivered * self._ssthresh // self._recover_fs) - prr_out
        else:
            # PRR-CRB; PRR-SSRB, one segment more, when recovery is in good progress.
            sndcnt = max(self._delivered - prr_out, delivered)
            if safe:
                sndcnt += mss
            sndcnt = min(self._ssthresh - pipe, sndcnt)
        if not prr_out:
            # Force a fast retransmit upon entering recovery. (Less than a segment is none.)
            sndcnt = max(sndcnt, mss)
        return max(pipe + max(sndcnt, 0), mss)
