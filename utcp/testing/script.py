"""Packet scripts: one real endpoint against a peer that says exactly what the script says.

    with Script() as s:
        s.listen()
        s.inject("S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>")
        s.expect("S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 1,nop,wscale *>")
        s.at(ms=10)
        s.inject(". 1:1(0) ack 1 win 500 <nop,nop,TS val 2 ecr 100>")
        s.expect_state(State.ESTABLISHED)
        s.write(b"hello")
        s.expect("P. 1:6(5) ack 1")
        s.expect("P. 1:6(5) ack 1", at_ms=80)      # not acknowledged: a tail loss probe

The notation is packetdrill's, see `utcp.testing.notation`. Time is virtual and starts at 0 ms; it
moves in `at`, `advance`, and in `expect` with a time. What the endpoint sends is kept, with the
time at which it was sent, until `expect` takes it. Timestamp values: the number that the script
writes for the endpoint's first TSval (0 if it writes none) stands for that value, whatever it was,
and later ones are counted from there; so are the TSecr that the script sends.

A mismatch raises AssertionError that shows the transcript up to there.
"""

from __future__ import annotations

import random
from types import TracebackType
from typing import Any, Self

from utcp.config import Config
from utcp.core import NEVER, Endpoint, State
from utcp.testing.apps import Pattern
from utcp.testing.clock import MS, VirtualClock
from utcp.testing.notation import OptionSpec, SegmentSpec, encode_option
from utcp.testing.segment_view import (
    ACK,
    EOL_KIND,
    NOP_KIND,
    SACK_KIND,
    SYN,
    TS_KIND,
    Option,
    SegmentView,
    encode_segment,
)

__all__ = ["Script"]

_PEER = ("192.0.2.1", 4321)
_MASK = 0xFFFF_FFFF


class _Sent:
    """A datagram that the endpoint has sent."""

    __slots__ = ("at", "segment", "tos")

    def __init__(self, at: int, segment: SegmentView, tos: int) -> None:
        self.at = at
        self.segment = segment
        self.tos = tos


