from __future__ import annotations

import pytest

from utcp.config import Config
from utcp.core import NEVER, Endpoint, State, Transmit, events
from utcp.testing import Script
from utcp.testing.notation import SegmentSpec

SYN = "S 0:0(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>"


def established(config: Config | None = None) -> Script:
    s = Script(config=config)
    s.listen()
    s.inject(SYN)
    s.expect("S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 1,nop,wscale *>")
    s.inject(". 1:1(0) ack 1 win 500 <nop,nop,TS val 2 ecr 100>")
    return s


def test_passive_open_and_echo() -> None:
    with established(Config(quick_acks=0)) as s:
        s.expect_state(State.ESTABLISHED)
        assert s.take_events() == events.CONNECTED
        assert s.take_events() == 0
        s.inject("P. 1:6(5) ack 1 win 500 <nop,nop,TS val 3 ecr 100>", data=b"hello")
        s.write(b"HELLO")
        segment = s.expect("P. 1:6(5) ack 6 <nop,nop,TS val 100 ecr 3>", data=b"HELLO")
        assert segment.payload == b"HELLO"
        assert s.read() == b"hello"
        s.take()  # whether the window that opens is told at once is not looked at here


def test_active_open() -> None:
    with Script(seed=3) as s:
        s.connect()
        s.expect_state(State.SYN_SENT)
        s.expect("SEW 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale *>")
        s.inject("S. 0:0(0) ack 1 win 1000 <mss 1000>")
        s.expect(". 1:1(0) ack 1")
        s.expect_state(State.ESTABLISHED)
        s.write(1500)
        s.expect(". 1:1001(1000) ack 1")
        s.abort()
        s.expect("R. *")
        s.expect_state(State.CLOSED)


def test_retransmission_time() -> None:
    with established() as s:
        s.advance(ms=50)
        s.write(b"lost")
        s.expect("P. 1:5(4) ack 1", at_ms=50)
        s.expect_nothing(for_ms=49)
        s.expect("P. 1:5(4) ack 1", within_ms=10_000)
        s.inject(". 1:1(0) ack 5 win 500 <nop,nop,TS val 3 ecr 350>")


def test_a_train_arrives_in_one_buffer() -> None:
    with established() as s:
        s.inject(
            ". 1:101(100) ack 1 win 500 <nop,nop,TS val 3 ecr 100>",
            ". 101:201(100) ack 1 win 500 <nop,nop,TS val 3 ecr 100>",
            "P. 201:231(30) ack 1 win 500 <nop,nop,TS val 3 ecr 100>",
        )
        assert s.read() == s.payload(1, 231)
        s.expect(". 1:1(0) ack 231", within_ms=500)


def test_sack_edges_are_relative() -> None:
    with established() as s:
        s.inject(". 101:201(100) ack 1 win 500 <nop,nop,TS val 3 ecr 100>")
        s.expect(". 1:1(0) ack 1 <TS val * ecr *,sack 101:201>")
        s.inject(". 1:101(100) ack 1 win 500 <nop,nop,TS val 3 ecr 100>")
        s.expect(". 1:1(0) ack 201 <TS val * ecr *>")
        assert s.read(150) + s.read() == s.payload(1, 201)
        s.take()


def test_orderly_close() -> None:
    with established() as s:
        s.close()
        s.expect("F. 1:1(0) ack 1")
        s.expect_state(State.FIN_WAIT_1)
        s.inject(". 1:1(0) ack 2 win 500 <nop,nop,TS val 3 ecr 100>")
        s.expect_state(State.FIN_WAIT_2)
        s.inject("F. 1:1(0) ack 2 win 500 <nop,nop,TS val 3 ecr 100>")
        s.expect(". 2:2(0) ack 2")
        s.expect_state(State.TIME_WAIT)
        s.advance(ms=61_000)
        s.expect_state(State.CLOSED)


def test_half_close() -> None:
    with established() as s:
        s.write_eof()
        s.expect("F. 1:1(0) ack 1")
        s.inject("P. 1:3(2) ack 2 win 500 <nop,nop,TS val 3 ecr 100>", data=b"ok")
        assert s.read() == b"ok"
        s.expect(". 2:2(0) ack 3", within_ms=500)


def test_icmp() -> None:
    with Script() as s:
        s.connect()
        s.expect("SEW *")
        s.unreachable(hard=True)
        s.expect_state(State.CLOSED)
    with established() as s:
        s.write(1400)
        s.expect("P. 1:1401(1400)")
        s.packet_too_big(1000)
        s.take()


