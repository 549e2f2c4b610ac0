"""Every state of a connection, reached by a real exchange with a scripted peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from utcp.config import Config
from utcp.testing import Script

WINDOW: Final = 500
"""The greatest window that the peer has ever offered (MAX.SND.WND)."""

STATES: Final = (
    "CLOSED",
    "LISTEN",
    "SYN-SENT",
    "SYN-RECEIVED",
    "SYN-RECEIVED (active)",
    "ESTABLISHED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "CLOSE-WAIT",
    "CLOSING",
    "LAST-ACK",
    "TIME-WAIT",
)


class Scene:
    """One connection in one state. Numbers are relative to the initial ones.

    The application has half-closed where the state says so, not closed: it can still read.
    """

    def __init__(self, state: str, *, stamps: bool = False) -> None:
        config = Config(timestamps=stamps, sack=False, window_scaling=False, ecn=False)
        self.state = state
        self.stamps = stamps
        self.s = Script(config=config, peer_iss=1000)
        self.una = 0
        """What the peer has acknowledged."""
        self.nxt = 0
        """SND.NXT"""
        self.rcv = 0
        """RCV.NXT"""
        _REACH[state](self)
        assert str(self.s.state) == state.removesuffix(" (active)").replace("LISTEN", "CLOSED")
        self.s.take()
        self.s.take_events()

    @property
    def window(self) -> int:
        """RCV.WND"""
        conn = self.s.conn
        return 65_535 if conn is None else conn.info().rcv_wnd

    def peer(self, text: str, *, stamp: int | None = 200) -> None:
        """The peer sends; `{rcv}`, `{nxt}` and so on stand for the numbers above."""
        if self.stamps and stamp is not None and "<" not in text:
            text += f" <nop,nop,TS val {stamp} ecr 0>"
        self.s.inject(text)

    # -- how to get there ----------------------------------------------------------------------

    def _syn_options(self) -> str:
        return f"<mss 1460{',TS val 100 ecr 0' if self.stamps else ''}>"

    def closed(self) -> None:
        pass

    def listen(self) -> None:
        self.s.listen()

    def syn_sent(self) -> None:
        self.s.connect()
        self.nxt = 1

    def syn_received(self) -> None:
        self.s.listen()
        self.s.inject(f"S 0:0(0) win {WINDOW} {self._syn_options()}")
        self.nxt = self.rcv = 1

    def syn_received_active(self) -> None:
        self.s.connect()
        self.s.inject(f"S 0:0(0) win {WINDOW} {self._syn_options()}")
        self.nxt = self.rcv = 1

    def established(self) -> None:
        s = self.s
        s.connect()
        s.inject(f"S. 0:0(0) ack 1 win {WINDOW} {self._syn_options()}")
        # Some data in both directions, so that there is a past.
        for end in (501, 1001, 1501):
            s.write(500)
            self.peer(f". 1:1(0) ack {end} win {WINDOW}", stamp=100)
        self.peer(f"P. 1:101(100) ack 1501 win {WINDOW}", stamp=100)
        s.read()
        s.advance(ms=600)
        self.una = self.nxt = 1501
        self.rcv = 101

    def fin_wait_1(self) -> None:
        self.established()
        self.s.write_eof()
        self.nxt += 1

    def fin_wait_2(self) -> None:
        self.fin_wait_1()
        self.una = self.nxt
        self.peer(f". {self.rcv}:{self.rcv}(0) ack {self.nxt} win {WINDOW}", stamp=101)

    def _fin(self) -> None:
        self.peer(f"F. {self.rcv}:{self.rcv}(0) ack {self.una} win {WINDOW}", stamp=102)
        self.rcv += 1

    def close_wait(self) -> None:
        self.established()
        self._fin()

    def closing(self) -> None:
        self.fin_wait_1()
        self._fin()

    def last_ack(self) -> None:
        self.close_wait()
        self.s.write_eof()
        self.nxt += 1

    def time_wait(self) -> None:
        self.fin_wait_2()
        self._fin()


_REACH: Final[dict[str, Callable[[Scene], None]]] = {
    "CLOSED": Scene.closed,
    "LISTEN": Scene.listen,
    "SYN-SENT": Scene.syn_sent,
    "SYN-RECEIVED": Scene.syn_received,
    "SYN-RECEIVED (active)": Scene.syn_received_active,
    "ESTABLISHED": Scene.established,
    "FIN-WAIT-1": Scene.fin_wait_1,
    "FIN-WAIT-2": Scene.fin_wait_2,
    "CLOSE-WAIT": Scene.close_wait,
    "CLOSING": Scene.closing,
    "LAST-ACK": Scene.last_ack,
    "TIME-WAIT": Scene.time_wait,
}
