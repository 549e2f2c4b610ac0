"""LISTEN."""

from __future__ import annotations

import pytest

from utcp.core.listener import ACCEPT, COOKIE, IGNORE, REFUSE, RESET, Listener
from utcp.core.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, Segment


@pytest.mark.parametrize(
    ("flags", "verdict"),
    [
        (RST, IGNORE),
        (RST | ACK, IGNORE),
        (ACK, RESET),
        (SYN | ACK, RESET),
        (FIN | ACK, RESET),
        (SYN, ACCEPT),
        (SYN | PSH, ACCEPT),
        (SYN | ECE | CWR, ACCEPT),
        (FIN, IGNORE),
    ],
)
def test_segments(flags: int, verdict: int) -> None:
    # RFC 9293 §3.10.7.2
    seg = Segment()
    seg.flags = flags
    assert Listener(5, "never").segment_arrives(seg, 0) == verdict
    full = REFUSE if verdict == ACCEPT else verdict
    assert Listener(5, "never").segment_arrives(seg, 5) == full


@pytest.mark.parametrize(("half_open", "verdict"), [(0, ACCEPT), (2, ACCEPT), (3, REFUSE)])
def test_backlog(half_open: int, verdict: int) -> None:
    seg = Segment()
    seg.flags = SYN
    assert Listener(3, "never").segment_arrives(seg, half_open) == verdict


@pytest.mark.parametrize(
    ("syn_cookies", "room", "full"),
    [("never", ACCEPT, REFUSE), ("auto", ACCEPT, COOKIE), ("always", COOKIE, COOKIE)],
)
def test_cookies(syn_cookies: str, room: int, full: int) -> None:
    seg = Segment()
    seg.flags = SYN
    assert Listener(3, syn_cookies).segment_arrives(seg, 2) == room
    assert Listener(3, syn_cookies).segment_arrives(seg, 3) == full
