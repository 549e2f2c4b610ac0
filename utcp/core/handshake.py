"""Opening a connection: SYN, SYN-ACK, simultaneous open (RFC 9293 §3.5, §3.10.1, §3.10.7.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from utcp.core import events, probing, recovery, segment, teardown, text, timers, tuning
from utcp.core.loss import LossDetector
from utcp.core.segment import ACK, CWR, ECE, RST, SYN, Segment
from utcp.core.seq import unwrap
from utcp.core.state import ESTABLISHED, FIN_WAIT_1, SYN_RECEIVED, SYN_SENT, Reason
from utcp.core.timers import NEVER
from utcp.core.transmit import Transmit

if TYPE_CHECKING:
    from utcp.core.connection import Connection

DEFAULT_MSS_IPV4: Final = 536  # RFC 9293 §3.7.1 (MUST-15)
DEFAULT_MSS_IPV6: Final = 1220
_ECT0: Final = 2  # RFC 3168 §5


def poll(conn: Connection, now: int) -> Transmit | None:
    """The SYN or SYN-ACK, first or again; a bare ACK where one is asked for meanwhile."""
    snd = conn.snd
    lost = snd.flight.lost_bytes > 0 and snd.flight.next_lost()[0] >= 0
    if not conn.syn_due and not lost:
        if conn.rcv.ack_now and conn.state is not SYN_SENT:
            return _challenge(conn, now)
        return None
    conn.syn_due = False
    if snd.snd_nxt > snd.snd_una:
        snd.flight.resent(snd.iss, snd.iss + 1, now)
    else:
        snd.flight.sent(snd.iss, snd.iss + 1, now)
        snd.snd_nxt = snd.iss + 1
        snd.progress_at = now
    at = conn.timers
    if at[timers.RTO] == NEVER:
        at[timers.RTO] = now + snd.rtt.rto_ns
    if conn.user_timeout_ns and at[timers.USER] == NEVER:
        at[timers.USER] = snd.progress_at + conn.user_timeout_ns
    data = _syn(conn, now)
    conn.more = False
    conn.count_out(1)
    if lost:
        recovery.count_again(conn, 1, 0)
    return Transmit(conn.addr, data, len(data), conn.tos)


def _syn(conn: Connection, now: int) -> bytes:
    rcv = conn.rcv
    snd = conn.snd
    # RFC 9293 §3.7.1 (MUST-14, SHLD-5): MSS in every SYN. A SYN offers, a SYN-ACK agrees.
    mss = rcv.adv_mss
    wscale = rcv.rcv_wscale
    if conn.state is SYN_SENT:
        config = conn.config
        if not config.window_scaling:
            wscale = -1
        sack = config.sack
        stamps = config.timestamps
        # RFC 3168 §6.1.1: a SYN offers ECN with both flags; not again once it was lost.
        flags = SYN | ECE | CWR if config.ecn and snd.retries == 0 else SYN
        ack = 0
    else:
        # An answer has no option but those that it answers: so it is never larger than what came,
        # and whoever forges our peer's address gains nothing (RFC 4987 §2.3).
        if not conn.mss_ok:
            mss = -1
        if not conn.wscale_ok:
            wscale = -1
        sack = conn.sack_ok
        stamps = conn.ts_ok
        flags = SYN | ACK | ECE if conn.ecn_ok else SYN | ACK
        rcv.last_ack_sent = ack = rcv.rcv_nxt
        rcv.ack_now = False
    options = segment.syn_options(
        mss, wscale, sack, (conn.ts_clock(now), rcv.ts_recent) if stamps else None
    )
    return segment.build(flags, rcv.syn_window(), snd.iss, ack, options)


def _challenge(conn: Connection, now: int) -> Transmit:
    """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> while our SYN is not yet acknowledged."""
    rcv = conn.rcv
    rcv.ack_now = False
    options = b""
    if conn.ts_ok:
        options = segment.timestamps_option(conn.ts_clock(now), rcv.ts_recent)
    data = segment.build(ACK, rcv.offer_window(), conn.snd.snd_nxt, rcv.rcv_nxt, options)
    conn.count_out(1)
    return Transmit(conn.addr, data, len(data), conn.tos)


def default_mss(ipv6: bool) -> int:
    """The MSS of a peer that does not tell it (RFC 9293 §3.7.1, MUST-15)."""
    return DEFAULT_MSS_IPV6 if ipv6 else DEFAULT_MSS_IPV4


def negotiate(conn: Connection, seg: Segment, now: int) -> None:
    """Take over what the peer's SYN says: IRS, MSS, window scale, SACK, timestamps, ECN."""
    config = conn.config
    snd = conn.snd
    rcv = conn.rcv
    conn.wscale_ok = config.window_scaling and seg.wscale >= 0
    if conn.wscale_ok:
        snd.snd_wscale = seg.wscale
    else:
        # RFC 7323 §2.2: both sides send the option, or neither scales.
        rcv.rcv_wscale = 0
        rcv.limit(0xFFFF)
    conn.sack_ok = config.sack and seg.sack_permitted
    conn.ts_ok = config.timestamps and seg.has_timestamps
    if conn.ts_ok:
        rcv.ts_recent = seg.ts_val
        rcv.ts_recent_at = now
    conn.mss_ok = seg.mss >= 0
    snd.peer_mss = seg.mss if conn.mss_ok else default_mss(conn.ipv6)
    snd.set_mss(conn.ts_ok)
    irs = seg.seq32
    rcv.start(irs)
    # RFC 7323 §2.2: the window of a SYN is not scaled.
    snd.snd_wnd = snd.max_snd_wnd = seg.window
    snd.snd_wl1 = irs


