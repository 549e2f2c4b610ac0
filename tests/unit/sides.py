"""One connection that takes every short cut, or none: what `test_fastpath` compares."""

from __future__ import annotations

from contextlib import ExitStack
from unittest.mock import patch

from utcp.config import Config
from utcp.core import (
    Connection,
    Endpoint,
    Reason,
    State,
    ack,
    bulk,
    calm,
    farewell,
    fastpath,
    train,
)
from utcp.core.events import READABLE
from utcp.core.segment import ACK, ECE, SYN
from utcp.testing import MS, SECOND, encode_segment
from utcp.testing.segment_view import Option

ISS = 0xFFFF_F000  # the peer's, close to the wrap
MSS = 100
TS = 8
PEER = "peer"


def stamps(ts_val: int, ts_ecr: int = 0) -> tuple[int, bytes]:
    return TS, (ts_val & 0xFFFF_FFFF).to_bytes(4, "big") + ts_ecr.to_bytes(4, "big")


def segment(
    conn_iss: int,
    flags: int,
    seq: int,
    ack: int,
    size: int,
    *,
    window: int = 1000,
    ts_val: int = 10,
    shape: int = 0,
) -> bytes:
    """`seq` and `ack` are relative; `shape` says in which order the options stand."""
    nops: list[Option] = [(1, b""), (1, b"")]
    options: tuple[list[Option], ...] = (
        [*nops, stamps(ts_val)],
        [stamps(ts_val), *nops],
        [],
        [*nops, stamps(ts_val), (5, bytes(8))],
    )
    payload = bytes((seq + i) & 0xFF for i in range(size))
    return encode_segment(flags, ISS + seq, conn_iss + ack, window, options[shape], payload)


class Side:
    """One endpoint with one established connection."""

    def __init__(
        self,
        predicting: bool,
        *,
        ecn: bool,
        sack: bool,
        pacing: bool = True,
        keepalive: bool = False,
        messages: bool = False,
        reads_at_once: bool = False,
    ) -> None:
        config = Config(
            recv_buffer=4096,
            ecn=ecn,
            sack=sack,
            pacing=pacing,
            keepalive=keepalive,
            max_segment_size=MSS + 12,
        )
        self.endpoint = Endpoint(config, bytes(range(16)))
        self.endpoint.max_burst_segments = 8
        self.predicting = predicting
        self.messages = messages
        """Whether it asks for messages first, as a driver does."""
        self.reads_at_once = reads_at_once
        self.now = SECOND
        self.conn: Connection = self.endpoint.connect(self.now, PEER)
        self.events = 0
        self.out: list[tuple[bytes, int, int]] = []
        self.read: list[bytes] = []
        self.turn()
        self.now += MS
        options = [(2, (MSS + 12).to_bytes(2, "big")), stamps(1), (3, bytes((2,)))]
        if sack:
            options.append((4, b""))
        flags = SYN | ACK | (ECE if ecn else 0)
        syn_ack = encode_segment(flags, ISS, self.conn.snd.iss + 1, 4000, options)
        self.arrive(syn_ack, len(syn_ack), 0)
        assert self.conn.state is State.ESTABLISHED

    def as_it_does(self) -> ExitStack:
        """What a side that does not predict does goes step by step; the other one takes trains
        however short their segments are."""
        stack = ExitStack()
        if self.predicting:
            stack.enter_context(patch.object(train, "LEAST_PAYLOAD", 1))
        else:
            unpredicted = patch.object(fastpath, "_run", lambda conn, now, buf, pos, *rest: pos)
            stack.enter_context(unpredicted)
            stack.enter_context(patch.object(ack, "predicted", lambda *_: False))
            stack.enter_context(patch.object(calm, "look", lambda *_: None))
            stack.enter_context(patch.object(farewell, "receive", lambda *_: False))
            stack.enter_context(patch.object(bulk, "send", lambda *_: None))
        return stack

    def arrive(self, data: bytes, stride: int, ecn: int) -> None:
        with self.as_it_does():
            if self.messages and len(data) <= stride:
                found = self.endpoint.receive_message(
                    self.now, PEER, memoryview(data), len(data), ecn
                )
                if found is not None:
                    conn, text = found
                    assert conn.folded or not conn.in_flight
                    if self.reads_at_once:
                        self.read.append(text)
                        conn.signal(READABLE)
                    else:
                        self.endpoint.unread(conn, text)
                    conn.touch()  # `poll_message` does not depend on it
                    return
            self.endpoint.receive(self.now, PEER, data, len(data), stride, ecn)
            if self.reads_at_once and (text := self.conn.read()):
                self.read.append(text)

    def turn(self) -> None:
        while (conn := self.endpoint.poll_ready()) is not None:
            self.events |= conn.take_events()
        self.endpoint.settle()
        with self.as_it_does():
            if self.messages and (data := self.endpoint.poll_message(self.now, self.conn)):
                self.out.append((data, len(data), self.conn.data_tos))
            while (burst := self.endpoint.poll_transmit(self.now)) is not None:
                size = min(burst.segment_size, len(burst))
                self.out.append((burst.data, size, burst.tos))

    def write(self, size: int) -> None:
        if size and self.conn.state in (State.ESTABLISHED, State.CLOSE_WAIT):
            self.conn.write(bytes(size))

    def picture(self) -> tuple[object, ...]:
        """All there is to know, but what is only looked at while one ACK is processed."""
        conn, snd, rcv = self.conn, self.conn.snd, self.conn.rcv
        conn.unfold()
        in_flight = snd.snd_nxt > snd.snd_una
        # What the path was like nobody asks any more when both sides have closed.
        path = () if conn.reason is Reason.CLOSED else (
            conn.last_heard_at, conn.keepalive_probes, conn.info(),
            snd.snd_wnd, snd.snd_wl1, snd.snd_wl2, snd.max_snd_wnd, snd.retries, snd.probes,
            snd.probe_unarmed,
            snd.cwnd_limited, snd.cwr_pending, in_flight and snd.progress_at,
            snd.cc.cwnd, snd.cc.ssthresh,
            snd.rtt.srtt_ns, snd.rtt.rto_ns, snd.rtt.min_rtt_ns,
            snd.flight.una, snd.flight.nxt, len(snd.flight) > 0,
            snd.flight.pipe, snd.flight.lost_bytes, snd.loss.state, snd.loss.dup_acks,
        )  # fmt: skip
        return (
            path, conn.state, conn.reason, conn.at_eof, conn.segs_in, conn.queued,
            tuple(conn.timers), snd.snd_una, snd.snd_nxt, snd.buffer.end - snd.buffer.start,
            snd.last_sent_at, max(snd.small_end, snd.snd_una), snd.override, conn.acks.unanswered,
            conn.bytes_sent, conn.segs_out, self.endpoint.time_wait_count,
            rcv.rcv_nxt, rcv.rcv_adv, rcv.rcv_mss, rcv.last_ack_sent, rcv.fin_seq, rcv.ack_now,
            rcv.ece, rcv.ts_recent, rcv.ts_recent_at, rcv.total, rcv.buffer.size,
            tuple(rcv.reassembly.starts), tuple(rcv.reassembly.ends),
            self.endpoint.counters.segments_in, self.endpoint.counters.malformed,
            self.events, self.out, self.read, self.endpoint.poll_timeout() <= min(conn.timers),
        )  # fmt: skip
