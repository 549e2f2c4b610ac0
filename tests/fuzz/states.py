"""Every state that an endpoint can be in, reached in order with a peer that behaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.fuzz.subject import PATTERN_IN, Subject
from utcp.core import segment
from utcp.core.segment import ACK, FIN, SYN
from utcp.testing.clock import MS

# Near enough to the top that numbers wrap.
IRS: Final = 0xFFFF_F000
_WSCALE: Final = 2
_MSS: Final = 400
_M32: Final = 0xFFFF_FFFF


class Play:
    """The subject, and what its peer knows."""

    __slots__ = ("it", "rtt_ns")

    def __init__(self, variant: int) -> None:
        self.it = Subject(variant)
        self.rtt_ns = 20 * MS if variant & 32 else 0

    # -- the numbers --------------------------------------------------------------------------

    @property
    def nxt(self) -> int:
        """What the subject waits for."""
        conn = self.it.conn
        return conn.rcv.rcv_nxt if conn is not None and conn.rcv.rcv_nxt else IRS

    def acked(self) -> int:
        """All that the subject has sent."""
        conn = self.it.conn
        return conn.snd.snd_nxt if conn is not None else 0

    def options(self, val: int = 0, ecr: int = 0) -> bytes:
        """Timestamps that are right, but for what is added to them."""
        conn = self.it.conn
        if conn is None or not conn.ts_ok:
            return b""
        now = self.it.now
        mine = (now // MS + val) & _M32
        return segment.timestamps_option(mine, (conn.ts_clock(now) + ecr) & _M32)

    def text(self, seq: int, size: int) -> bytes:
        """What the peer's stream has there."""
        at = (seq - IRS) & 0xFFFF
        return PATTERN_IN[at : at + size]

    # -- segments in order --------------------------------------------------------------------

    def say(self, flags: int, size: int = 0, window: int = 5000, ahead: int = 0) -> None:
        """The peer sends what comes next, one round trip later."""
        self.it.wait(self.rtt_ns)
        seq = self.nxt + ahead
        head = segment.build(flags, window, seq, self.acked(), self.options())
        self.it.receive(head + self.text(seq, size))

    def syn(self, flags: int = SYN) -> None:
        """The peer's SYN, with the options that the subject's configuration knows."""
        config = self.it.config
        self.it.wait(self.rtt_ns)
        stamps = (self.it.now // MS & _M32, 0) if config.timestamps else None
        wscale = _WSCALE if config.window_scaling else -1
        options = segment.syn_options(_MSS, wscale, config.sack, stamps)
        self.it.receive(segment.build(flags, 5000, IRS, self.acked(), options))


# -- states --------------------------------------------------------------------------------------


def _closed(play: Play) -> None:
    pass


def listen(play: Play) -> None:
    play.it.listen()


def syn_sent(play: Play) -> None:
    play.it.connect()


def _syn_received(play: Play) -> None:
    play.it.listen()
    play.syn()


def _simultaneous(play: Play) -> None:
    play.it.connect()
    play.syn()


def _active(play: Play) -> None:
    play.it.connect()
    play.syn(SYN | ACK)


def _passive(play: Play) -> None:
    _syn_received(play)
    play.say(ACK)


def _in_flight(play: Play) -> None:
    _active(play)
    play.it.write(3000)


def _holes(play: Play) -> None:
    _passive(play)
    play.say(ACK, 100)
    play.say(ACK, 50, ahead=300)
    play.say(ACK, 50, ahead=150)


def _both(play: Play) -> None:
    _in_flight(play)
    play.say(ACK, 50, ahead=100)
    play.it.write(1000)


def _shut(play: Play) -> None:
    _active(play)
    play.say(ACK, window=0)
    play.it.write(500)


def _unread(play: Play) -> None:
    _passive(play)
    for _ in range(4):
        play.say(ACK, 1400)


def _fin_wait_1(play: Play) -> None:
    _in_flight(play)
    play.it.write_eof()


def _fin_wait_2(play: Play) -> None:
    _fin_wait_1(play)
    play.say(ACK)


def _orphan(play: Play) -> None:
    _fin_wait_2(play)
    play.it.close()


def _close_wait(play: Play) -> None:
    _passive(play)
    play.say(ACK | FIN, 10)


def _closing(play: Play) -> None:
    _active(play)
    before = play.acked()
    play.it.write_eof()
    it = play.it
    it.receive(segment.build(ACK | FIN, 5000, play.nxt, before, play.options()))


def _last_ack(play: Play) -> None:
    _close_wait(play)
    play.it.write(100)
    play.it.write_eof()


def _time_wait(play: Play) -> None:
    play.it.listen()
    _fin_wait_2(play)
    play.say(ACK | FIN)


STATES: Final[tuple[Callable[[Play], None], ...]] = (
    _active, _passive, _in_flight, _holes, _both, _shut, _unread, _fin_wait_1, _fin_wait_2,
    _orphan, _close_wait, _closing, _last_ack, _time_wait, listen, syn_sent, _syn_received,
    _simultaneous, _closed,
)  # fmt: skip
