"""SEGMENT ARRIVES (RFC 9293 §3.10.7.4), one function per step, in the RFC's order.

Every step returns True for "go on with the next step" and False for "the segment is done with".
This is the whole truth about arriving segments; `fastpath` is a short cut for the segments that
would pass all of these steps without leaving a trace but an acknowledgment or some bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from utcp.core import ack as acks
from utcp.core import admission, handshake, teardown, text
from utcp.core.segment import ACK, CWR, ECE, FIN, RST, SYN, Segment
from utcp.core.seq import MASK32, unwrap
from utcp.core.state import (
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    Reason,
)

if TYPE_CHECKING:
    from utcp.core.connection import Connection


def segment_arrives(
    conn: Connection, now: int, seg: Segment, buf: memoryview, congestion: bool
) -> None:
    """Process one parsed segment; `congestion` says that its datagram carried a CE mark."""
    conn.calm = False
    state = conn.state
    if seg.flags & RST:
        conn.counters.resets_in += 1
    if state is CLOSED:
        return
    if state is SYN_SENT:
        handshake.syn_sent(conn, now, seg, buf)
        if seg.flags & FIN and (conn.state is ESTABLISHED or conn.state is FIN_WAIT_1):
            # RFC 9293 §3.10.7.3 step 4: other controls are processed from the sixth step on.
            check_fin(conn, seg, conn.rcv.irs + 1)
        return
    seq = unwrap(seg.seq32, conn.rcv.rcv_nxt)
    # RFC 7323 §2.2: that of a SYN is not scaled.
    wnd = seg.window if seg.flags & SYN else seg.window << conn.snd.snd_wscale
    if seg.flags & (SYN | RST) == SYN and conn.snd.snd_una == conn.snd.iss:
        seq = _repeated_syn(conn, now, seg, seq, buf)
        if seq < 0:
            return
    if not check_sequence(conn, now, seg, seq):
        return
    # Step 3, security and compartment, does not apply.
    if seg.flags & (RST | SYN) and not (
        check_rst(conn, now, seg, seq) and check_syn(conn, now, seg)
    ):
        return
    if not check_ack(conn, now, seg, seq, wnd, congestion):
        return
    # Step 6, the URG bit: the wire format has no urgent pointer.
    if seg.end > seg.payload_at:
        process_text(conn, seg, seq, buf)
    # Or what came fills the hole before a FIN that is known already.
    if seg.flags & FIN or conn.rcv.fin_seq == conn.rcv.rcv_nxt:
        check_fin(conn, seg, seq)


def _repeated_syn(conn: Connection, now: int, seg: Segment, seq: int, buf: memoryview) -> int:
    """The peer's SYN again, while ours is not acknowledged. Returns the sequence number to go on
    with, or -1.

    RFC 9293 Appendix A.2: by Table 6 alone a SYN-ACK in a simultaneous open could never be
    accepted, for its SYN lies below the window. So the SYN, which is known, is taken off it.
    """
    if seq != conn.rcv.irs:
        acked = seg.flags & ACK and seg.ack32 == conn.snd.snd_nxt & MASK32
        if acked and conn.state is SYN_RECEIVED and not conn.passive:
            # It has seen our SYN, which whoever sent the other SYN need not have.
            handshake.forget_syn(conn)
            handshake.syn_sent(conn, now, seg, buf)
            return -1
        return seq
    if seg.flags & ACK:
        seg.flags &= ~SYN
        return seq + 1
    # Our SYN-ACK was lost: send it again at once, as Linux does, and not only by the timer.
    if teardown.may_challenge(conn, now):
        conn.syn_due = True
        conn.touch()
    return -1


def check_sequence(conn: Connection, now: int, seg: Segment, seq: int) -> bool:
    """Step 1: does the segment fall into the window? And RFC 7323 §5.3 before it: is it old?"""
    rcv = conn.rcv
    if seg.flags & RST:
        # RFC 9293 §3.5.3: a RST is judged by its sequence number alone, and out of the window it
        # is dropped silently.
        return rcv.acceptable(seq, 0)
    # A SYN belongs to no agreement: whatever it carries, step 4 challenges it.
    if conn.ts_ok and not seg.flags & SYN:
        # RFC 7323 §3.2: agreed means in every segment; without it the segment is dropped.
        if not seg.has_timestamps:
            conn.counters.paws_drops += 1
            return False
        if rcv.paws_reject(seg.ts_val, now):
            # RFC 7323 §5.3 R1: acknowledge, drop.
            conn.counters.paws_drops += 1
            unacceptable(conn, now, seg, seq)
            return False
    if seq == rcv.rcv_nxt and seq < rcv.rcv_adv:
        return True
    length = seg.length()
    if rcv.acceptable(seq, length):
        return True
    # RFC 9293 §3.10.7.4 step 1 (MUST-66): a zero window still takes the ACK of the segment that
    # is next in order, and its FIN, which takes no room. And a peer that has filled the window
    # sends its bare ACKs from the right edge: Table 6 excludes the edge, Linux does not.
    if seq == rcv.rcv_adv and (length == 0 or seq == rcv.rcv_nxt):
        return True
    if rcv.last_ack_sent <= seq + length and seq < rcv.rcv_nxt and not seg.flags & SYN:
        # RFC 9293 Appendix A.2: where data, FINs or window probes cross, old text may be all that
        # the peer has to send, and its ACK would never be seen. As in Linux, what ends no earlier
        # than our last ACK is processed; it is answered as it always is.
        if length:
            answer_text(conn, seg, seq)
        return True
    unacceptable(conn, now, seg, seq)
    return False


def unacceptable(conn: Connection, now: int, seg: Segment, seq: int) -> None:
    """Answer a segment outside the window with an ACK.

    One with data is always answered, for the peer may be waiting for just that. One without is
    answered at a limited rate, so that two confused peers do not acknowledge each other for ever.
    """
    if seg.length() and not seg.flags & SYN:
        answer_text(conn, seg, seq)
    else:
        teardown.challenge_ack(conn, now)


def answer_text(conn: Connection, seg: Segment, seq: int) -> None:
    """Acknowledge text, or a FIN, of which some is old or beyond the window, at once."""
    rcv = conn.rcv
    payload = seg.end - seg.payload_at
    if payload and conn.sack_ok and seq + seg.length() <= rcv.rcv_nxt:
        # RFC 2883 §4: report what came twice.
        rcv.holding().duplicate(seq, seq + payload)
    rcv.ack_now = True
    conn.touch()


def check_rst(conn: Connection, now: int, seg: Segment, seq: int) -> bool:
    """Step 2: the RST bit, with the three checks of RFC 5961 §3.2. Data on it does not matter."""
    if not seg.flags & RST:
        return True
    if conn.state is TIME_WAIT:
        # RFC 1337 §3 (F1): a RST does not end TIME-WAIT.
        return False
    if seq != conn.rcv.rcv_nxt:
        teardown.challenge_ack(conn, now)
    elif conn.state is SYN_RECEIVED:
        # MUST-11: the end of a passive open, which goes back to LISTEN, nobody is told of.
        teardown.finish(conn, Reason.REFUSED)
    else:
        teardown.finish(conn, Reason.RESET)
    return False


def check_syn(conn: Connection, now: int, seg: Segment) -> bool:
    """Step 4: the SYN bit. RFC 5961 §4.2: a challenge ACK, whatever the sequence number."""
    if not seg.flags & SYN:
        return True
    if conn.state is SYN_RECEIVED and conn.passive:
        teardown.finish(conn, Reason.RESET)
    else:
        teardown.challenge_ack(conn, now)
    return False


def check_ack(
    conn: Connection, now: int, seg: Segment, seq: int, wnd: int, congestion: bool
) -> bool:
    """Step 5: the ACK field. `wnd`: the window in bytes."""
    flags = seg.flags
    if not flags & ACK:
        return False
    snd = conn.snd
    una = snd.snd_una
    ack = unwrap(seg.ack32, snd.snd_nxt)
    if not una < ack <= snd.snd_nxt and not _acceptable_ack(conn, now, seg, ack):
        return False
    rcv = conn.rcv
    if conn.ts_ok and seg.has_timestamps:
        rcv.note_timestamp(seq, seg.ts_val, now)
    # RFC 3168 §6.1.5: not what lies outside of the window.
    if conn.ecn_ok and (seq >= rcv.rcv_nxt or seq + seg.length() > rcv.rcv_nxt):
        if flags & CWR:
            rcv.ece = False
            # The peer's window may be down to this segment. As in Linux it need not wait.
            rcv.ack_now |= seg.end > seg.payload_at
        if congestion:
            rcv.ece = True
            rcv.ack_now = True
    if una == snd.iss:
        return _synchronized(conn, now, seq, ack, wnd)
    ece = flags & ECE != 0
    end = snd.buffer.end
    if (
        ack > una
        and not ece
        and not seg.sack32
        # A FIN that still waits is not seen there.
        and not (snd.fin_queued and snd.snd_nxt == end)
        and acks.predicted(conn, now, seq, ack, wnd)
    ):
        # It is only what it acknowledges, or what comes with it, that is not as usual.
        if snd.fin_queued and ack > end:
            teardown.fin_acked(conn)
    else:
        echo = seg.ts_ecr if conn.ts_ok and seg.has_timestamps else -1
        acks.process(conn, now, seq, ack, wnd, seg.length(), ece, seg.sack32, echo)
    return conn.state is not CLOSED


def _acceptable_ack(conn: Connection, now: int, seg: Segment, ack: int) -> bool:
    """Whether an ACK that acknowledges nothing new may say something nevertheless."""
    snd = conn.snd
    if snd.snd_una == snd.iss:
        conn.agenda.reset(now, conn.addr, seg)
        return False
    # RFC 5961 §5.2: (SND.UNA - MAX.SND.WND) =< SEG.ACK =< SND.NXT, and nothing below our ISS.
    if ack > snd.snd_nxt or ack < snd.snd_una - snd.max_snd_wnd or ack <= snd.iss:
        teardown.challenge_ack(conn, now)
        return False
    return True


def _synchronized(conn: Connection, now: int, seq: int, ack: int, wnd: int) -> bool:
    """The ACK of our SYN, in SYN-RECEIVED. There is nothing else yet that it could acknowledge."""
    if conn.passive and not _admitted(conn):
        return False
    snd = conn.snd
    # Enter ESTABLISHED with SND.WND, SND.WL1, SND.WL2 from this segment.
    snd.snd_wnd = wnd
    if wnd > snd.max_snd_wnd:
        snd.max_snd_wnd = wnd
    snd.snd_wl1 = seq
    snd.snd_wl2 = ack
    handshake.established(conn, now, ack)
    if not conn.await_data or snd.pending():
        conn.touch()
    return True


def _admitted(conn: Connection) -> bool:
    """Whether the peer, which has proved its address now, may have this connection."""
    agenda = conn.agenda
    if agenda.admission.refusal(conn.addr, agenda.memory.pressed) != admission.NONE:
        teardown.abort(conn, Reason.NO_ROOM)
        return False
    agenda.admission.enter(conn.addr)
    return True


def process_text(conn: Connection, seg: Segment, seq: int, buf: memoryview) -> None:
    """Step 7: the segment text."""
    start = seg.payload_at
    state = conn.state
    if state is not ESTABLISHED and state is not FIN_WAIT_1 and state is not FIN_WAIT_2:
        # The peer has sent its FIN already: whatever this is, it is not text.
        return
    if conn.orphan and seq + seg.end - start > conn.rcv.rcv_nxt:
        # RFC 9293 §3.6.1 (SHLD-3): data after CLOSE has nobody to read it.
        teardown.abort(conn, Reason.ABORTED)
        return
    text.take(conn, seq, buf[start : seg.end])


def check_fin(conn: Connection, seg: Segment, seq: int) -> None:
    """Step 8: the FIN bit. A FIN ahead of its turn is remembered until the hole is filled."""
    rcv = conn.rcv
    state = conn.state
    if state is not ESTABLISHED and state is not FIN_WAIT_1 and state is not FIN_WAIT_2:
        if seg.flags & FIN and state is not CLOSED:
            # Our ACK of it was lost: CLOSE-WAIT, CLOSING, LAST-ACK remain as they are.
            rcv.ack_now = True
            conn.touch()
        return
    if seg.flags & FIN:
        fin_seq = seq + seg.end - seg.payload_at
        # What came first stands: a FIN in front of bytes that are here already is none.
        least = rcv.reassembly.ends[-1] if rcv.reassembly.ends else rcv.rcv_nxt
        if rcv.fin_seq < 0 and least <= fin_seq <= rcv.rcv_adv:
            rcv.fin_seq = fin_seq
    if rcv.fin_seq == rcv.rcv_nxt:
        teardown.fin_received(conn)
    else:
        # RFC 5681 §4.2: out of order, so acknowledged at once.
        rcv.ack_now = True
        conn.touch()
