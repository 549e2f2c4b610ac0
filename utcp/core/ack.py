"""The ACK side: what an acknowledgment means for what was sent (RFC 9293 §3.10.7.4 step 5).

One acknowledgment passes through the parts in this order, each adding to the one `AckSample`:
window -> flight (what arrived) -> recovery (RTT, loss, congestion control) -> timers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from utcp.core import recovery, teardown, timers
from utcp.core.seq import unwrap
from utcp.core.timers import NEVER

if TYPE_CHECKING:
    from utcp.core.connection import Connection


def process(
    conn: Connection,
    now: int,
    seq: int,
    ack: int,
    wnd: int,
    length: int,
    ece: bool,
    sack32: list[tuple[int, int]] | None,
    ts_ecr: int = -1,
) -> None:
    """Process an acceptable ACK field: SND.UNA - MAX.SND.WND <= `ack` <= SND.NXT.

    `seq` and `length` are those of the segment that carried it, `wnd` is its window in bytes,
    `sack32` and `ts_ecr` are its SACK blocks and its timestamp echo (-1: none) as on the wire.
    """
    conn.calm = False
    snd = conn.snd
    conn.last_heard_at = now
    conn.keepalive_probes = 0
    una = snd.snd_una
    # RFC 9293 §3.8.3 (MUST-20): R2 counts what is sent again and not acknowledged; but with an
    # application a window may stay shut while its probes are answered (§3.8.6.1, MUST-37).
    if ack > una or (snd.probes and not conn.orphan):
        snd.retries = 0
    own_ack, old_wnd = ack, snd.snd_wnd
    if ack < una:
        # RFC 9293 §3.10.7.4 step 5: an old acknowledgment can be ignored, but not its SACKs.
        if not sack32 or snd.snd_nxt == una:
            return
        ack, wnd = una, old_wnd
    snd.update_window(seq, ack, wnd)
    if snd.snd_wnd != old_wnd:
        _window_changed(conn, now, old_wnd)
    if snd.snd_nxt == una and snd.loss.settled:
        # Nothing is in flight: only the window can have news, and whether anything waits for it.
        if not conn.queued and snd.pending():
            conn.touch()
        return
    flight = snd.flight
    sample = snd.sample
    sample.reset(now)
    sample.cwnd_limited = snd.cwnd_limited
    # RFC 5681 §2: data outstanding, no data, no FIN, ACK equal to the greatest, window the same.
    # The answer to a probe of a shut window is none: it says nothing of a loss.
    sample.duplicate = own_ack == una and not length and snd.snd_wnd == old_wnd and not snd.probes
    if una < flight.repeated_below:
        recovery.note_echo(conn, now, ts_ecr)
    flight.ack(ack, sample)
    if sack32 and conn.sack_ok:
        blocks = [(unwrap(start, ack), unwrap(end, ack)) for start, end in sack32]
        flight.sack(blocks, sample, own_ack)
    if ack > una:
        _advance(conn, now, ack)
    recovery.on_ack(conn, now, ece)
    if not conn.queued and (snd.pending() or flight.lost_bytes):
        conn.touch()
    _rearm(conn, now, ack > una)
    if snd.fin_queued and ack > snd.buffer.end >= una:
        teardown.fin_acked(conn)


def predicted(conn: Connection, now: int, seq: int, ack: int, wnd: int) -> bool:
    """All that `process` does for an ACK above SND.UNA, if `conn.predict`, without SACK and
    ECN-Echo, that finds all as it should be: a window that was not shut, nothing lost, sent again
    or SACKed. False if it is not that simple, and then nothing is done."""
    snd = conn.snd
    flight = snd.flight
    loss = snd.loss
    sample = snd.sample
    if (
        not snd.snd_wnd
        or seq < snd.snd_wl1
        or snd.snd_una < flight.repeated_below
        or loss.state
        or loss.watch
        or conn.pmtu.probed
        or not flight.ack_plain(ack, now, sample)
    ):
        return False
    sample.cwnd_limited = snd.cwnd_limited
    conn.last_heard_at = snd.progress_at = now
    conn.keepalive_probes = snd.retries = loss.dup_acks = 0
    snd.snd_wl1 = seq
    snd.snd_wl2 = snd.snd_una = sample.una = ack
    sample.snd_nxt = nxt = snd.snd_nxt
    moved = wnd != snd.snd_wnd
    if moved:
        snd.snd_wnd = wnd
        if wnd > snd.max_snd_wnd:
            snd.max_snd_wnd = wnd
        elif not wnd:
            conn.calm = False
    snd.buffer.release(ack)
    rtt = snd.rtt
    if rtt.update(sample.rtt_ns, now):
        snd.pacer.on_rtt(rtt.min_rtt_ns)
    sample.srtt_ns = rtt.srtt_ns
    snd.cc.on_ack(sample)
    if conn.writable_level >= 0:
        conn.check_writable()
    if not conn.queued and (moved or snd.buffer.end > nxt):
        conn.touch()
    at = conn.timers
    if ack == nxt:
        # RFC 6298 §5 (5.2): all acknowledged.
        at[timers.RTO] = at[timers.PTO] = at[timers.USER] = NEVER
        snd.cwnd_limited = False
    else:
        # RFC 6298 §5 (5.3)
        at[timers.RTO] = due = now + rtt.rto_ns
        if due < conn.heap_at:
            conn.touch()
        if loss.may_probe:
            _rearm_probe(conn, now)
    return True


def nothing_new(conn: Connection, now: int, seq: int, ack: int) -> None:
    """All that `process` does for a segment of data at `seq` that acknowledges SND.UNA again and
    leaves the window as it is."""
    conn.last_heard_at = now
    conn.keepalive_probes = 0
    snd = conn.snd
    if snd.probes and not conn.orphan:
        # RFC 9293 §3.8.6.1 (MUST-37)
        snd.retries = 0
    if snd.snd_wl1 <= seq:
        snd.snd_wl1 = seq
        snd.snd_wl2 = ack


def _window_changed(conn: Connection, now: int, old_wnd: int) -> None:
    """The peer's window moved. If it was shut, that was what held us back."""
    snd = conn.snd
    if old_wnd == 0 and snd.snd_wnd > 0:
        at = conn.timers
        at[timers.PERSIST] = NEVER
        probes = snd.probes
        snd.probes = 0
        snd.probe_due = False
        if probes and snd.snd_nxt > snd.snd_una:
            # A shut window drops what comes: whatever this ACK does not cover has to go again.
            # The timer has waited for the next probe, which may be minutes away. Before the first
            # one it runs as ever; and a window that opens and shuts with each ACK shall not have
            # everything sent again as often.
            snd.flight.mark_all_lost(forget_sacked=False)
            at[timers.RTO] = now + snd.rtt.rto_ns
    conn.touch()


