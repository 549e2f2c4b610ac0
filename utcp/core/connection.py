"""Connection: the parts of one TCP connection, and the calls of its user.

It holds what belongs together and contains no algorithm: arriving segments are processed by
`arrival` and `fastpath`, what leaves is decided by `output`, time-outs by `timeouts`, and each
part (`Sender`, `Receiver`, their buffers, the flight, congestion control) knows only itself.

Four kinds of methods: questions (`state`, `readable`, `info` ...), commands of the application
(`write`, `read`, `close` ...), events (`take_events`), and what the modules beside this one use.
Commands may be given at any time between two calls to the endpoint. None of them blocks or sends:
what they cause leaves through `Endpoint.poll_transmit`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from utcp.config import Config
from utcp.core import autotune, cc, events, message, status, teardown, timers
from utcp.core.ackdelay import AckDelay
from utcp.core.agenda import Agenda
from utcp.core.pmtu import LOOPBACK_MTU, PathMtu, mss_for
from utcp.core.receiver import MAX_WINDOW, Receiver
from utcp.core.rtt import RttEstimator
from utcp.core.sender import Sender
from utcp.core.seq import MASK32
from utcp.core.state import (
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_2,
    LISTEN,
    SYN_RECEIVED,
    TIME_WAIT,
    TRANSITIONS,
    Reason,
    State,
)
from utcp.core.timers import NEVER
from utcp.stats import Counters, TcpInfo

_MIN_SNDBUF: Final = 256 << 10
_NEVER_BEFORE: Final = -NEVER
# `fastpath` knows segments with timestamps in states where an ACK acknowledges no FIN.
_PREDICTABLE: Final = frozenset((ESTABLISHED, CLOSE_WAIT, FIN_WAIT_2))


class Connection:
    """One TCP connection, made by `Endpoint.connect` or by a SYN that a listener accepted."""

    __slots__ = (
        "_events",
        "acks",
        "addr",
        "agenda",
        "announced",
        "await_data",
        "burst_capacity",
        "bytes_retrans",
        "calm",
        "challenged_at",
        "config",
        "counters",
        "data_tos",
        "ecn_ok",
        "folded",
        "heap_at",
        "in_flight",
        "ipv6",
        "keepalive_count",
        "keepalive_due",
        "keepalive_idle_ns",
        "keepalive_interval_ns",
        "keepalive_on",
        "keepalive_probes",
        "last_heard_at",
        "more",
        "mss_ok",
        "orphan",
        "passive",
        "path_mtu",
        "pmtu",
        "predict",
        "queued",
        "rcv",
        "reason",
        "recv_buffer",
        "reset_due",
        "sack_ok",
        "segs_in",
        "segs_out",
        "send_buffer",
        "silent",
        "snd",
        "soft_error",
        "squeezed",
        "state",
        "syn_due",
        "timers",
        "tos",
        "total_retrans",
        "ts_offset",
        "ts_ok",
        "user_timeout_ns",
        "writable_level",
        "written",
        "wscale_ok",
    )

    def __init__(
        self,
        addr: Hashable,
        config: Config,
        agenda: Agenda,
        counters: Counters,
        *,
        iss: int,
        ts_offset: int,
        path_mtu: int,
        ipv6: bool,
        passive: bool,
        burst_capacity: int,
    ) -> None:
        self.addr, self.config = addr, config
        self.agenda = agenda
        self.counters = counters
        self.passive = passive
        """Whether it came from a listener (RFC 9293 §3.5, MUST-11)."""
        self.ipv6, self.path_mtu, self.burst_capacity = ipv6, path_mtu, burst_capacity
        self.state: State = LISTEN if passive else CLOSED
        self.reason: Reason = Reason.NONE
        self.soft_error = ""
        """The last condition that made delivery slow or doubtful, as a word; "" for none."""
        terms = agenda.terms
        self.pmtu = PathMtu(path_mtu, ipv6, terms.mtu_raise_ns)
        mss = mss_for(path_mtu, ipv6, config)
        rtt = RttEstimator(terms.rto_initial_ns, terms.rto_min_ns, terms.rto_max_ns)
        control = terms.control(mss - terms.options_size, config.initial_window)
        pacing = config.pacing and path_mtu < LOOPBACK_MTU
        self.snd = Sender(iss, mss, rtt, control, agenda.sample, config.nodelay, pacing)
        self.rcv = Receiver(config.recv_buffer, mss)
        self.offer()
        self.acks = AckDelay(terms.delayed_ack_ns, config.quick_acks)
        self.timers = timers.table()
        self.heap_at, self.ts_offset = NEVER, ts_offset
        self.ts_ok = self.sack_ok = self.wscale_ok = self.ecn_ok = self.mss_ok = False
        # Whether `fastpath` may be tried, nothing is unusual (see `calm`), a message is folded.
        self.predict = self.calm = self.folded = False
        self.written = self.in_flight = b""
        self.syn_due = self.reset_due = self.keepalive_due = False
        self.more = True  # to be sent, perhaps: see `output.poll`
        self.silent = passive  # the application has not heard of it yet
        # The application has called close(); an ACK waits for it: see `acknowledge`.
        self.orphan = self.await_data = False
        # In the queues of the agenda for what is to be sent, and for news.
        self.queued = self.announced = False
        self.writable_level = -1
        self.squeezed = False  # there are too many bytes in the buffers of all connections
        self.challenged_at = _NEVER_BEFORE
        self.tos = self.data_tos = config.dscp << 2  # in IP headers; the latter with new data
        self.send_buffer = config.send_buffer  # most bytes written that TCP takes as its own
        self.recv_buffer = config.recv_buffer  # what the receive buffer may grow to
        self.user_timeout_ns = terms.user_timeout_ns
        self.keepalive_on = config.keepalive
        self.keepalive_idle_ns = terms.keepalive_idle_ns
        self.keepalive_interval_ns = terms.keepalive_interval_ns
        self.keepalive_count = config.keepalive_count
        self._events = self.keepalive_probes = self.last_heard_at = 0
        self.bytes_retrans = self.total_retrans = self.segs_out = self.segs_in = 0

    # -- questions ----------------------------------------------------------------------------

    @property
    def readable(self) -> int:
        """Bytes that `read` would return now."""
        return self.rcv.buffer.size

    @property
    def at_eof(self) -> bool:
        """Whether the peer's FIN has arrived in order and all before it has been read."""
        rcv = self.rcv
        return rcv.fin_seq >= 0 and rcv.rcv_nxt > rcv.fin_seq and not rcv.buffer.size

    @property
    def buffered(self) -> int:
        """Bytes written that the peer has not acknowledged yet."""
        buffer = self.snd.buffer
        return buffer.end - buffer.start + len(self.in_flight) + len(self.written)

    @property
    def unsent(self) -> int:
        """Bytes written that were never sent yet."""
        return self.snd.unsent() + len(self.written)

    @property
    def bytes_sent(self) -> int:
        """Bytes of payload that were sent, retransmissions included."""
        snd = self.snd
        fin = snd.fin_queued and snd.snd_nxt > snd.buffer.end
        return max(snd.snd_nxt - fin - snd.iss - 1, 0) + self.bytes_retrans

    @property
    def most_received(self) -> int:
        """What the receive buffer may grow to: `recv_buffer`, or what the window field can say."""
        return self.recv_buffer if self.wscale_ok else min(self.recv_buffer, MAX_WINDOW)

    @property
    def sndbuf(self) -> int:
        """How many of the buffered bytes TCP takes as its own: twice the congestion window, as
        Linux sizes a socket's send buffer, or twice the peer's if that is less; at least 256 KiB,
        at most `send_buffer`. None while `Config.max_buffered` is exceeded."""
        if self.squeezed:
            return 0
        snd = self.snd
        size = 2 * snd.cc.cwnd
        if size > 2 * snd.max_snd_wnd:
            size = 2 * snd.max_snd_wnd
        if size < _MIN_SNDBUF:
            size = _MIN_SNDBUF
        return size if size < self.send_buffer else self.send_buffer

    @property
    def dscp(self) -> int:
        """What packets are marked with (RFC 9293 §3.9.1.9, MUST-48). May be set at any time."""
        return self.tos >> 2

    @dscp.setter
    def dscp(self, value: int) -> None:
        self.tos = value << 2
        # RFC 3168 §5: the two low bits are ECN's.
        self.data_tos = self.tos | self.data_tos & 3

    @property
    def nodelay(self) -> bool:
        """Whether small segments go at once; False: the Nagle algorithm (RFC 9293 §3.7.4)."""
        return self.snd.nodelay

    @nodelay.setter
    def nodelay(self, value: bool) -> None:
        self.unfold()
        self.snd.set_nodelay(value)
        self.calm = False
        self.touch()

    @property
    def cork(self) -> bool:
        """Whether only full segments go, and what is left over waits up to 200 ms for more, as
        with Linux's TCP_CORK. Setting it to False lets everything go."""
        return self.snd.cork

    @cork.setter
    def cork(self, value: bool) -> None:
        self.unfold()
        self.snd.cork = value
        self.calm = False
        self.timers[timers.CORK] = NEVER
        self.touch()

    @property
    def congestion_control(self) -> str:
        """The name of the algorithm. Setting it changes the algorithm and keeps the window.

        Setting raises ValueError for a name that is not known.
        """
        return self.snd.cc.name

    @congestion_control.setter
    def congestion_control(self, name: str) -> None:
        self.snd.cc = cc.succeed(self.snd.cc, name)

    @property
    def keepalive(self) -> bool:
        """Whether an idle peer is probed (RFC 9293 §3.8.4, MUST-24)."""
        return self.keepalive_on

    @keepalive.setter
    def keepalive(self, value: bool) -> None:
        self.unfold()
        self.keepalive_on = value
        self.calm = False
        self.keepalive_probes = 0
        self.timers[timers.KEEPALIVE] = NEVER
        self.touch()

    def info(self) -> TcpInfo:
        """A snapshot of everything that can be measured (RFC 9293 §3.9.1.5, STATUS)."""
        self.unfold()
        return status.snapshot(self)

    # -- commands of the application ----------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Queue bytes to be sent (RFC 9293 §3.10.2, SEND). Never refuses for lack of room. Returns
        `buffered`.

        `bytes` are kept as they are, anything mutable is copied. Raises BrokenPipeError after
        `write_eof` or `close`, and ConnectionError when the connection is over.
        """
        if self.calm and type(data) is bytes and message.write(self, data):
            return len(data)
        if self.snd.fin_queued:
            raise BrokenPipeError("connection closing")
        if not self.predict and (self.state is CLOSED or self.state is TIME_WAIT):
            raise ConnectionError("connection does not exist")
        self.unfold()
        buffer = self.snd.buffer
        buffer.append(data)
        if not self.queued:
            self.touch()
        return buffer.end - buffer.start

    def read(self, limit: int = -1) -> bytes:
        """Take out up to `limit` bytes that have arrived in order, all of them if it is negative;
        b"" if there are none (RFC 9293 §3.10.3, RECEIVE). Opens the window again."""
        rcv = self.rcv
        data = rcv.buffer.read(limit)
        # With more than half of the buffer still offered it is not due.
        if rcv.rcv_adv - rcv.rcv_nxt <= rcv.capacity + 1 >> 1 and rcv.window_update_due():
            self.window_opened()
        return data

    def read_into(self, buffer: bytearray | memoryview) -> int:
        """As `read`, straight into `buffer`; returns how many bytes were put there."""
        rcv = self.rcv
        size = rcv.buffer.read_into(buffer)
        if rcv.rcv_adv - rcv.rcv_nxt <= rcv.capacity + 1 >> 1 and rcv.window_update_due():
            self.window_opened()
        return size

    def watch_writable(self, level: int) -> None:
        """Ask for WRITABLE, once, as soon as `buffered - sndbuf` is not above `level` bytes; it
        does not come any more when the connection is over."""
        if self.state is not CLOSED and self.state is not TIME_WAIT:
            self.unfold()
            self.writable_level = level
            self.calm = False
            self.agenda.memory.note(self)
            self.check_writable()

    def write_eof(self) -> None:
        """Say that no more will be written: a FIN goes out behind what is queued. Reading goes on
        for as long as the peer sends (RFC 9293 §3.6.1). Again, or when all is over: no effect."""
        if self.state is not CLOSED and self.state is not TIME_WAIT:
            self.unfold()
            teardown.send_fin(self)

    def close(self, *, more: bool = False) -> None:
        """End both directions (RFC 9293 §3.10.4, CLOSE): what is written and a FIN still go out.

        Bytes that were received and not read, or that arrive later, turn it into a RST (SHLD-3).
        With `more` the FIN waits for `write_eof`, and until then more can be written.
        """
        if self.state is not CLOSED and self.state is not TIME_WAIT and not self.orphan:
            self.unfold()
            teardown.close(self, more=more)

    def acknowledge(self) -> None:
        """Say that the application has heard of the connection and had the time to write: with
        `Endpoint.await_data` an ACK may have waited for that."""
        if self.await_data:
            self.await_data = False
            rcv = self.rcv
            rcv.ack_now |= rcv.rcv_nxt != rcv.last_ack_sent
            if rcv.ack_now or self.keepalive_on:
                self.touch()

    def abort(self) -> None:
        """Drop everything and reset the connection (RFC 9293 §3.10.5, ABORT)."""
        self.unfold()
        teardown.abort(self, Reason.ABORTED)

    # -- events -------------------------------------------------------------------------------

    def take_events(self) -> int:
        """The bits (see `utcp.core.events`) that were set since the last call."""
        bits = self._events
        self._events = 0
        return bits

    def signal(self, bit: int) -> None:
        """Set an event, and have the endpoint's `poll_ready` return this connection."""
        self._events |= bit
        if not self.announced and not self.silent:
            self.announced = True
            self.agenda.ready.append(self)

    def advise(self, condition: str) -> None:
        """RFC 9293 §3.9.1.8 (MUST-47): report a soft error, which ends nothing."""
        self.soft_error = condition
        self.signal(events.ADVICE)

    # -- for the modules beside this one --------------------------------------------------------

    def offer(self) -> None:
        """Begin with the window and the window scale that our SYN offers."""
        rcv = self.rcv
        rcv.capacity = autotune.initial(rcv.adv_mss, self.config.recv_buffer)
        rcv.rcv_wscale = self.agenda.terms.wscale

    def unfold(self) -> None:
        """To be called before anything but `message` looks at what was sent, or is to be."""
        if self.folded:
            message.unfold(self)

    def touch(self) -> None:
        """Have the endpoint's `poll_transmit` look at this connection."""
        if not self.queued:
            self.queued = True
            self.agenda.to_send.append(self)

    def move(self, state: State) -> None:
        """Change the state; only along `TRANSITIONS`."""
        old = self.state
        if state not in TRANSITIONS[old]:
            raise AssertionError(f"no transition from {old} to {state}")
        if self.passive:
            if state is SYN_RECEIVED:
                self.agenda.half_open[self] = None
            elif old is SYN_RECEIVED:
                del self.agenda.half_open[self]
        self.state = state
        self.calm = False
        self.predict = self.ts_ok and state in _PREDICTABLE

    def ts_clock(self, now: int) -> int:
        """The timestamp clock: milliseconds, from an offset of its own (RFC 7323 §5.4)."""
        return now // 1_000_000 + self.ts_offset & MASK32

    def count_out(self, segments: int) -> None:
        """Count a burst that goes out."""
        self.segs_out += segments
        self.counters.segments_out += segments

    def window_opened(self) -> None:
        """There is much more room: tell the peer, if that can matter to it."""
        rcv = self.rcv
        if rcv.fin_seq < 0 and self.snd.snd_una != self.snd.iss:
            rcv.ack_now = True
            self.touch()

    def check_writable(self) -> None:
        """Raise WRITABLE if it was asked for and the level is reached."""
        if self.writable_level >= 0 and self.buffered - self.sndbuf <= self.writable_level:
            self.writable_level = -1
            self.signal(events.WRITABLE)