def test_mismatches_are_told_with_the_transcript() -> None:
    s = established()
    s.write(b"hello")
    with pytest.raises(AssertionError) as caught:
        s.expect("[ce] F. 2:3(1) ack 7 win 1 <mss 5>", at_ms=3, data=b"world")
    text = str(caught.value)
    for part in (
        "expected  [ce] F. 2:3(1)",
        "got       P. 1:6(5) ack 1",
        "flags differ; sequence numbers differ; lengths differ; acknowledgments differ",
        "windows differ; ECN codepoints differ; options differ; time 0.000000 ms is not 3 ms",
        "payload b'hello' is not b'world'",
        "state ESTABLISHED",
        "0.000 ms  < S 0:0(0)",
        "0.000 ms  > S. 0:0(0)",
    ):
        assert part in text
    with pytest.raises(AssertionError, match="got       nothing"):
        s.expect(". *")
    s.write(b"more")
    with pytest.raises(AssertionError, match="expected  nothing"):
        s.expect_nothing()
    with pytest.raises(AssertionError, match="expected  state CLOSED\ngot       state EST"):
        s.expect_state(State.CLOSED)
    with pytest.raises(AssertionError, match="in the past"):
        s.at(ms=-1)
    with pytest.raises(AssertionError, match="expected  nothing"), s:
        pass


def test_what_cannot_be_sent() -> None:
    s = Script()
    with pytest.raises(ValueError, match="needs its sequence numbers"):
        s.inject("S")
    with pytest.raises(ValueError, match="needs all its numbers"):
        s.inject("S 0:0(0) <mss *>")
    with pytest.raises(ValueError, match="does not have 2 bytes"):
        s.inject("P. 1:2(1) ack 1", data=b"ab")


def test_strays_and_noise() -> None:
    with Script(peer_iss=77) as s:
        s.inject(". 1:1(0) ack 1 win 500")
        s.expect("R *")
        s.inject_raw(b"stun?")
        s.at(ms=5)
        assert s.now_ms == 5
        assert s.now == s.clock.now


@pytest.mark.parametrize(
    "text",
    [
        "",
        "X 0:0(0)",
        "S 0:5(0)",
        "S 0:0",
        "[ect9] S 0:0(0)",
        "S 0:0(0) win x",
        "S 0:0(0) <mss>",
        "S 0:0(0) <TS val 1>",
        "S 0:0(0) <sack 1>",
        "S 0:0(0) <what 1>",
    ],
)
def test_unreadable_notation(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read|unknown ECN|are not"):
        SegmentSpec(text)


def test_notation() -> None:
    spec = SegmentSpec(
        "[ect0] SFRP.EW 1:3(2) ack 4 win 5 <nop,eol,sack 1:2 3:4,kind254 0x0102,mss ...,...>"
    )
    assert (spec.ecn, spec.flags, spec.seq, spec.length) == (2, 0xDF, 1, 2)
    assert (spec.ack, spec.window, spec.more_options) == (4, 5, True)
    assert spec.options is not None
    assert [(option.kind, option.numbers, option.raw) for option in spec.options] == [
        (1, (), b""),
        (0, (), b""),
        (5, (1, 2, 3, 4), b""),
        (254, (), b"\x01\x02"),
        (2, (None,), b""),
    ]
    assert SegmentSpec("- *").flags == 0
    assert SegmentSpec(". * ack *").ack is None
    assert "SegmentSpec" in repr(spec)


class Broken(Endpoint):
    """An endpoint that does what none must do."""

    __slots__ = ("burst", "due")

    def __init__(self) -> None:
        super().__init__(Config(), bytes(16))
        self.burst = b""
        self.due = NEVER

    def poll_transmit(self, now: int) -> Transmit | None:
        if not self.burst:
            return super().poll_transmit(now)
        data, self.burst = self.burst, b""
        return Transmit(("192.0.2.1", 4321), data, len(data), 0)

    def poll_timeout(self) -> int:
        return self.due


def test_a_broken_endpoint_is_found_out() -> None:
    endpoint = Broken()
    s = Script(endpoint=endpoint)
    endpoint.burst = b"noise"
    with pytest.raises(AssertionError, match="what is no segment"):
        s.inject_raw(b"x")
    endpoint.due = 0
    with pytest.raises(AssertionError, match="stays in the past"):
        s.advance(ms=1)


def test_wrong_payload_is_found() -> None:
    s = established()
    s.write(b"hello")
    sent = s.take()[0]
    assert sent.payload == b"hello"
    s.conn.write(b"not through the script")
    s.write(b"world")
    with pytest.raises(AssertionError, match="not what was written there"):
        s.expect("P. *")


def test_any_option_at_all() -> None:
    s = established()
    s.write(b"x")
    with pytest.raises(AssertionError, match="options differ"):
        s.expect("P. 1:2(1) <kind254 0x01,...>")
    s.write(b"y")
    with pytest.raises(AssertionError, match="options differ"):
        s.expect("P. 2:3(1) <nop,nop,TS val 7777 ecr 2>")
    s.write(b"z")
    s.expect("P. 3:4(1) <nop,nop,TS val *  ecr *>")
    assert "OptionSpec(2, (5,)" in repr(SegmentSpec("S <mss 5>").options)


def test_an_option_with_a_name_may_be_given_as_bytes() -> None:
    with Script() as s:
        s.listen()
        s.inject("S 0:0(0) win 1000 <kind2 0x0400,kind3 0x0e>")
        s.expect("S. 0:0(0) ack 1 <mss *,nop,wscale *>")