def _advance(conn: Connection, now: int, ack: int) -> None:
    """SND.UNA moves: free what it passes."""
    snd = conn.snd
    snd.snd_una = ack
    snd.progress_at = now
    end = snd.buffer.end
    snd.buffer.release(ack if ack < end else end)
    if conn.writable_level >= 0:
        conn.check_writable()


def _rearm(conn: Connection, now: int, advanced: bool) -> None:
    """The retransmission timer (RFC 6298 §5)."""
    snd = conn.snd
    at = conn.timers
    if snd.snd_nxt == snd.snd_una:
        # RFC 6298 §5 (5.2): all acknowledged.
        at[timers.RTO] = NEVER
        at[timers.PTO] = NEVER
        at[timers.USER] = NEVER
        snd.cwnd_limited = False
    elif advanced:
        # RFC 6298 §5 (5.3)
        at[timers.RTO] = due = now + snd.rtt.rto_ns
        if due < conn.heap_at:
            # The backoff has ended, and nothing else may have the endpoint look.
            conn.touch()
        if snd.loss.may_probe:
            _rearm_probe(conn, now)


def _rearm_probe(conn: Connection, now: int) -> None:
    """RFC 8985 §7.2: after a cumulative ACK; but what it lets go will set the timer once more."""
    if conn.queued:
        conn.snd.probe_unarmed = True
    else:
        recovery.arm_probe(conn, now)
