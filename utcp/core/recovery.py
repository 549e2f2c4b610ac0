"""Recovery of one connection: what loss detection finds is done to window, timers and RTT.

`loss` says what happened, and this is who acts on it: it reduces the congestion window or takes
that back, lets `prr` lead it through fast recovery, and sets the timers of RACK-TLP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import loss, probing, timers
from utcp.core.cc.base import CongestionControl
from utcp.core.frto import SEND_NEW, SENT_NEW
from utcp.core.prr import Prr
from utcp.core.seq import MASK32
from utcp.core.timers import NEVER
from utcp.core.tlp import pto_ns

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_MS: Final = 1_000_000


def note_echo(conn: Connection, now: int, ts_ecr: int) -> None:
    """Put into the sample what tells retransmissions from what was sent before them."""
    sample = conn.snd.sample
    sample.min_rtt_ns = conn.snd.rtt.min_rtt_ns
    if ts_ecr > 0:
        age_ms = (conn.ts_clock(now) - ts_ecr) & MASK32
        sample.echo_ms = max(now // _MS - age_ms, 0)
    else:
        # As in Linux an echo of 0 is none: some send it to mean that.
        sample.echo_ms = -1


def on_ack(conn: Connection, now: int, ece: bool) -> None:
    """Round-trip time, then loss detection, then the congestion window."""
    snd = conn.snd
    sample = snd.sample
    rtt_ns = sample.rtt_ns
    if rtt_ns < 0 and snd.rtt.backoffs:
        rtt_ns = _second_rtt_ns(conn, now)
    if rtt_ns >= 0 and snd.rtt.update(rtt_ns, now):
        snd.pacer.on_rtt(snd.rtt.min_rtt_ns)
    if conn.pmtu.probed:
        probing.on_ack(conn, now)
    flags = snd.loss.on_ack(snd.flight, sample, snd.rtt, snd.mss, conn.sack_ok)
    if flags:
        _react(conn, now, flags, ece)
    if ece and conn.ecn_ok:
        sample.ece = True
        if snd.loss.on_ece(snd.snd_una, snd.snd_nxt):
            # RFC 3168 §6.1.2: react once for a window of data.
            snd.cwr_pending = True
            if snd.cc.cwnd <= snd.mss:
                # RFC 3168 §6.1.2: the window cannot get smaller, so the time-out is waited for.
                snd.hold_until = now + snd.rtt.rto_ns
            snd.cc.on_ecn(now, snd.snd_nxt - snd.snd_una + sample.acked)
    sample.una = snd.snd_una
    sample.snd_nxt = snd.snd_nxt
    sample.srtt_ns = snd.rtt.srtt_ns
    snd.cc.on_ack(sample)


def _second_rtt_ns(conn: Connection, now: int) -> int:
    """The round-trip time of what was sent again after a time-out, if the ACK is of that; or -1.

    RFC 6298 §3: with timestamps there is no ambiguity. RFC 7323 §4.1 leaves it to us to take such a
    sample. It is coarse, so it is taken only where nothing else would end the backoff: after an
    outage all that is in flight was sent before, and each loss more among it would cost minutes.
    """
    snd = conn.snd
    sample = snd.sample
    if not sample.acked or snd.snd_una - sample.acked >= snd.flight.repeated_below:
        return -1
    if not 0 <= snd.flight.first_resent_at // _MS <= sample.echo_ms:
        return -1
    rtt_ns = now - sample.echo_ms * _MS
    # Of an earlier one than the last, whose ACKs were lost: the time since then is no round trip.
    return rtt_ns if rtt_ns < snd.rtt.rto_ns >> 1 else -1


def reorder_timeout(conn: Connection, now: int) -> None:
    """The reordering timer has expired: what was late is lost (RFC 8985 §6.2 step 5)."""
    snd = conn.snd
    conn.timers[timers.REORDER] = NEVER
    if snd.snd_nxt == snd.snd_una:
        return
    if conn.pmtu.probed:
        probing.on_reorder_timeout(conn, now)
    snd.sample.reset(now)
    # As in Linux: no ACK clocks out what was found lost by the clock, so one segment may go.
    snd.sample.delivered = snd.mss
    flags = snd.loss.on_reorder_timeout(snd.flight, snd.rtt, now, snd.mss)
    _react(conn, now, flags, False)


def arm_probe(conn: Connection, now: int) -> None:
    """Set the timer of the tail loss probe (RFC 8985 §7.2)."""
    snd = conn.snd
    one_segment = snd.snd_nxt - snd.snd_una <= snd.mss
    # What we let a peer wait is the best guess of what it lets us wait.
    due = now + pto_ns(snd.rtt.srtt_ns, one_segment, conn.acks.most_ns)
    at = conn.timers
    rto = at[timers.RTO]
    if rto < due:
        due = rto
    at[timers.PTO] = due
    if due < conn.heap_at and not conn.queued:
        conn.touch()


def probe_timeout(conn: Connection, now: int) -> None:
    """No ACK came for a probe time-out: send a probe, if one may be sent (RFC 8985 §7.3)."""
    snd = conn.snd
    at = conn.timers
    at[timers.PTO] = NEVER
    # RFC 8985 §7.2: not in recovery, nor with anything SACKed; the reordering timer runs then.
    # A window that is shut is probed in its own way.
    if (
        snd.snd_nxt == snd.snd_una
        or not snd.loss.may_probe
        or snd.flight.sacked_bytes
        or snd.flight.lost_bytes
        or snd.snd_wnd == 0
    ):
        return
    snd.tail_probe_due = True
    # RFC 8985 §7.3: rearm the RTO timer to fire at now + RTO.
    at[timers.RTO] = now + snd.rtt.rto_ns


def prefers_new(conn: Connection) -> bool:
    """Whether F-RTO wants new data to be sent now instead of what is taken for lost."""
    snd = conn.snd
    frto = snd.loss.frto
    if frto.state < SEND_NEW:
        return False
    if frto.state == SEND_NEW:
        nxt = snd.snd_nxt
        if (
            snd.cc.cwnd - snd.flight.pipe < snd.mss
            or not snd.pending()
            or nxt >= snd.snd_una + snd.snd_wnd
            or (nxt < snd.buffer.end and snd.new_data_end(snd.mss) == nxt)
        ):
            # RFC 5682 §2.1 and §3.1 step 2b: without new data, or if it may not leave because of
            # its size (RFC 9293 §3.7.4, §3.8.6.2.1), conventional recovery.
            frto.stop()
            return False
        frto.sent_new()
    return frto.state == SENT_NEW


def _react(conn: Connection, now: int, flags: int, ece: bool) -> None:
    """Do what the flags of the loss detector ask for."""
    snd = conn.snd
    cc = snd.cc
    conn.timers[timers.REORDER] = snd.loss.reorder_at
    if snd.loss.reorder_at < conn.heap_at:
        conn.touch()
    if flags & loss.UNDONE:
        snd.prr = None
        if flags & loss.UNDO_REDUCTION and not ece:
            _undo(conn)
    elif flags & loss.EXITED_RECOVERY:
        _leave(conn, now)
    if flags & loss.REDUCE:
        # RFC 3168 §6.1.2: CWR tells of any reduction, whatever caused it.
        snd.cwr_pending = conn.ecn_ok
        cc.save()
        cc.on_loss(now, snd.snd_nxt - snd.snd_una + snd.sample.acked)
    if flags & loss.ADAPT_RTO:
        snd.rtt.after_spurious_timeout(snd.loss.undo.srtt_prev_ns, snd.loss.undo.rttvar_prev_ns)
    if snd.loss.state == loss.RECOVERY:
        _proportional(conn, cc, bool(flags & loss.ENTERED_RECOVERY))


def _proportional(conn: Connection, cc: CongestionControl, entered: bool) -> None:
    """Let PRR set the congestion window (RFC 9937)."""
    snd = conn.snd
    flight = snd.flight
    sample = snd.sample
    prr = snd.prr
    if entered:
        # RFC 9937 §6.1: RecoverFS, as it was before the ACK that begins recovery.
        outstanding = snd.snd_nxt - snd.snd_una - flight.sacked_bytes - flight.dup_bytes
        recover_fs = outstanding + sample.delivered
        prr = snd.prr = Prr(recover_fs, cc.ssthresh, conn.bytes_sent, conn.sack_ok)
    elif prr is None or (not sample.delivered and not sample.lost):
        # RFC 9937 §6.2: if DeliveredData is 0, return. (But what is found lost now makes room in
        # the window as it is, and may not be sent again at once either.)
        return
    safe = sample.acked > 0 and not sample.lost
    cc.cwnd = prr.cwnd(sample.delivered, safe, flight.pipe, snd.mss, conn.bytes_sent)


def _leave(conn: Connection, now: int) -> None:
    """Fast recovery is over."""
    snd = conn.snd
    if snd.prr is not None:
        snd.prr = None
        # RFC 9937 §6.4: upon exiting recovery the target is reached, whatever was sent.
        snd.cc.cwnd = max(snd.cc.ssthresh, snd.mss)
    snd.cc.on_recovery_exit(now)


def _undo(conn: Connection) -> None:
    """Take the reduction back, but let no burst out at once."""
    snd = conn.snd
    cc = snd.cc
    reduced = cc.cwnd
    cc.undo()
    # RFC 4015 §3.1 step (9): cwnd <- FlightSize + min (bytes_acked, IW), and slow start from
    # there on. Fast recovery has not stopped the flow of ACKs, and is no matter of that RFC; a
    # burst as large as IW is accepted there, too.
    most = cc.initial_cwnd
    if snd.loss.undo.timeout:
        most = min(snd.sample.acked, most)
    cc.cwnd = max(min(cc.cwnd, snd.snd_nxt - snd.snd_una + most), reduced)
    # The peer need not hear of a reduction that was none (as in Linux).
    snd.cwr_pending = False


def count_again(conn: Connection, segments: int, payload: int) -> None:
    """Count what of a burst that goes out went out before."""
    conn.total_retrans += segments
    conn.bytes_retrans += payload
    conn.counters.retransmitted_segments += segments
