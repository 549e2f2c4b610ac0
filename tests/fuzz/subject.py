"""The endpoint that is tried, with a driver and an application around it that check everything.

There are three peers: `PEER` speaks, and two others that now and then send something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.fuzz.checks import check_connection, check_endpoint
from tests.fuzz.model import Delivery
from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, State, Transmit, events
from utcp.core.segment import OK, RST, Segment
from utcp.core.seq import unwrap
from utcp.testing.apps import Pattern
from utcp.testing.clock import SECOND

PEER: Final = "peer"
BACKLOG: Final = 3
PATTERN_IN: Final = Pattern(1).data(0, 1 << 17)
PATTERN_OUT: Final = Pattern(2).data(0, 1 << 17)
START: Final = 1_000 * SECOND

_ENTROPY: Final = b"the same for every input"
_MOST_WRITTEN: Final = 50_000
_MOST_BURSTS: Final = 400  # 100,000 bytes in segments of 256
_MOST_WAKE_UPS: Final = 20_000

CONFIGS: Final = (
    Config(recv_buffer=20_000),
    Config(recv_buffer=2048, timestamps=False, initial_window=1),
    Config(recv_buffer=70_000, sack=False, congestion_control="reno", nodelay=False),
    Config(recv_buffer=5_000, timestamps=False, sack=False, window_scaling=False, ecn=False),
    Config(recv_buffer=10_000, keepalive=True, keepalive_idle=1.0, keepalive_interval=0.5),
    Config(recv_buffer=100_000, user_timeout=5.0, mtu_probing=False, pacing=False),
    Config(recv_buffer=3_000, delayed_ack=0.0, quick_acks=0, fin_wait2_timeout=1.0, msl=0.5),
    Config(recv_buffer=20_000, retries2=2, retries1=1, orphan_retries=0, syn_retries=1,
           synack_retries=1, rto_min=0.01, max_segment_size=88),
)  # fmt: skip


class Subject:
    """One endpoint and the time."""

    __slots__ = (
        "_adv", "_delivery", "_rx", "_segment", "_una", "closed", "config", "conn",
        "endpoint", "now", "written",
    )  # fmt: skip

    def __init__(self, variant: int) -> None:
        self.config = CONFIGS[variant % len(CONFIGS)]
        self.endpoint = Endpoint(self.config, _ENTROPY, path_mtu=600 if variant & 8 else 1500)
        self.endpoint.max_burst_segments = 64 if variant & 16 else 1
        self.now = START
        self.conn: Connection | None = None
        """The connection with `PEER`, the last one if it is over."""
        self.written = 0
        self.closed = False
        self._segment = Segment()
        self._attach(None)

    def _attach(self, conn: Connection | None) -> None:
        self.conn = conn
        self.written = 0
        self.closed = False
        self._delivery: Delivery | None = None
        self._adv = self._una = self._rx = 0

    # -- what happens to it -------------------------------------------------------------------

    def receive(self, data: bytes, stride: int = 0, addr: str = PEER, ecn: int = 0) -> None:
        """A buffer comes in."""
        endpoint = self.endpoint
        size = stride or max(1, len(data))
        datagrams = [data[at : at + size] for at in range(0, len(data), size)]
        conn = self.conn
        if conn is not None and not conn.passive and conn.snd.snd_una == conn.snd.iss:
            # Until our SYN is acknowledged, another may turn out to be the peer's.
            self._delivery = None
            self._adv = self._rx = 0
        elif self._delivery is not None:
            self._delivery.before()
        replies = len(endpoint._agenda.replies)
        buffer = bytearray(data)
        endpoint.receive(self.now, addr, buffer, len(buffer), stride, ecn)
        # Nobody is answered more often than he spoke, and a RST not at all.
        speaking = sum(not _is_reset(datagram) for datagram in datagrams)
        assert len(endpoint._agenda.replies) <= replies + speaking
        if addr == PEER:
            self._look(datagrams)
        self._deliver()
        endpoint.settle()
        buffer[:] = b"\xdd" * len(buffer)  # the driver receives into it again
        self.turn()

    def _look(self, datagrams: list[bytes]) -> None:
        """Follow the connection with the peer."""
        old = self.conn
        conn = self.endpoint._connections.get(PEER)
        if old is not None and old is not conn:
            self._note(old, datagrams)
        if conn is not None:
            if conn is not old:
                self._attach(conn)
            self._note(conn, datagrams)

    def _note(self, conn: Connection, datagrams: list[bytes]) -> None:
        if self._delivery is None:
            if not conn.rcv.rcv_nxt:
                return
            self._delivery = Delivery(conn)
        self._delivery.note(datagrams)

    def _deliver(self) -> None:
        """Take the news, as a driver does."""
        while (conn := self.endpoint.poll_ready()) is not None:
            bits = conn.take_events()
            assert bits, "woken for nothing"
            if conn is self.conn:
                assert not self.closed, "news after the end"
                self.closed = bool(bits & events.CLOSED)
                if bits & events.EOF:
                    assert conn.rcv.fin_seq >= 0
        assert not any(conn.announced for conn in self.endpoint.connections())

    def turn(self) -> None:
        """Everything goes out, and what is due is done."""
        endpoint = self.endpoint
        self._transmit()
        for _ in range(20):
            if endpoint.poll_timeout() > self.now:
                break
            endpoint.handle_timeout(self.now)
            self._deliver()
            self._transmit()
        else:
            raise AssertionError("something stays due")
        self._check()

    def _transmit(self) -> None:
        replies = self.endpoint._agenda.replies
        for _ in range(_MOST_BURSTS):
            # These need not be of the connection that there is now.
            is_reply = bool(replies)
            burst = self.endpoint.poll_transmit(self.now)
            if burst is None:
                break
            self._sent(burst, is_reply)
        else:
            raise AssertionError("it never stops sending")
        self._deliver()

    def _sent(self, burst: Transmit, is_reply: bool) -> None:
        data, size = burst.data, burst.segment_size
        assert size > 0
        assert 0 < len(data) <= max(self.endpoint.max_burst_bytes, size)
        assert len(data) <= size * self.endpoint.max_burst_segments
        seg = self._segment
        conn = self.conn if burst.addr == PEER and not is_reply else None
        for start in range(0, len(data), size):
            end = min(start + size, len(data))
            assert seg.parse(data, start, end) == OK
            text = data[seg.payload_at : end]
            assert not text or not is_reply
            if conn is not None:
                self._check_sent(conn, seg, text)

    def _check_sent(self, conn: Connection, seg: Segment, text: bytes) -> None:
        snd = conn.snd
        seq = unwrap(seg.seq32, snd.snd_nxt)
        assert snd.snd_una - 1 <= seq
        assert seq + seg.length() <= snd.snd_nxt
        if text:
            # RFC 9293 §3.8.6.1: one byte may go beyond the window, as a probe. What lies beyond
            # because the window has shrunk is not sent again (SHLD-16).
            right = snd.snd_una + snd.snd_wnd
            assert seq + len(text) <= right + 1, "beyond the peer's window"
            at = seq - snd.iss - 1
            assert text == PATTERN_OUT[at : at + len(text)], "other bytes than were written"
            assert len(text) <= max(snd.smss, 1500)

    def _check(self) -> None:
        conn = self.conn
        if conn is not None:
            check_connection(conn)
            # What has been said stands.
            assert conn.rcv.rcv_adv >= self._adv
            assert conn.rcv.rcv_nxt >= self._rx
            assert conn.snd.snd_una >= self._una
            self._adv, self._rx = conn.rcv.rcv_adv, conn.rcv.rcv_nxt
            self._una = conn.snd.snd_una
            if self._delivery is not None:
                assert conn.readable == self._delivery.readable(), "bytes have got lost"
        check_endpoint(self.endpoint, BACKLOG)

    def unreachable(self, addr: str, hard: bool, quoted: bytes) -> None:
        """ICMP says that `addr` cannot be reached."""
        self.endpoint.unreachable(self.now, addr, hard, quoted)
        self._deliver()
        self.turn()

    def packet_too_big(self, addr: str, mtu: int, quoted: bytes) -> None:
        """ICMP says that packets to `addr` are too big."""
        self.endpoint.packet_too_big(self.now, addr, mtu, quoted)
        self.turn()

    def wait(self, ns: int) -> None:
        """Time passes, and every timer is called when it is due."""
        until = self.now + ns
        for _ in range(_MOST_WAKE_UPS):
            due = self.endpoint.poll_timeout()
            if due > until:
                break
            self.now = max(self.now, due)
            self.endpoint.handle_timeout(self.now)
            self._deliver()
            self.turn()
        else:
            raise AssertionError("timers fire without end")
        self.now = until

    def jump(self, ns: int) -> None:
        """Time has passed and nobody looked."""
        self.now += ns
        self.endpoint.handle_timeout(self.now)
        self._deliver()
        self.turn()

    # -- the application ----------------------------------------------------------------------

    def listen(self) -> None:
        self.endpoint.listen(BACKLOG)

    def connect(self) -> None:
        try:
            conn = self.endpoint.connect(self.now, PEER)
        except ValueError:
            assert PEER in self.endpoint
            return
        self._attach(conn)
        self.turn()

    def write(self, size: int) -> None:
        conn = self.conn
        size = min(size, _MOST_WRITTEN - self.written)
        if conn is None or size <= 0:
            return
        try:
            conn.write(PATTERN_OUT[self.written : self.written + size])
            self.written += size
        except ConnectionError:
            over = conn.state in (State.CLOSED, State.TIME_WAIT)
            assert over or conn.snd.fin_queued or conn.orphan
        self.turn()

    def read(self, limit: int, into: bool) -> None:
        conn = self.conn
        if conn is None or self._delivery is None:
            return
        if into:
            buffer = bytearray(max(limit, 1))
            data = bytes(buffer[: conn.read_into(buffer)])
        else:
            data = conn.read(limit)
        self._delivery.read(data)
        self.turn()

    def write_eof(self) -> None:
        self.set(Connection.write_eof)

    def close(self) -> None:
        self.set(Connection.close)

    def set(self, call: Callable[[Connection], object]) -> None:
        """The application calls something on the connection, if there is one."""
        if self.conn is not None:
            call(self.conn)
            self._deliver()
            self.turn()

    def finish(self) -> None:
        """All that has come in order can be read, whatever happened since; then the end."""
        self.read(-1, False)
        conn = self.conn
        if conn is not None:
            conn.abort()
            self._deliver()
            self.turn()
            assert conn.state in (State.CLOSED, State.TIME_WAIT)
        for other in self.endpoint.connections():
            other.abort()
        self._deliver()
        self.turn()
        self.now += 20 * 60 * SECOND
        self.endpoint.handle_timeout(self.now)
        assert self.endpoint.poll_timeout() == NEVER, "something is left"
        assert not self.endpoint.time_wait_count


def _is_reset(datagram: bytes) -> bool:
    return len(datagram) > 1 and bool(datagram[1] & RST)
