"""What leaves: the next burst of one connection (RFC 9293 §3.10.2, and the sender's side of §3.8).

`poll` decides in this order: the SYN; what is lost; new data and FIN; a bare acknowledgment. A
burst is a run of segments that differ only in sequence number and payload, so the header is made
once and the loop over the segments does nothing but cut.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from utcp.core import handshake, probing, recovery, segment, timers, train
from utcp.core.loss import LOSS
from utcp.core.pacer import rate as pacing_rate
from utcp.core.segment import ACK, CWR, ECE, FIN, HEADER_SIZE, PSH, RST
from utcp.core.seq import MASK32
from utcp.core.state import CLOSED, FIN_WAIT_2, TIME_WAIT
from utcp.core.timers import NEVER
from utcp.core.transmit import Transmit

if TYPE_CHECKING:
    from utcp.core.connection import Connection
    from utcp.core.send_buffer import SendBuffer

_HEAD: Final = Struct(">HH")
_SEQ: Final = Struct(">I")
_PACK_SEQ: Final = _SEQ.pack
_ECT0: Final = 2  # RFC 3168 §5
_LEAST_OVERRIDE_NS: Final = 100_000_000
_MOST_OVERRIDE_NS: Final = 1_000_000_000
_CORK_NS: Final = 200_000_000


def poll(conn: Connection, now: int, max_bytes: int, max_segments: int) -> Transmit | None:
    """The next burst of `conn`, at most `max_segments` datagrams of `max_bytes` together."""
    if conn.state is CLOSED or conn.state is TIME_WAIT:
        return None
    snd = conn.snd
    if snd.snd_una == snd.iss:
        return handshake.poll(conn, now)
    start, end = snd.flight.next_lost()
    if start >= 0 and not recovery.prefers_new(conn):
        burst = _resend(conn, now, start, end, max_bytes, max_segments)
        if burst is not None:
            return burst
    if snd.probe_due:
        return _probe_window(conn, now)
    if snd.tail_probe_due:
        snd.tail_probe_due = False
        start, end = _tail(conn)
        if end > start and snd.loss.may_probe:
            snd.loss.probe_sent(max(end, snd.snd_nxt), start < snd.snd_nxt)
            return _burst(conn, now, start, end, 1, 1)
    if snd.pending():
        end = _new_end(conn, now)
        if end > snd.snd_nxt:
            if not snd.pacer.on and now < conn.pmtu.probe_at:
                return _burst(conn, now, snd.snd_nxt, end, max_bytes, max_segments)
            return _new_data(conn, now, end, max_bytes, max_segments)
        _arm_persist(conn, now)
    return _acknowledge(conn, now)


def _resend(
    conn: Connection, now: int, start: int, end: int, max_bytes: int, max_segments: int
) -> Transmit | None:
    """As much of the lost range as may go now, None for nothing."""
    pacer = conn.snd.pacer
    if pacer.on and pacer.next_at > now:
        conn.timers.at[timers.PACE] = pacer.next_at
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
        conn.timers.at[timers.PACE] = snd.pacer.next_at
        return _acknowledge(conn, now)
    if now >= conn.pmtu.probe_at:
        size = probing.payload(conn, now, end)
        if size > 0:
            return _burst(conn, now, snd.snd_nxt, snd.snd_nxt + size, max_bytes, 1, size)
        if size < 0:
            return _acknowledge(conn, now)
    return _paced(conn, now, snd.snd_nxt, end, max_bytes, max_segments)


def _paced(
    conn: Connection, now: int, start: int, end: int, max_bytes: int, max_segments: int
) -> Transmit:
    """A burst that is not larger than the pacer likes it."""
    snd = conn.snd
    if not snd.pacer.on:
        return _burst(conn, now, start, end, max_bytes, max_segments)
    control = snd.cc
    # As in Linux: from half of ssthresh on it is no longer slow start that sets the pace.
    slow_start = control.cwnd < control.ssthresh >> 1
    rate = control.pacing_rate or pacing_rate(control.cwnd, _pacing_rtt_ns(conn), slow_start)
    most = snd.pacer.burst(rate, snd.smss - _options_size(conn))
    burst = _burst(conn, now, start, min(end, start + most), max_bytes, max_segments)
    snd.pacer.sent(now, len(burst.data), rate)
    return burst


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
        conn.timers.at[timers.PERSIST] = snd.hold_until
        return snd.snd_nxt
    idle_ns = now - snd.last_sent_at
    if snd.snd_nxt == snd.snd_una and idle_ns > snd.rtt.rto_ns:
        # RFC 5681 §4.1: after more than one RTO of silence the congestion window is stale.
        snd.cc.on_idle(now, idle_ns, snd.rtt.rto_ns)
        # Nothing may leave even now; but this silence has been accounted for.
        snd.last_sent_at = now
    end = snd.new_data_end(snd.smss - _options_size(conn))
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
        size = snd.smss - _options_size(conn)
        end = min(nxt + size, snd.buffer.end, right)
        if snd.fin_queued and end == snd.buffer.end and end < right:
            end += 1
        return nxt, end
    start, end = snd.flight.tail(snd.mss, int(snd.fin_queued and nxt > snd.buffer.end))
    return start, min(end, right)


def _burst(
    conn: Connection,
    now: int,
    start: int,
    end: int,
    max_bytes: int,
    max_segments: int,
    size: int = 0,
) -> Transmit:
    """Segments from `start` to `end`, where a FIN counts one; fewer if one burst is too small.
    Each has `size` bytes of payload but the last; 0: what the path is known to take."""
    snd = conn.snd
    rcv = conn.rcv
    options = _options(conn, now)
    overhead = HEADER_SIZE + len(options)
    size = size or snd.smss - len(options)
    most = min(max_segments, max_bytes // (size + overhead)) or 1
    data_end = snd.buffer.end
    stop = min(end, data_end)
    if stop - start > size * most:
        end = stop = start + size * most

    resend = start < snd.snd_nxt
    word = 0x5000 + (len(options) << 10) + (ACK | ECE if rcv.ece else ACK)
    window = rcv.offer_window()
    head = _HEAD.pack(word, window)
    tail = _SEQ.pack(rcv.rcv_nxt & MASK32) + options
    parts: list[bytes | memoryview] = []
    last = stop - 1 - (stop - 1 - start) % size if stop > start else stop
    if end < data_end and stop - last == size:
        _cut(parts, snd.buffer, start, stop, size, head, tail)
    else:
        _cut(parts, snd.buffer, start, last, size, head, tail)
        if end >= data_end:
            # RFC 9293 §3.9.1.2 (MUST-60, MUST-61): PSH on the last segment of what was written.
            word |= (PSH if stop > start else 0) | (FIN if end > data_end else 0)
            head = _HEAD.pack(word, window)
        if stop > start:
            _cut(parts, snd.buffer, last, stop, size, head, tail)
        else:
            parts += (head, _PACK_SEQ(stop & MASK32), tail)
    tos = conn.dscp << 2
    if conn.ecn_ok and not resend and stop > start and not snd.probe_due:
        # RFC 3168 §6.1.5 and §6.1.6: no ECT on retransmissions and window probes.
        tos |= _ECT0
        if snd.cwr_pending:
            # RFC 3168 §6.1.2: CWR on the first new data segment after the reduction.
            snd.cwr_pending = False
            first = parts[0]
            parts[0] = _HEAD.pack(int.from_bytes(first[:2]) | CWR, window) + first[4:]
    if not resend and stop - last < size:
        snd.small_end = end
    _sent(conn, now, start, end, resend)
    conn.count_out((stop - start + size - 1) // size or 1, stop - start, resend)
    data = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
    return Transmit(conn.addr, data, size + overhead, tos)


def _cut(
    parts: list[bytes | memoryview],
    buffer: SendBuffer,
    start: int,
    stop: int,
    size: int,
    head: bytes,
    tail: bytes,
) -> None:
    """Append header and payload of each segment of `size` bytes from `start` to `stop`.

    The hot loop: for a train one call, per segment that is none one packed number, one slice, four
    list entries.
    """
    pack = _PACK_SEQ
    pos = start
    count = (stop - start) // size
    if count >= train.LEAST and (start & MASK32) + stop - start <= MASK32:
        pos += count * size
        data = buffer.run(start)
        if len(data) < pos - start:
            # To join what was written apart costs less than a segment with a seam in it.
            data = memoryview(buffer.peek(start, pos))
        parts.append(train.pack(head, start & MASK32, tail, data, size, count))
    while pos < stop:
        view = buffer.run(pos)
        whole = min(len(view), stop - pos)
        off = 0
        while off + size <= whole:
            parts += (head, pack(pos & MASK32), tail, view[off : off + size])
            off += size
            pos += size
        if off < whole:
            # The last segment, or one that goes on in the next chunk.
            end = min(pos + size, stop)
            parts += (head, pack(pos & MASK32), tail, view[off : off + end - pos])
            pos += min(whole - off, end - pos)
            while pos < end:
                piece = buffer.run(pos)[: end - pos]
                parts.append(piece)
                pos += len(piece)


def _sent(conn: Connection, now: int, start: int, end: int, resend: bool) -> None:
    """Account for a burst that goes out, and start the timer that watches over it."""
    snd = conn.snd
    if resend:
        snd.flight.resent(start, end, now)
    else:
        if snd.snd_nxt == snd.snd_una:
            snd.progress_at = now
        snd.flight.sent(start, end, now)
        snd.snd_nxt = end
        snd.override = False
        if snd.loss.may_probe:
            recovery.arm_probe(conn, now)
        if conn.acks.unanswered:
            conn.acks.answered(now, conn.rcv.rcv_nxt)
    snd.last_sent_at = now
    at = conn.timers.at
    if at[timers.RTO] == NEVER:
        # RFC 6298 §5 (5.1)
        at[timers.RTO] = now + snd.rtt.rto_ns
    if conn.user_timeout_ns and at[timers.USER] == NEVER:
        at[timers.USER] = snd.progress_at + conn.user_timeout_ns
    at[timers.PERSIST] = at[timers.CORK] = NEVER
    acknowledged(conn)


def acknowledged(conn: Connection) -> None:
    """A segment with the current acknowledgment goes out: no other is needed for now."""
    rcv = conn.rcv
    rcv.last_ack_sent = rcv.rcv_nxt
    rcv.ack_now = False
    conn.timers.at[timers.DELAYED_ACK] = NEVER


def _probe_window(conn: Connection, now: int) -> Transmit | None:
    """RFC 9293 §3.8.6.1 (MUST-36): one octet beyond the window, old if there is one in flight."""
    snd = conn.snd
    start = snd.snd_una if snd.snd_nxt > snd.snd_una else snd.snd_nxt
    if snd.snd_nxt == snd.snd_una and not snd.pending():
        # It has been acknowledged meanwhile.
        snd.probe_due = False
        return _acknowledge(conn, now)
    burst = _burst(conn, now, start, start + 1, 1, 1)
    snd.probe_due = False
    snd.probes += 1
    conn.timers.at[timers.RTO] = now + conn.snd.probe_interval_ns(conn.config.ns("rto_max"))
    return burst


def _arm_persist(conn: Connection, now: int) -> None:
    """Something waits, the window does not let it go, and no ACK is on its way to change that."""
    at = conn.timers.at
    if conn.snd.cork and conn.snd.snd_wnd > 0:
        # What is not a full segment waits for more, but as in Linux not for ever.
        if at[timers.CORK] == NEVER:
            at[timers.CORK] = now + _CORK_NS
        return
    if at[timers.PERSIST] == NEVER and at[timers.RTO] == NEVER:
        interval_ns = conn.snd.probe_interval_ns(conn.config.ns("rto_max"))
        if conn.snd.snd_wnd > 0:
            # RFC 9293 §3.8.6.2.1: the override timeout is in the range 0.1 to 1.0 seconds.
            interval_ns = min(max(interval_ns, _LEAST_OVERRIDE_NS), _MOST_OVERRIDE_NS)
        at[timers.PERSIST] = now + interval_ns


def _acknowledge(conn: Connection, now: int) -> Transmit | None:
    """A bare ACK if one is due now; else the timer that makes it due."""
    rcv = conn.rcv
    if rcv.ack_due():
        # Before a probe, whose old number does for nobody who waits for this one.
        return _ack(conn, now, conn.snd.snd_nxt)
    if conn.keepalive_due:
        # RFC 9293 §3.8.4 (SHLD-12): SEG.SEQ = SND.NXT-1 and no data.
        conn.keepalive_due = False
        return _ack(conn, now, conn.snd.snd_nxt - 1)
    at = conn.timers.at
    if rcv.rcv_nxt != rcv.last_ack_sent:
        due_at = _delay_ack(conn, now)
        if due_at <= now:
            return _ack(conn, now, conn.snd.snd_nxt)
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
    due_at = conn.timers.at[timers.DELAYED_ACK]
    if due_at != NEVER:
        return conn.acks.more(now, conn.rcv.rcv_nxt) or due_at
    rtt = conn.snd.rtt
    return now + conn.acks.arrived(now, conn.rcv.rcv_nxt, rtt.rto_ns, rtt.min_rtt_ns)


def _ack(conn: Connection, now: int, seq: int) -> Transmit:
    rcv = conn.rcv
    flags = ACK | ECE if rcv.ece else ACK
    # A probe beyond a shut window has moved SND.NXT out of it, where the peer would not accept
    # the segment: the right edge is the number to use then, as in Linux.
    seq = min(seq, conn.snd.snd_una + conn.snd.snd_wnd)
    data = segment.build(flags, rcv.offer_window(), seq, rcv.rcv_nxt, _options(conn, now))
    acknowledged(conn)
    return _bare(conn, data)


def reset(conn: Connection) -> bytes:
    """RFC 9293 §3.10.5: <SEQ=SND.NXT><CTL=RST>, with the ACK that Linux adds."""
    conn.reset_due = False
    conn.count_out(1, 0, False)
    conn.counters.resets_out += 1
    return segment.build(RST | ACK, 0, conn.snd.snd_nxt, conn.rcv.rcv_nxt)


def _bare(conn: Connection, data: bytes) -> Transmit:
    conn.count_out(1, 0, False)
    return Transmit(conn.addr, data, len(data), conn.dscp << 2)


def _options_size(conn: Connection) -> int:
    """The length of what `_options` will return."""
    size = segment.TIMESTAMPS_SIZE if conn.ts_ok else 0
    held = conn.rcv.reassembly
    if conn.sack_ok and (held.starts or held.duplicated):
        size += 4 + 8 * min(len(held.starts) + held.duplicated, _sack_blocks(conn))
    return size


def _options(conn: Connection, now: int) -> bytes:
    """Timestamps, and SACK while something is held out of order (RFC 2018 §4)."""
    options = b""
    if conn.ts_ok:
        options = segment.timestamps_option(conn.ts_clock(now), conn.rcv.ts_recent)
    held = conn.rcv.reassembly
    if conn.sack_ok and (held.starts or held.duplicated):
        options += segment.sack_option(held.sack_blocks(_sack_blocks(conn)))
    return options


def _sack_blocks(conn: Connection) -> int:
    """RFC 2018 §3: four blocks fit into 40 bytes of options, three beside timestamps."""
    return 3 if conn.ts_ok else 4
