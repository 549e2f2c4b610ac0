"""The send side: SND.* variables and the decision what may be sent next.

Sequence numbers are unwrapped (`seq`). `snd_una <= snd_nxt`, and what lies between them is in the
flight. `buffer.start == max(snd_una, iss + 1)` and `buffer.end` is where the FIN goes.
"""

from __future__ import annotations

from typing import Final

from utcp.core.cc.base import CongestionControl
from utcp.core.flight import Flight
from utcp.core.loss import LossDetector
from utcp.core.pacer import Pacer
from utcp.core.pmtu import MIN_MSS
from utcp.core.prr import Prr
from utcp.core.rtt import RttEstimator
from utcp.core.sample import AckSample
from utcp.core.segment import TIMESTAMPS_SIZE
from utcp.core.send_buffer import SendBuffer
from utcp.core.timers import NEVER

# What was cut before path MTU discovery found out that segments may be much larger has this size.
_LARGE_MSS: Final = 1448


class Sender:
    """What one connection knows about the bytes that go out."""

    __slots__ = (
        "buffer",
        "cc",
        "cork",
        "cwnd_limited",
        "cwr_pending",
        "fin_queued",
        "flight",
        "hold_until",
        "iss",
        "last_sent_at",
        "loss",
        "max_snd_wnd",
        "mss",
        "nodelay",
        "override",
        "pacer",
        "path_mss",
        "peer_mss",
        "probe_due",
        "probe_unarmed",
        "probes",
        "progress_at",
        "prr",
        "retries",
        "rtt",
        "sample",
        "small_end",
        "smss",
        "snd_nxt",
        "snd_una",
        "snd_wl1",
        "snd_wl2",
        "snd_wnd",
        "snd_wscale",
        "tail_probe_due",
    )

    def __init__(
        self,
        iss: int,
        path_mss: int,
        rtt: RttEstimator,
        cc: CongestionControl,
        sample: AckSample,
        nodelay: bool,
        pacing: bool = False,
    ) -> None:
        self.iss = iss
        self.snd_una = iss
        self.snd_nxt = iss
        self.snd_wnd = 0
        self.snd_wl1 = 0
        self.snd_wl2 = 0
        self.max_snd_wnd = 0
        self.snd_wscale = 0
        self.path_mss = path_mss  # what the path takes, header and options not counted
        self.peer_mss = path_mss  # what the peer takes
        self.smss = path_mss  # the lesser of both: Eff.snd.MSS before options
        self.mss = path_mss  # payload of a full segment: SMSS of RFC 5681
        self.buffer = SendBuffer(iss + 1)
        self.flight = Flight(iss)
        self.loss = LossDetector(iss)
        self.prr: Prr | None = None  # while fast recovery goes on
        self.rtt = rtt
        self.cc = cc
        self.sample = sample
        self.pacer = Pacer(pacing)
        self.nodelay = nodelay
        self.cork = False  # only full segments, for a while
        self.small_end = iss  # where the last segment ended that was not full
        self.fin_queued = False
        self.override = False  # the silly-window override timer, or that of cork, has expired
        self.probe_due = False  # a zero-window probe is to be sent
        self.probe_unarmed = False  # the probe time-out is to be set anew, when all has left
        self.tail_probe_due = False  # a tail loss probe is to be sent (RFC 8985 §7.3)
        self.probes = 0  # sent since the window shut
        self.retries = 0  # consecutive time-outs without an answer
        self.progress_at = NEVER  # since when the oldest byte in flight waits
        self.last_sent_at = NEVER
        self.hold_until = 0  # no new data before that, because of congestion marks
        self.cwnd_limited = False
        self.cwr_pending = False

    def set_mss(self, timestamps: bool) -> None:
        """Work out the effective send MSS (RFC 9293 §3.7.1, MUST-16)."""
        options = TIMESTAMPS_SIZE if timestamps else 0
        mss = (self.path_mss if self.path_mss < self.peer_mss else self.peer_mss) - options
        self.mss = max(mss, MIN_MSS)
        self.smss = self.mss + options
        if self.mss != self.cc.mss:
            self.cc.set_mss(self.mss)
        self.flight.least_piece = min(self.mss, _LARGE_MSS) >> 1

    def set_nodelay(self, nodelay: bool) -> None:
        """Turn the Nagle algorithm off, or on (RFC 9293 §3.7.4)."""
        self.nodelay = nodelay
        if nodelay and self.cork and self.pending():
            # As in Linux: what waits goes, and the cork stays.
            self.override = True

    def update_window(self, seq: int, ack: int, wnd: int) -> None:
        """RFC 9293 §3.10.7.4 step 5: take over the window unless the segment is an old one."""
        if self.snd_wl1 < seq or (self.snd_wl1 == seq and self.snd_wl2 <= ack):
            self.snd_wnd = wnd
            self.snd_wl1 = seq
            self.snd_wl2 = ack
            if wnd > self.max_snd_wnd:
                self.max_snd_wnd = wnd

    def probe_interval_ns(self, longest_ns: int) -> int:
        """How long to wait before the next zero-window probe.

        RFC 9293 §3.8.6.1 (SHLD-29, SHLD-30): the retransmission time-out, doubled each time.
        """
        return min(self.rtt.rto_ns << min(self.probes, 30), longest_ns)

    def fin_acked(self) -> bool:
        """Whether our FIN, and so everything, has been acknowledged."""
        return self.fin_queued and self.snd_una > self.buffer.end

    def unsent(self) -> int:
        """Bytes written and never sent."""
        return max(0, self.buffer.end - max(self.snd_nxt, self.buffer.start))

    def pending(self) -> bool:
        """Whether data or a FIN waits to be sent for the first time."""
        end = self.buffer.end
        return self.snd_nxt < end or (self.fin_queued and self.snd_nxt == end)

    def new_data_end(self, size: int) -> int:
        """How far new data may be sent now, from `snd_nxt`: at most by the windows, and by
        rules against small segments. `size` is the payload of a full segment just now.

        Returns an end not above `buffer.end`; `snd_nxt` if nothing may go. Sets `cwnd_limited`
        if the congestion window holds data back, or has no room for another segment.
        """
        nxt = self.snd_nxt
        queued = self.buffer.end - nxt
        usable = self.snd_una + self.snd_wnd - nxt
        allowed = queued if queued < usable else usable
        if allowed <= 0:
            return nxt
        room = self.cc.cwnd - self.flight.pipe
        if allowed > room:
            # The congestion window lets whole segments go; it opens again with the next ACK.
            self.cwnd_limited = True
            return nxt + room - room % size if room > 0 else nxt
        self.cwnd_limited = room - allowed < size
        # RFC 9293 §3.8.6.2.1 (MUST-38) rule (1): whole segments always go.
        tail = allowed % size
        if tail and not self._tail_may_go(tail, allowed == queued):
            return nxt + allowed - tail
        return nxt + allowed

    def _tail_may_go(self, tail: int, last: bool) -> bool:
        """Whether a segment that is not full may go; `last`: it is all that is left.

        RFC 9293 §3.8.6.2.1 rules (2) to (4): everything written counts as pushed. The bracketed
        condition is Nagle's (§3.7.4, SHLD-7, MUST-17), in the variation of Appendix A.3 that
        Linux uses: what must have been acknowledged is not all data, only the last small segment.
        """
        if self.override:
            return True
        if self.cork and not self.fin_queued:
            return False
        if self.nodelay or self.fin_queued or self.small_end <= self.snd_una:
            return last or tail >= self.max_snd_wnd >> 1
        return False