class Script:
    """Drives one endpoint. As a context manager it also fails, at the end, if the endpoint has
    sent something that was not expected.

    `peer_iss` is the peer's initial sequence number (drawn from `seed` if None). `endpoint` may
    be given ready-made; else one is made from `config`, `seed` and `path_mtu`.
    """

    def __init__(
        self,
        *,
        config: Config | None = None,
        seed: int = 0,
        peer_iss: int | None = None,
        path_mtu: int = 1500,
        endpoint: Any = None,
    ) -> None:
        rng = random.Random(seed)
        entropy = rng.randbytes(32)
        if endpoint is None:
            endpoint = Endpoint(config or Config(), entropy, path_mtu=path_mtu)
        self.endpoint = endpoint
        self.peer = _PEER
        self.conn: Any = None
        """The connection, as soon as there is one."""
        self.events = 0
        """Event bits seen since the last `take_events`."""
        self.peer_iss = rng.getrandbits(32) if peer_iss is None else peer_iss
        self.iss: int | None = None
        """The endpoint's initial sequence number, known from its SYN on."""
        self.clock = VirtualClock()
        self._start = self.clock.now
        self._sent: list[_Sent] = []
        self._written = bytearray()
        self._pattern = Pattern(seed)
        self._ts_offset: int | None = None
        self._transcript: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.expect_nothing()

    # -- time ----------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The endpoint's clock, nanoseconds."""
        return self.clock.now

    @property
    def now_ms(self) -> float:
        """Milliseconds since the script began."""
        return (self.clock.now - self._start) / MS

    def at(self, *, ms: float) -> None:
        """Move to `ms` milliseconds from the beginning; timers fire at their exact times."""
        self._run_to(self._start + round(ms * MS))

    def advance(self, *, ms: float) -> None:
        """Move on by `ms` milliseconds; timers fire at their exact times."""
        self._run_to(self.clock.now + round(ms * MS))

    def _run_to(self, until: int, stop_when_sent: bool = False) -> None:
        if until < self.clock.now:
            raise self._failure(f"{(until - self._start) / MS:g} ms is in the past")
        idle_turns = 0
        while (due := self.endpoint.poll_timeout()) <= until and due != NEVER:
            idle_turns = idle_turns + 1 if due <= self.clock.now else 0
            if idle_turns > 1000:
                raise self._failure("the endpoint's time-out stays in the past")
            self.clock.advance_to(due)
            self.endpoint.handle_timeout(self.clock.now)
            self._turn()
            if stop_when_sent and self._sent:
                return
        self.clock.advance_to(until)

    # -- the application's side ----------------------------------------------------------------

    def listen(self, backlog: int = 100) -> None:
        """Passive OPEN."""
        self._log("listen()")
        self.endpoint.listen(backlog)

    def connect(self) -> Any:
        """Active OPEN; returns the connection."""
        self._log("connect()")
        self.conn = self.endpoint.connect(self.clock.now, self.peer)
        self._turn()
        return self.conn

    def write(self, data: bytes | int) -> None:
        """Write `data`, or that many bytes of a fixed pattern."""
        if isinstance(data, int):
            data = self._pattern.data(len(self._written), data)
        self._log(f"write({len(data)})")
        self._written += data
        self.conn.write(data)
        self._turn()

    def read(self, limit: int = -1) -> bytes:
        """Read what has arrived, `limit` bytes at most."""
        data: bytes = self.conn.read(limit)
        self._log(f"read({limit}) = {len(data)} bytes")
        self._turn()
        return data

    def write_eof(self) -> None:
        """Half-close."""
        self._call("write_eof")

    def close(self) -> None:
        """CLOSE."""
        self._call("close")

    def abort(self) -> None:
        """ABORT."""
        self._call("abort")

    def _call(self, name: str) -> None:
        self._log(f"{name}()")
        getattr(self.conn, name)()
        self._turn()

    @property
    def state(self) -> State:
        """The connection's state (CLOSED if there is none)."""
        state: State = self.endpoint.state(self.peer)
        return state

    def expect_state(self, state: State) -> None:
        """The connection must be in this state."""
        if self.state is not state:
            raise self._failure(f"expected  state {state}\ngot       state {self.state}")

    def take_events(self) -> int:
        """The event bits seen since the last call."""
        events, self.events = self.events, 0
        return events

    # -- the peer's side -----------------------------------------------------------------------

    def inject(self, *texts: str, data: bytes | None = None) -> None:
        """The peer sends. Several segments arrive in one buffer, as UDP_GRO merges them (all but
        the last must be equally long). Payload is a fixed pattern by sequence number (see
        `payload`), unless there is `data`, for a single segment."""
        specs = [SegmentSpec(text) for text in texts]
        datagrams = [self._encode(spec, data) for spec in specs]
        for spec in specs:
            self._log(f"< {spec.text}")
        self.inject_raw(b"".join(datagrams), len(datagrams[0]), specs[0].ecn or 0)

    def inject_raw(self, data: bytes, stride: int = 0, ecn: int = 0) -> None:
        """Datagrams of any bytes arrive, cut every `stride` bytes."""
        stride = 0 if stride >= len(data) else stride
        self.endpoint.receive(self.clock.now, self.peer, data, len(data), stride, ecn)
        self._turn()

    def unreachable(self, hard: bool = True) -> None:
        """ICMP unreachable arrives; `hard`: port or protocol."""
        self._log(f"< icmp unreachable, {'hard' if hard else 'soft'}")
        self.endpoint.unreachable(self.clock.now, self.peer, hard)
        self._turn()

    def packet_too_big(self, mtu: int) -> None:
        """ICMP fragmentation needed arrives, or a send fails with EMSGSIZE."""
        self._log(f"< icmp packet too big, mtu {mtu}")
        self.endpoint.packet_too_big(self.clock.now, self.peer, mtu)
        self._turn()

    def payload(self, start: int, end: int) -> bytes:
        """The bytes that `inject` sends for the relative sequence numbers [start, end)."""
        return self._pattern.data(start, end - start)

    def expect(
        self,
        text: str,
        *,
        at_ms: float | None = None,
        within_ms: float | None = None,
        data: bytes | None = None,
    ) -> SegmentView:
        """The endpoint's next segment must be this one; returns it.

        Without a time it must have been sent by now. With `at_ms` it must be sent exactly then,
        and with `within_ms` during so many milliseconds from now: time moves on as needed.
        Payload is always compared with what was written; with `data`, also with that.
        """
        spec = SegmentSpec(text)
        if not self._sent and at_ms is not None:
            self._run_to(self._start + round(at_ms * MS), stop_when_sent=True)
        if not self._sent and within_ms is not None:
            self._run_to(self.clock.now + round(within_ms * MS), stop_when_sent=True)
        if not self._sent:
            raise self._failure(f"expected  {spec.text}\ngot       nothing")
        sent = self._sent.pop(0)
        problems = self._compare(spec, sent)
        if at_ms is not None and sent.at != self._start + round(at_ms * MS):
            problems.append(f"time {(sent.at - self._start) / MS:.6f} ms is not {at_ms} ms")
        if data is not None and sent.segment.payload != data:
            problems.append(f"payload {sent.segment.payload!r} is not {data!r}")
        if problems:
            got = self._describe(sent)
            what = f"expected  {spec.text}\ngot       {got}\n          " + "; ".join(problems)
            raise self._failure(what)
        return sent.segment

    def expect_nothing(self, *, for_ms: float = 0) -> None:
        """The endpoint has sent nothing more, and sends nothing for `for_ms` milliseconds."""
        if for_ms and not self._sent:
            self._run_to(self.clock.now + round(for_ms * MS), stop_when_sent=True)
        if self._sent:
            raise self._failure(f"expected  nothing\ngot       {self._describe(self._sent[0])}")

    def take(self) -> list[SegmentView]:
        """All segments sent and not yet expected, for tests that look for themselves."""
        segments = [sent.segment for sent in self._sent]
        self._sent.clear()
        return segments

    # -- inside --------------------------------------------------------------------------------

    def _turn(self) -> None:
        endpoint = self.endpoint
        while (conn := endpoint.poll_ready()) is not None:
            if self.conn is None or conn.addr == self.peer:
                self.conn = conn
            self.events |= conn.take_events()
        endpoint.settle()
        while (burst := endpoint.poll_transmit(self.clock.now)) is not None:
            size = burst.segment_size or len(burst.data)
            for start in range(0, len(burst.data), size):
                self._record(burst.data[start : start + size], burst.tos)

    def _record(self, datagram: bytes, tos: int) -> None:
        try:
            segment = SegmentView(datagram)
        except ValueError as error:
            raise self._failure(f"the endpoint sent what is no segment: {error}") from error
        if segment.flags & SYN:
            self.iss = segment.seq32
        sent = _Sent(self.clock.now, segment, tos)
        self._sent.append(sent)
        self._log(f"> {self._describe(sent)}")

    def _describe(self, sent: _Sent) -> str:
        text = sent.segment.describe(self.iss or 0, self.peer_iss)
        codepoint = ("", "[ect1] ", "[ect0] ", "[ce] ")[sent.tos & 3]
        stamps = sent.segment.timestamps
        if stamps is not None and self._ts_offset is not None:
            value = (stamps[0] - self._ts_offset) & _MASK
            text = text.replace(f"TS val {stamps[0]} ", f"TS val {value} ")
        return codepoint + text

    def _encode(self, spec: SegmentSpec, data: bytes | None) -> bytes:
        if data is not None and len(data) != spec.length:
            raise ValueError(f"{spec.text!r} does not have {len(data)} bytes")
        if spec.any_seq:
            raise ValueError(f"{spec.text!r} needs its sequence numbers")
        base = self.iss or 0
        ack32 = 0 if spec.ack is None else spec.ack + base
        window = 65_535 if spec.window is None else spec.window
        options = [encode_option(o, base, self._ts_offset or 0) for o in spec.options or ()]
        payload = self._pattern.data(spec.seq, spec.length) if data is None else data
        return encode_segment(spec.flags, spec.seq + self.peer_iss, ack32, window, options, payload)

    def _compare(self, spec: SegmentSpec, sent: _Sent) -> list[str]:
        segment = sent.segment
        problems = []
        # A RST for a segment of nobody has sequence numbers taken from that segment.
        seq = (segment.seq32 - (self.iss or 0)) & _MASK
        if segment.flags != spec.flags:
            problems.append("flags differ")
        if not spec.any_seq and seq != spec.seq & _MASK:
            problems.append("sequence numbers differ")
        if not spec.any_seq and len(segment.payload) != spec.length:
            problems.append("lengths differ")
        ack = (segment.ack32 - self.peer_iss) & _MASK
        if spec.ack is not None and (not segment.flags & ACK or ack != spec.ack & _MASK):
            problems.append("acknowledgments differ")
        if spec.window is not None and segment.window != spec.window:
            problems.append("windows differ")
        if spec.ecn is not None and sent.tos & 3 != spec.ecn:
            problems.append("ECN codepoints differ")
        if spec.options is not None and not self._options_match(spec, segment):
            problems.append("options differ")
        if segment.payload and self._written:
            start = seq - 1 + segment.syn
            if segment.payload != self._written[start : start + len(segment.payload)]:
                problems.append("the payload is not what was written there")
        return problems

    def _options_match(self, spec: SegmentSpec, segment: SegmentView) -> bool:
        wanted = spec.options or []
        found = segment.options
        if not any(option.kind in (NOP_KIND, EOL_KIND) for option in wanted):
            found = [option for option in found if option[0] not in (NOP_KIND, EOL_KIND)]
        if len(found) < len(wanted) or (len(found) > len(wanted) and not spec.more_options):
            return False
        return all(
            self._option_matches(want, got) for want, got in zip(wanted, found, strict=False)
        )

    def _option_matches(self, want: OptionSpec, got: Option) -> bool:
        kind, content = got
        if kind != want.kind or (want.raw and want.raw != content):
            return False
        if kind == TS_KIND and self._ts_offset is None:
            self._ts_offset = int.from_bytes(content[:4], "big") - (want.numbers[0] or 0)
        bases = {SACK_KIND: (self.peer_iss,) * 8, TS_KIND: (self._ts_offset or 0, 0)}
        width = len(content) // len(want.numbers) if want.numbers else 0
        for i, number in enumerate(want.numbers):
            base = bases.get(kind, (0,) * 8)[i]
            value = int.from_bytes(content[i * width : (i + 1) * width], "big")
            if number is not None and value != (number + base) & _MASK:
                return False
        return True

    def _log(self, line: str) -> None:
        self._transcript.append(f"{self.now_ms:12.3f} ms  {line}")

    def _failure(self, message: str) -> AssertionError:
        transcript = "\n".join(self._transcript)
        where = f"at {self.now_ms:.3f} ms, state {self.state}"
        return AssertionError(f"{message}\n\n{where}:\n{transcript}")
