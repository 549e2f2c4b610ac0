"""What leaves: the next burst of one connection (RFC 9293 §3.10.2, and the sender's side of §3.8).

`poll` decides in this order: the SYN; what is lost; new data and FIN; a bare acknowledgment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import burst, handshake, probing, recovery, timers
from utcp.core.ackdelay import LARGE, NO_TORRENT
from utcp.core.loss import LOSS
from utcp.core.pacer import rate as pacing_rate
from utcp.core.state import CLOSED, FIN_WAIT_2, TIME_WAIT
from utcp.core.timers import NEVER
from utcp.core.transmit import Transmit

if TYPE_CHECKING:
    from utcp.core.connection import Connection

_LEAST_OVERRIDE_NS: Final = 100_000_000
_MOST_OVERRIDE_NS: Final = 1_000_000_000
_CORK_NS: Final = 200_000_000


def poll(conn: Connection, now: int, max_bytes: int, max_segments: int) -> Transmit | None:
    """The next burst of `conn`, at most `max_segments` datagrams of `max_bytes` together.

    Sets `conn.more` to False where it is certain that no other can follow it now.
    """
    conn.more = True
    if conn.state is CLOSED or conn.state is TIME_WAIT:
        return None
    snd = conn.snd
    if snd.snd_una == snd.iss:
        return handshake.poll(conn, now)
    flight = snd.flight
    if flight.lost_bytes:
        start, end = flight.next_lost()
        if start >= 0 and not recovery.prefers_new(conn):
            out = _resend(conn, now, start, end, max_bytes, max_segments)
            if out is not None:
                return out
    if snd.probe_due:
        return _probe_window(conn, now)
    if snd.tail_probe_due:
        snd.tail_probe_due = False
        start, end = _tail(conn)
        if end > start and snd.loss.may_probe:
            snd.loss.probe_sent(max(end, snd.snd_nxt), start < snd.snd_nxt)
            return burst.build(conn, now, start, end, 1, 1)
    nxt = snd.snd_nxt
    if nxt < snd.buffer.end or (snd.fin_queued and nxt == snd.buffer.end):
        conn.calm = False
        end = _new_end(conn, now)
        if end > nxt:
            if snd.pacer.on or now >= conn.pmtu.probe_at:
                return _new_data(conn, now, end, max_bytes, max_segments)
            out = burst.build(conn, now, nxt, end, max_bytes, max_segments)
            # What is left over the windows hold back, and with the ACK nothing is left to say.
            conn.more = snd.snd_nxt < end or snd.cork or conn.keepalive_on or flight.lost_bytes > 0
            return out
        _arm_persist(conn, now)
    out = _acknowledge(conn, now)
    conn.more = conn.keepalive_on or conn.orphan or flight.lost_bytes > 0
    return out


def done(conn: Connection, now: int) -> None:
    """Nothing more leaves for the time being: the probe time-out runs from now on."""
    snd = conn.snd
    if snd.probe_unarmed:
        snd.probe_unarmed = False
        if snd.loss.may_probe and snd.snd_nxt != snd.snd_una:
            recovery.arm_probe(conn, now)


def _resend(
    conn: Connection, now: int, start: int, end: int, max_bytes: int, max_segments: int
) -> Transmit | None:
    """As much of the lost range as may go now, None for nothing."""
    pacer = conn.snd.pacer
    if pacer.on and pacer.next_at > now:
        conn.timers[timers.PACE] = pacer.next_at
        return None
    end = _may_resend(conn, start, end)
    return _paced(conn, now, start, end, max_bytes, max_segments) if end > start else None


def _new_data(
    conn: Connection, now: int, end: int, max_bytes: int, max_segments: int
) -> Transmit | None:
    """New data up to `end`, where pacing or path MTU discovery have a say."""
    snd = conn.snd
    if snd.pacer.on and snd.pacer.next_at > now:
        # An ACK need not wait with it.
        conn.timers[timers.PACE] = snd.pacer.next_at
        return _acknowledge(conn, now)
    if now >= conn.pmtu.probe_at:
        size = probing.payload(conn, now, end)
        if size > 0:
            return burst.build(conn, now, snd.snd_nxt, snd.snd_nxt + size, max_bytes, 1, size)
        if size < 0:
            return _acknowledge(conn, now)
    return _paced(conn, now, snd.snd_nxt, end, max_bytes, max_segments)


def _paced(
    conn: Connection, now: int, start: int, end: int, max_bytes: int, max_segments: int
) -> Transmit:
    """A burst that is not larger than the pacer likes it."""
    snd = conn.snd
    if not snd.pacer.on:
        return burst.build(conn, now, start, end, max_bytes, max_segments)
    control = snd.cc
    # As in Linux: from half of ssthresh on it is no longer slow start that sets the pace.
    slow_start = control.cwnd < control.ssthresh >> 1
    rate = control.pacing_rate or pacing_rate(control.cwnd, _pacing_rtt_ns(conn), slow_start)
    most = snd.pacer.burst(rate, burst.full_size(conn))
    out = burst.build(conn, now, start, min(end, start + most), max_bytes, max_segments)
    snd.pacer.sent(now, len(out), rate)
    return out


def _pacing_rtt_ns(conn: Connection) -> int:
    """The round trip over which to spread the window: what it is now, or soon will be.

    The smoothed one lags behind by some round trips where a queue has emptied after a loss, and
    would keep the rate below what the window allows for as long. After a time-out there is not
    even a sample, for what is sent again gives none; so there the least one has to do.
    """
    rtt = conn.snd.rtt
    if conn.snd.loss.state == LOSS:
        return rtt.min_rtt_ns
    return min(rtt.srtt_ns, rtt.latest_ns)


def _new_end(conn: Connection, now: int) -> int:
    """How far new data and FIN may go now."""
    snd = conn.snd
    if snd.hold_until > now:
        conn.timers[timers.PERSIST] = snd.hold_until
        return snd.snd_nxt
    idle_ns = now - snd.last_sent_at
    if snd.snd_nxt == snd.snd_una and idle_ns > snd.rtt.rto_ns:
        # RFC 5681 §4.1: after more than one RTO of silence the congestion window is stale.
        snd.cc.on_idle(now, idle_ns, snd.rtt.rto_ns)
        # Nothing may leave even now; but this silence has been accounted for.
        snd.last_sent_at = now
    end = snd.snd_nxt
    if end < snd.buffer.end:
        end = snd.new_data_end(burst.full_size(conn))
    if snd.fin_queued and end == snd.buffer.end and end < snd.snd_una + snd.snd_wnd:
        # The FIN has a sequence number, so it needs room in the window as data does.
        end += 1
    return end


def _may_resend(conn: Connection, start: int, end: int) -> int:
    """How much of the lost range may go again now: up to which number, `start` for nothing."""
    snd = conn.snd
    # RFC 9293 §3.8.6 (SHLD-16): only what lies in the window, should that have shrunk.
    end = min(end, snd.snd_una + snd.snd_wnd)
    if start >= end:
        return start
    mss = snd.mss
    room = snd.cc.cwnd - snd.flight.pipe
    if room < end - start:
        snd.cwnd_limited = True
    if room < mss:
        # RFC 5681 §3.2 step 3: the first one goes whatever cwnd says.
        if not snd.loss.must_send and snd.flight.pipe > 0:
            return start
        room = mss
    snd.loss.must_send = 0
    return min(end, start + room - room % mss)


def _tail(conn: Connection) -> tuple[int, int]:
    """What a tail loss probe sends: new data if there is any and the window allows, or else the
    last segment again (RFC 8985 §7.3)."""
    snd = conn.snd
    nxt = snd.snd_nxt
    right = snd.snd_una + snd.snd_wnd
    if snd.pending() and nxt < right:
        size = burst.full_size(conn)
        end = min(nxt + size, snd.buffer.end, right)
        if snd.fin_queued and end == snd.buffer.end and end < right:
            end += 1
        return nxt, end
    start, end = snd.flight.tail(snd.mss, int(snd.fin_queued and nxt > snd.buffer.end))
    return start, min(end, right)


def _probe_window(conn: Connection, now: int) -> Transmit | None:
    """RFC 9293 §3.8.6.1 (MUST-36): one octet beyond the window, old if there is one in flight."""
    snd = conn.snd
    start = snd.snd_una if snd.snd_nxt > snd.snd_una else snd.snd_nxt
    if snd.snd_nxt == snd.snd_una and not snd.pending():
        # It has been acknowledged meanwhile.
        snd.probe_due = False
        return _acknowledge(conn, now)
    out = burst.build(conn, now, start, start + 1, 1, 1)
    snd.probe_due = False
    snd.probes += 1
    conn.timers[timers.RTO] = now + conn.snd.probe_interval_ns(conn.agenda.terms.rto_max_ns)
    return out


def _arm_persist(conn: Connection, now: int) -> None:
    """Something waits, the window does not let it go, and no ACK is on its way to change that."""
    at = conn.timers
    if conn.snd.cork and conn.snd.snd_wnd > 0:
        # What is not a full segment waits for more, but as in Linux not for ever.
        if at[timers.CORK] == NEVER:
            at[timers.CORK] = now + _CORK_NS
        return
    if at[timers.PERSIST] == NEVER and at[timers.RTO] == NEVER:
        interval_ns = conn.snd.probe_interval_ns(conn.agenda.terms.rto_max_ns)
        if conn.snd.snd_wnd > 0:
            # RFC 9293 §3.8.6.2.1: the override timeout is in the range 0.1 to 1.0 seconds.
            interval_ns = min(max(interval_ns, _LEAST_OVERRIDE_NS), _MOST_OVERRIDE_NS)
        at[timers.PERSIST] = now + interval_ns


def _acknowledge(conn: Connection, now: int) -> Transmit | None:
    """A bare ACK if one is due now; else the timer that makes it due."""
    rcv = conn.rcv
    waiting = rcv.rcv_nxt - rcv.last_ack_sent
    wait_ns = NO_TORRENT
    if waiting >= LARGE and not rcv.ack_now:
        wait_ns = conn.acks.torrent(now, rcv.rcv_nxt, waiting, rcv.capacity)
    if wait_ns == 0 or (wait_ns == NO_TORRENT and rcv.ack_due()):
        # Before a probe, whose old number does for nobody who waits for this one.
        return burst.ack(conn, now, conn.snd.snd_nxt)
    if conn.keepalive_due:
        # RFC 9293 §3.8.4 (SHLD-12): SEG.SEQ = SND.NXT-1 and no data.
        conn.keepalive_due = False
        return burst.ack(conn, now, conn.snd.snd_nxt - 1)
    at = conn.timers
    if wait_ns > 0:
        # From the first part on, whatever comes after it.
        at[timers.DELAYED_ACK] = min(at[timers.DELAYED_ACK], now + wait_ns)
    elif waiting and not conn.await_data:
        due_at = _delay_ack(conn, now)
        if due_at <= now:
            return burst.ack(conn, now, conn.snd.snd_nxt)
        at[timers.DELAYED_ACK] = due_at
    if conn.keepalive_on and at[timers.KEEPALIVE] == NEVER:
        # RFC 9293 §3.8.4 (MUST-24): the application has turned it on.
        at[timers.KEEPALIVE] = now + conn.keepalive_idle_ns
    if conn.orphan and conn.state is FIN_WAIT_2 and at[timers.FIN_WAIT2] == NEVER:
        # Nobody reads any more, so the peer's FIN is not waited for without end (as in Linux).
        at[timers.FIN_WAIT2] = now + conn.config.ns("fin_wait2_timeout")
    return None


def _delay_ack(conn: Connection, now: int) -> int:
    """Until when an ACK that is not due waits."""
    due_at = conn.timers[timers.DELAYED_ACK]
    if due_at != NEVER:
        return conn.acks.more(now, conn.rcv.rcv_nxt) or due_at
    rtt = conn.snd.rtt
    return now + conn.acks.arrived(now, conn.rcv.rcv_nxt, rtt.rto_ns, rtt.min_rtt_ns)