def forget_syn(conn: Connection) -> None:
    """The SYN that crossed ours was not the peer's: wait for its answer again, in SYN-SENT."""
    conn.move(SYN_SENT)
    conn.offer()


def open_passive(conn: Connection, now: int, seg: Segment) -> None:
    """RFC 9293 §3.10.7.2 step 3: a SYN for a listener makes a connection in SYN-RECEIVED."""
    negotiate(conn, seg, now)
    # RFC 3168 §6.1.1: a SYN with both flags offers ECN.
    _agree_on_ecn(conn, seg, ECE | CWR)
    conn.move(SYN_RECEIVED)
    conn.syn_due = True
    conn.touch()


def open_by_cookie(conn: Connection, now: int, syn: Segment) -> None:
    """Our SYN-ACK was a cookie, which the segment that is processed next brings back: the peer's
    SYN was `syn`. The connection enters SYN-RECEIVED, and that segment moves it on."""
    open_passive(conn, now, syn)
    snd = conn.snd
    # When the SYN-ACK left nobody knows. As one that was sent twice it gives no round trip.
    snd.flight.sent(snd.iss, snd.iss + 1, now)
    snd.flight.resent(snd.iss, snd.iss + 1, now)
    snd.snd_nxt = snd.iss + 1
    conn.syn_due = False


def _agree_on_ecn(conn: Connection, seg: Segment, flags: int) -> None:
    """RFC 3168 §6.1.1: use ECN, if we want to and the peer's SYN says so by these flags."""
    conn.ecn_ok = conn.config.ecn and seg.flags & (ECE | CWR) == flags
    conn.data_tos = conn.tos | _ECT0 if conn.ecn_ok else conn.tos


def syn_sent(conn: Connection, now: int, seg: Segment, buf: memoryview) -> None:
    """RFC 9293 §3.10.7.3: a segment arrives in SYN-SENT."""
    snd = conn.snd
    flags = seg.flags
    # RFC 9293 §3.10.7.3 step 1: check the ACK bit.
    acked = False
    if flags & ACK:
        ack = unwrap(seg.ack32, snd.snd_nxt)
        if ack <= snd.iss or ack > snd.snd_nxt:
            if not flags & RST:
                conn.agenda.reset(now, conn.addr, seg)
                # Our port was used before: by a process that is gone, or it is in TIME-WAIT there.
                # From another port we would get through at once.
                conn.advise(events.OLD_CONNECTION)
            return
        acked = True
    # RFC 9293 §3.10.7.3 step 2: check the RST bit. Without an acceptable ACK it is dropped.
    if flags & RST:
        if acked:
            teardown.finish(conn, Reason.REFUSED)
        return
    # RFC 9293 §3.10.7.3 steps 4 and 5: check the SYN bit.
    if not flags & SYN:
        return
    negotiate(conn, seg, now)
    if not acked:
        # A SYN crosses ours: simultaneous open (MUST-10). The SYN goes again, with an ACK.
        _agree_on_ecn(conn, seg, ECE | CWR)
        conn.move(SYN_RECEIVED)
        conn.syn_due = True
        conn.touch()
        return
    _agree_on_ecn(conn, seg, ECE)
    snd.snd_wl2 = snd.iss
    established(conn, now, snd.iss + 1)
    if conn.await_data:
        # RFC 9293 §3.10.7.3 step 4: data queued for transmission MAY be included in the ACK. It is
        # written as soon as the application hears of the connection. Linux waits likewise.
        conn.rcv.last_ack_sent = conn.rcv.irs
    else:
        conn.rcv.ack_now = True
    if not conn.await_data or snd.pending():
        conn.touch()
    if seg.end > seg.payload_at:
        text.take(conn, conn.rcv.rcv_nxt, buf[seg.payload_at : seg.end])


def established(conn: Connection, now: int, ack: int) -> None:
    """Our SYN is acknowledged: the connection is synchronised in both directions."""
    snd = conn.snd
    sample = snd.sample
    if not snd.flight.ack_plain(ack, now, sample):
        sample.reset(now)
        snd.flight.ack(ack, sample)
    snd.snd_una = ack
    if sample.rtt_ns >= 0:
        snd.rtt.update(sample.rtt_ns, now)
    conn.timers[timers.RTO] = conn.timers[timers.USER] = NEVER
    snd.cc.start()
    if snd.retries:
        if snd.retries > 1:
            # RFC 6928 §2: a SYN or SYN-ACK lost more than once leaves one segment for the initial
            # window.
            snd.cc = type(snd.cc)(snd.mss, 1)
        # RFC 6298 §5 (5.7): an RTO of three seconds to begin with.
        snd.rtt.after_syn_timeout()
        snd.retries = 0
        # Whatever befell the SYN says nothing about the data.
        snd.loss = LossDetector(snd.iss)
    snd.loss.may_probe = conn.sack_ok and snd.rtt.srtt_ns > 0
    if conn.sack_ok and not snd.loss.may_probe:
        snd.loss.await_rtt()
    snd.pacer.start(snd.cc.cwnd)
    snd.pacer.on_rtt(snd.rtt.min_rtt_ns)
    if conn.config.mtu_probing:
        probing.start(conn, now)
    tuning.start(conn, now)
    if conn.state is not FIN_WAIT_1:
        conn.move(ESTABLISHED)
        if snd.fin_queued:
            conn.move(FIN_WAIT_1)
    conn.last_heard_at = now
    conn.silent = False
    conn.signal(events.CONNECTED)
