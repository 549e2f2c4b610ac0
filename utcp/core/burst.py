"""Bursts: the segments of one connection that leave together, as bytes (RFC 9293 §3.1).

A burst is a run of segments that differ only in sequence number and payload, so the header is made
once, and the loop over the segments, where there is one, does nothing but cut. `output` decides
what leaves and when; here it is built and accounted for.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from utcp.core import recovery, segment, train
from utcp.core.segment import (
    ACK,
    CWR,
    ECE,
    FIN,
    HEADER_SIZE,
    PSH,
    RST,
    STAMPED,
    TIMESTAMPS_SIZE,
    TIMESTAMPS_WORD,
)
from utcp.core.seq import MASK32
from utcp.core.timers import CORK, DELAYED_ACK, NEVER, PERSIST, RTO, USER
from utcp.core.transmit import Transmit

if TYPE_CHECKING:
    from utcp.core.connection import Connection
    from utcp.core.send_buffer import SendBuffer

_HEAD: Final = Struct(">HH")
_HEAD_SEQ: Final = Struct(">HHI")
_PACK_SEQ: Final = Struct(">I").pack
# Acknowledgment; the word that opens the timestamps option; both timestamps.
_ACK_TIMESTAMPS: Final = Struct(">IIII")
_WORD: Final = 0x5000 | ACK
_OPTIONS_SHIFT: Final = 10
_LARGE: Final = 4096
"""Payload from which the kernel gathers segments at less cost than it takes to join them."""


def build(
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
    conn.calm = False
    snd = conn.snd
    rcv = conn.rcv
    buffer = snd.buffer
    if start == buffer.end and start == snd.snd_nxt:
        return _fin(conn, now)
    tail = _tail(conn, now)
    overhead = HEADER_SIZE - 4 + len(tail)
    size = size or snd.smss - len(tail) + 4
    most = max_bytes // (size + overhead) or 1
    if most > max_segments:
        most = max_segments
    data_end = buffer.end
    stop = end if end < data_end else data_end
    if stop - start > size * most:
        end = stop = start + size * most
    payload = stop - start
    count = payload // size
    rest = payload - count * size
    resend = start < snd.snd_nxt
    word = (_WORD | ECE if rcv.ece else _WORD) + (len(tail) - 4 << _OPTIONS_SHIFT)
    window = rcv.offer_window()
    head = last_head = _HEAD.pack(word, window)
    if end >= data_end:
        # RFC 9293 §3.9.1.2 (MUST-60, MUST-61): PSH on the last segment of what was written.
        word |= (PSH if payload else 0) | (FIN if end > data_end else 0)
        last_head = _HEAD.pack(word, window)
    data: bytes | list[bytes | memoryview]
    if not payload:
        data = last_head + _PACK_SEQ(start & MASK32) + tail
    else:
        data = cut(buffer, start, stop, size, head, last_head, tail)
    tos = conn.tos
    if payload and not resend and not snd.probe_due:
        # RFC 3168 §6.1.5 and §6.1.6: no ECT on retransmissions and window probes.
        tos = conn.data_tos
        if snd.cwr_pending:
            # RFC 3168 §6.1.2: CWR on the first new data segment after the reduction.
            snd.cwr_pending = False
            data = data if isinstance(data, bytes) else b"".join(data)
            data = data[:1] + bytes((data[1] | CWR,)) + data[2:]
    segments = count + 1 if rest or not payload else count
    if resend:
        _resent(conn, now, start, end, segments, payload)
    else:
        if rest or not payload:
            snd.small_end = end
        sent(conn, now, start, end, segments)
    return Transmit(conn.addr, data, size + overhead, tos)


def _fin(conn: Connection, now: int) -> Transmit:
    """A FIN behind everything that was sent already, where nothing else can stand."""
    snd = conn.snd
    seq = snd.snd_nxt
    data = _bare(conn, now, seq, _WORD | FIN)
    snd.small_end = seq + 1
    sent(conn, now, seq, seq + 1, 1)
    return Transmit(conn.addr, data, len(data), conn.tos)


def cut(
    buffer: SendBuffer,
    start: int,
    stop: int,
    size: int,
    head: bytes,
    last_head: bytes,
    tail: bytes,
) -> bytes | list[bytes | memoryview]:
    """Segments of `size` bytes from `start` to `stop`, the last of which may be shorter and has
    `last_head`. In pieces where they are large."""
    payload = stop - start
    if size >= _LARGE:
        if payload <= size:
            view = buffer.run(start)
            if len(view) >= payload:
                return [last_head + _PACK_SEQ(start & MASK32) + tail, view[:payload]]
        return _cut(buffer, start, stop, size, head, last_head, tail)
    count = payload // size
    if count >= train.LEAST and not payload % size and (start & MASK32) + payload <= MASK32:
        view = _view(buffer, start, stop)
        return train.pack(head, last_head, start & MASK32, tail, view, size, count)
    return b"".join(_cut(buffer, start, stop, size, head, last_head, tail))


def _view(buffer: SendBuffer, start: int, stop: int) -> memoryview:
    """The bytes from `start` to `stop`, and perhaps some more."""
    view = buffer.run(start)
    # To join what was written apart costs less than a segment with a seam in it.
    return view if len(view) >= stop - start else memoryview(buffer.peek(start, stop))


def _cut(
    buffer: SendBuffer,
    start: int,
    stop: int,
    size: int,
    head: bytes,
    last_head: bytes,
    tail: bytes,
) -> list[bytes | memoryview]:
    """What `cut` gives, in pieces.

    The hot loop: for a train one call, per segment that is none one packed number, one slice, two
    list entries.
    """
    pack = _PACK_SEQ
    pos = start
    parts: list[bytes | memoryview] = []
    # Without the last one.
    count = (stop - start - 1) // size
    if count >= train.LEAST and size < _LARGE and (start & MASK32) + stop - start <= MASK32:
        pos += count * size
        view = _view(buffer, start, pos)
        parts.append(train.pack(head, head, start & MASK32, tail, view, size, count))
    while True:
        end = pos + size
        if end >= stop:
            head = last_head
            end = stop
        parts.append(head + pack(pos & MASK32) + tail)
        while pos < end:
            piece = buffer.run(pos)[: end - pos]
            parts.append(piece)
            pos += len(piece)
        if pos >= stop:
            return parts


def sent(conn: Connection, now: int, start: int, end: int, segments: int) -> None:
    """Account for new data, and perhaps a FIN, that goes out, and start the timer that watches
    over it."""
    snd = conn.snd
    if start == snd.snd_una:
        snd.progress_at = now
    snd.flight.sent(start, end, now)
    snd.snd_nxt = end
    snd.last_sent_at = now
    snd.override = False
    if snd.loss.may_probe:
        snd.probe_unarmed = True
    rcv = conn.rcv
    acks = conn.acks
    if acks.unanswered:
        acks.answered(now, rcv.rcv_nxt)
    rcv.last_ack_sent = rcv.rcv_nxt
    rcv.ack_now = False
    at = conn.timers
    if at[RTO] == NEVER:
        # RFC 6298 §5 (5.1)
        at[RTO] = now + snd.rtt.rto_ns
    if conn.user_timeout_ns and at[USER] == NEVER:
        at[USER] = snd.progress_at + conn.user_timeout_ns
    at[PERSIST] = at[CORK] = at[DELAYED_ACK] = NEVER
    # RFC 9293 §3.8.4 (MUST-26): no keepalive while something is outstanding, and none needed.
    conn.keepalive_due = False
    conn.segs_out += segments
    conn.counters.segments_out += segments


def _resent(conn: Connection, now: int, start: int, end: int, segments: int, payload: int) -> None:
    """The same for what goes out once more."""
    snd = conn.snd
    snd.flight.resent(start, end, now)
    snd.last_sent_at = now
    at = conn.timers
    if at[RTO] == NEVER:
        # RFC 6298 §5 (5.1)
        at[RTO] = now + snd.rtt.rto_ns
    if conn.user_timeout_ns:
        # Anew, for the application may have made it shorter.
        at[USER] = snd.progress_at + conn.user_timeout_ns
    at[PERSIST] = at[CORK] = NEVER
    acknowledged(conn)
    conn.count_out(segments)
    recovery.count_again(conn, segments, payload)


def acknowledged(conn: Connection) -> None:
    """A segment with the current acknowledgment goes out: no other is needed for now."""
    rcv = conn.rcv
    rcv.last_ack_sent = rcv.rcv_nxt
    rcv.ack_now = False
    conn.timers[DELAYED_ACK] = NEVER


def ack(conn: Connection, now: int, seq: int) -> Transmit:
    """A segment without data, numbered `seq`."""
    data = _bare(conn, now, _in_window(conn, seq), _WORD)
    acknowledged(conn)
    conn.count_out(1)
    return Transmit(conn.addr, data, len(data), conn.tos)


def _in_window(conn: Connection, seq: int) -> int:
    """`seq`, or the right edge if it lies beyond it, as in Linux: a probe of a shut window, or a
    window that has shrunk, leaves SND.NXT where the peer would not accept the segment."""
    snd = conn.snd
    edge = snd.snd_una + snd.snd_wnd
    beyond = seq - edge
    if beyond <= 0 or snd.snd_una == snd.iss:
        return seq
    # RFC 7323 §2.4: less than one unit has not shrunk, the peer has rounded it down.
    return seq if not beyond >> snd.snd_wscale and not snd.probes else edge


def _bare(conn: Connection, now: int, seq: int, word: int) -> bytes:
    """A segment without data; `word` is its beginning without the size of the options."""
    rcv = conn.rcv
    if rcv.ece:
        word |= ECE
    held = rcv.reassembly
    if conn.ts_ok and not (held.starts or held.duplicated):
        return STAMPED.pack(
            word + (TIMESTAMPS_SIZE << _OPTIONS_SHIFT),
            rcv.offer_window(),
            seq & MASK32,
            rcv.rcv_nxt & MASK32,
            TIMESTAMPS_WORD,
            conn.ts_clock(now),
            rcv.ts_recent,
        )
    tail = _tail(conn, now)
    word += len(tail) - 4 << _OPTIONS_SHIFT
    return _HEAD_SEQ.pack(word, rcv.offer_window(), seq & MASK32) + tail


def reset(conn: Connection, now: int) -> bytes:
    """RFC 9293 §3.10.5: <SEQ=SND.NXT><CTL=RST>, with the ACK that Linux adds."""
    conn.reset_due = False
    conn.count_out(1)
    conn.counters.resets_out += 1
    options = b""
    if conn.ts_ok:
        # RFC 7323 §5.2: an abort's RST has a normal Timestamps option.
        options = segment.timestamps_option(conn.ts_clock(now), conn.rcv.ts_recent)
    # RFC 9293 §3.5.3: out of the window it would be dropped silently.
    seq = _in_window(conn, conn.snd.snd_nxt)
    return segment.build(RST | ACK, 0, seq, conn.rcv.rcv_nxt, options)


def full_size(conn: Connection) -> int:
    """The payload of a full segment just now: SMSS less what a SACK option takes."""
    held = conn.rcv.reassembly
    mss = conn.snd.mss
    if conn.sack_ok and (held.starts or held.duplicated):
        return mss - 4 - 8 * min(len(held.starts) + held.duplicated, _sack_blocks(conn))
    return mss


def _tail(conn: Connection, now: int) -> bytes:
    """What follows the sequence number: the acknowledgment, timestamps, and SACK while something
    is held out of order (RFC 2018 §4)."""
    rcv = conn.rcv
    if conn.ts_ok:
        tail = _ACK_TIMESTAMPS.pack(
            rcv.rcv_nxt & MASK32, TIMESTAMPS_WORD, conn.ts_clock(now), rcv.ts_recent
        )
    else:
        tail = _PACK_SEQ(rcv.rcv_nxt & MASK32)
    held = rcv.reassembly
    if conn.sack_ok and (held.starts or held.duplicated):
        tail += segment.sack_option(held.sack_blocks(_sack_blocks(conn)))
    return tail


def _sack_blocks(conn: Connection) -> int:
    """RFC 2018 §3: four blocks fit into 40 bytes of options, three beside timestamps."""
    return 3 if conn.ts_ok else 4
