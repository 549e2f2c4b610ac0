"""Time-outs (RFC 9293 §3.10.8): what happens when a deadline of a connection has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import loss, probing, recovery, teardown, timers
from utcp.core.events import OLD_CONNECTION, PORT_UNREACHABLE, RETRANSMISSIONS
from utcp.core.state import FIN_WAIT_2, SYN_RECEIVED, SYN_SENT, Reason
from utcp.core.timers import NEVER

if TYPE_CHECKING:
    from utcp.core.connection import Connection

# Soft errors that do not come from ICMP, and "" for none at all.
_NOT_ICMP: Final = frozenset(("", RETRANSMISSIONS, OLD_CONNECTION))


def handle(conn: Connection, now: int) -> None:
    """Do what is due at `now`; nothing, if nothing is."""
    conn.calm = False
    at = conn.timers
    if at[timers.DELAYED_ACK] <= now:
        at[timers.DELAYED_ACK] = NEVER
        conn.rcv.ack_now = True
        conn.acks.expired()
    if at[timers.PACE] <= now:
        at[timers.PACE] = NEVER
    if at[timers.CORK] <= now:
        at[timers.CORK] = NEVER
        conn.snd.override = conn.snd.cork
    if at[timers.USER] <= now and _user_timeout(conn, now):
        return
    if at[timers.REORDER] <= now:
        recovery.reorder_timeout(conn, now)
    if at[timers.PTO] <= now:
        recovery.probe_timeout(conn, now)
    if at[timers.RTO] <= now:
        at[timers.RTO] = NEVER
        _retransmission_timeout(conn, now)
    if at[timers.PERSIST] <= now:
        at[timers.PERSIST] = NEVER
        _persist_timeout(conn)
    if at[timers.KEEPALIVE] <= now:
        at[timers.KEEPALIVE] = NEVER
        _keepalive_timeout(conn, now)
    if at[timers.FIN_WAIT2] <= now:
        at[timers.FIN_WAIT2] = NEVER
        if conn.state is FIN_WAIT_2:
            # The peer never sent its FIN: forget the orphan, as Linux does.
            teardown.finish(conn, Reason.CLOSED)
    conn.touch()


def postpone(conn: Connection, now: int) -> None:
    """The ACK that the retransmission timers wait for may have come: let them wait for longer, but
    for no more than as long again."""
    at = conn.timers
    rto_ns = conn.snd.rtt.rto_ns
    latest = conn.snd.progress_at + 2 * rto_ns
    if now < latest:
        for timer in (timers.RTO, timers.PTO):
            if at[timer] <= now:
                at[timer] = min(now + (rto_ns >> 1), latest)


def _user_timeout(conn: Connection, now: int) -> bool:
    """RFC 9293 §3.10.8, USER TIMEOUT. True if the connection is over."""
    at = conn.timers
    at[timers.USER] = NEVER
    snd = conn.snd
    if not conn.user_timeout_ns or not (snd.snd_nxt > snd.snd_una or snd.pending()):
        return False
    due = snd.progress_at + conn.user_timeout_ns
    if due > now:
        at[timers.USER] = due
        return False
    teardown.abort(conn, Reason.TIMED_OUT)
    return True


def _retransmission_timeout(conn: Connection, now: int) -> None:
    """RFC 9293 §3.10.8, RETRANSMISSION TIMEOUT; RFC 6298 §5 (5.4) to (5.7)."""
    snd = conn.snd
    flight = snd.flight
    if snd.snd_nxt == snd.snd_una:
        return
    if now < conn.timers[timers.REORDER] < NEVER:
        # RFC 8985 §8: one of these timers at a time; what is just late will be told first.
        conn.timers[timers.RTO] = conn.timers[timers.REORDER] + snd.rtt.rto_ns
        return
    if _given_up(conn):
        return
    snd.retries += 1
    synchronized = snd.snd_una != snd.iss
    if not synchronized and conn.passive and conn.agenda.crowded():
        # RFC 4987 §2.3: in a flood of SYNs it is as likely that nobody has asked for this. Whoever
        # has sends the SYN again, and that is answered.
        snd.rtt.backoff()
        conn.timers[timers.RTO] = now + snd.rtt.rto_ns
        return
    conn.agenda.memory.note(conn)
    if synchronized and snd.snd_wnd == 0:
        # RFC 9293 §3.8.6 (MUST-35): the window shrank to zero over what is in flight, or a probe
        # was not answered by a window. That is no loss: probe again.
        snd.probe_due = True
        return
    snd.rtt.backoff()
    if synchronized and conn.config.mtu_probing:
        probing.on_timeout(conn, now)
    conn.counters.timeouts += 1
    conn.timers[timers.RTO] = now + snd.rtt.rto_ns
    conn.timers[timers.PTO] = conn.timers[timers.REORDER] = NEVER
    snd.tail_probe_due = False
    flags = snd.loss.on_rto(flight, snd.rtt, now, snd.mss, conn.sack_ok and synchronized)
    if synchronized:
        if snd.prr is not None:
            # What PRR lets go at a time says nothing of what the network carries.
            snd.cc.cwnd = max(snd.cc.cwnd, snd.cc.ssthresh)
            snd.prr = None
        if flags & loss.REDUCE:
            snd.cc.save()
        # RFC 3168 §6.1.2: CWR tells of any reduction.
        snd.cwr_pending = conn.ecn_ok
        snd.cc.on_rto(now, snd.snd_nxt - snd.snd_una, bool(flags & loss.FIRST_TIMEOUT))
    if snd.retries == conn.config.retries1:
        # RFC 9293 §3.8.3 (b), (e) (MUST-20, MUST-22, SHLD-9): R1 is reached.
        conn.advise(conn.soft_error or RETRANSMISSIONS)


def _given_up(conn: Connection) -> bool:
    """RFC 9293 §3.8.3 (c): has R2 been reached? Then the connection ends here."""
    config = conn.config
    retries = conn.snd.retries
    if conn.state is SYN_SENT:
        limit = config.syn_retries
    elif conn.state is SYN_RECEIVED:
        limit = config.synack_retries if conn.passive else config.syn_retries
    elif conn.orphan:
        limit = min(config.orphan_retries, config.retries2)
        if conn.snd.snd_wnd == 0:
            # The peer may still come to read. Nobody but us waits for that: MUST-37 would keep the
            # connection for as long as it answers probes.
            limit += limit >> 1
    else:
        limit = config.retries2
    if retries < limit:
        return False
    if conn.state is SYN_SENT and conn.soft_error not in _NOT_ICMP:
        refused = conn.soft_error == PORT_UNREACHABLE  # to the end; see Config.icmp_refuses
        teardown.finish(conn, Reason.REFUSED if refused else Reason.UNREACHABLE)
    elif conn.orphan and conn.snd.snd_wnd == 0:
        teardown.abort(conn, Reason.TIMED_OUT)
    else:
        teardown.finish(conn, Reason.TIMED_OUT)
    return True


def _persist_timeout(conn: Connection) -> None:
    """RFC 9293 §3.8.6.1 and §3.8.6.2.1 rule (4): nothing in flight, and the window too small."""
    snd = conn.snd
    if snd.snd_nxt > snd.snd_una or not snd.pending():
        return
    conn.agenda.memory.note(conn)
    if snd.snd_wnd > 0:
        snd.override = True
    else:
        snd.probe_due = True


def _keepalive_timeout(conn: Connection, now: int) -> None:
    """RFC 9293 §3.8.4: only while nothing is outstanding (MUST-26)."""
    snd = conn.snd
    if not conn.keepalive:
        return
    if snd.snd_nxt > snd.snd_una or snd.pending():
        conn.timers[timers.KEEPALIVE] = now + conn.keepalive_idle_ns
        return
    idle_until = conn.last_heard_at + conn.keepalive_idle_ns
    if now < idle_until:
        conn.timers[timers.KEEPALIVE] = idle_until
        return
    # RFC 9293 §3.8.4 (MUST-29): one unanswered probe says nothing.
    if conn.keepalive_probes >= conn.keepalive_count:
        teardown.abort(conn, Reason.TIMED_OUT)
        return
    conn.keepalive_probes += 1
    conn.keepalive_due = True
    conn.timers[timers.KEEPALIVE] = now + conn.keepalive_interval_ns
