"""`Endpoint` in every state, against a peer, a network, a clock and an application that do
anything at all.

The first two bytes of an input choose the configuration and the state to begin in, which is
reached in order. Each of the following ones chooses an action, and more bytes its details.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.fuzz.inputs import Input
from tests.fuzz.states import IRS, STATES, Play
from tests.fuzz.subject import PEER
from utcp.core import Connection, segment
from utcp.core.segment import ACK, FIN, PSH, RST, SYN
from utcp.testing.clock import MS

_MOST_ACTIONS: Final = 60
_LONGEST: Final = 200_000 * MS

_FLAGS: Final = (ACK, ACK, ACK, ACK | PSH, ACK | PSH, ACK | FIN, ACK | FIN | PSH, SYN, SYN | ACK,
                 RST, RST | ACK, FIN, 0, ACK | SYN | FIN, ACK | 0xC0, SYN | 0xC0)  # fmt: skip
_SEQUENCE_BY: Final = "----bb--b--s-b-w"
_ACKNOWLEDGMENT_BY: Final = "------bs----bb-w"
_OPTIONS: Final[tuple[Callable[[Play, Input], bytes], ...]] = (
    lambda play, choose: play.options(val=-choose.byte()),
    lambda play, choose: play.options(val=choose.short(), ecr=-choose.short()),
    lambda play, choose: segment.timestamps_option(choose.word(), choose.word()),
    lambda play, choose: b"",
    lambda play, choose: segment.syn_options(
        choose.short(), choose.byte(), True, (choose.word(), 0)
    ),
    lambda play, choose: play.options(ecr=-choose.byte()),
)
_WINDOWS: Final = (5000, 5000, 5000, 0, 1, 100, 65_535)


def endpoint_input(data: bytes) -> None:
    """Do what `data` says. AssertionError, or any other exception, if something is wrong."""
    choose = Input(data)
    play = Play(choose.byte())
    STATES[choose.byte() % len(STATES)](play)
    for _ in range(_MOST_ACTIONS):
        if choose.empty:
            break
        ACTIONS[choose.byte() % len(ACTIONS)](play, choose)
    play.it.finish()


# -- actions -------------------------------------------------------------------------------------


def _segment(play: Play, choose: Input) -> None:
    """The peer sends a segment, some of its fields wrong; zeros mean that they are right."""
    flags = choose.byte()
    where = choose.byte()
    size = choose.byte()
    what = choose.byte()
    seq = _sequence(play, where & 15, choose)
    ack = _acknowledgment(play, where >> 4, choose)
    window = _WINDOWS[what & 7] if what & 7 < 7 else choose.short()
    options = _options(play, what >> 3, choose)
    # An odd size brings other bytes than the stream's.
    text = play.text(seq, size * 6) if not size & 1 else bytes((size,)) * (size * 2)
    bits = _FLAGS[flags & 15] if flags < 240 else choose.byte()
    play.it.receive(segment.build(bits, window, seq, ack, options) + text, ecn=3 * (size > 250))


def _sequence(play: Play, kind: int, choose: Input) -> int:
    nxt = play.nxt
    conn = play.it.conn
    adv, first, last = nxt, nxt, nxt
    if conn is not None:
        adv = conn.rcv.rcv_adv
        held = conn.rcv.reassembly
        if held.starts:
            first, last = held.starts[0], held.ends[-1]
    by = _by(_SEQUENCE_BY, kind, choose)
    return (nxt, nxt, nxt, nxt, nxt + by, nxt - by, nxt - 1, adv, adv - by, adv + 1, IRS, nxt + by,
            nxt + 0x8000_0000, first - by, last, by)[kind]  # fmt: skip


def _acknowledgment(play: Play, kind: int, choose: Input) -> int:
    conn = play.it.conn
    if conn is None:
        return choose.word()
    snd = conn.snd
    una, nxt, iss = snd.snd_una, snd.snd_nxt, snd.iss
    by = _by(_ACKNOWLEDGMENT_BY, kind, choose)
    return (nxt, nxt, nxt, nxt, nxt, una, una + by, una + by, una - 1, nxt + 1, iss, iss + 1,
            una - snd.max_snd_wnd - by, nxt - by, nxt + 0x8000_0000, by)[kind]  # fmt: skip


def _by(sizes: str, kind: int, choose: Input) -> int:
    """How far off: nothing, or a byte, a short or a word of the input."""
    match sizes[kind]:
        case "b":
            return choose.byte()
        case "s":
            return choose.short()
        case "w":
            return choose.word()
        case _:
            return 0


def _options(play: Play, kind: int, choose: Input) -> bytes:
    if kind < 8:
        return play.options()
    if kind < 14:
        return play.options() + _sack(play, kind & 3, choose)
    if kind > 19:
        some = choose.take(choose.byte() % 41)
        return some + bytes(-len(some) % 4)
    return _OPTIONS[kind - 14](play, choose)


def _sack(play: Play, count: int, choose: Input) -> bytes:
    conn = play.it.conn
    una = conn.snd.snd_una if conn is not None else 0
    blocks = []
    for _ in range(min(count + 1, 3)):
        start = una + choose.byte() * 8 - 64
        blocks.append((start, start + choose.byte() * 8 - (256 if choose.byte() & 128 else 0)))
    return segment.sack_option(blocks)


def raw(play: Play, choose: Input) -> None:
    """Any bytes."""
    play.it.receive(choose.take(choose.short() % 2000))


def _train(play: Play, choose: Input) -> None:
    """Several segments in one buffer, one behind the other but for the gaps."""
    count = choose.byte() % 20 + 1
    size = choose.byte() * 2 + 1
    kind = choose.byte()
    seq = _sequence(play, kind & 15, choose)
    options = play.options()
    window = choose.short() if kind & 16 else 5000
    parts = []
    for number in range(count):
        if kind & 32 and choose.byte() == 1:
            seq += size
        flags = ACK | PSH if number == count - 1 else ACK
        head = segment.build(flags, window, seq, play.acked(), options)
        last = size // 2 if kind & 64 and number == count - 1 else size
        parts.append(head + play.text(seq, last))
        seq += last
    stride = len(parts[0]) if not kind & 128 else choose.short() + 1
    play.it.receive(b"".join(parts), stride, ecn=3 * (count == 7))


def _stranger(play: Play, choose: Input) -> None:
    """Somebody else sends something."""
    who = f"other {choose.byte() & 3}"
    flags = choose.byte()
    head = segment.build(_FLAGS[flags & 15], 5000, choose.word(), choose.word())
    play.it.receive(head + bytes(flags >> 4), addr=who)


def _icmp(play: Play, choose: Input) -> None:
    kind = choose.byte()
    conn = play.it.conn
    quoted = b""
    if kind & 2 and conn is not None:
        quoted = segment.build(ACK, 0, conn.snd.snd_una + choose.byte() - 8, 0)
    if kind & 4:
        quoted = choose.take(kind >> 4)
    if kind & 1:
        play.it.unreachable(PEER, bool(kind & 8), quoted)
    else:
        play.it.packet_too_big(PEER, choose.short(), quoted)


def wait(play: Play, choose: Input) -> None:
    """Time passes: from milliseconds to minutes, or up to the next timer."""
    kind = choose.byte()
    if kind < 128:
        play.it.wait(kind * MS)
        return
    due = play.it.endpoint.poll_timeout() - play.it.now
    if kind < 192:
        play.it.wait(min(due, _LONGEST))
    else:
        play.it.wait((MS << (kind & 31)) if kind & 31 < 18 else 40 * MS)


def _jump(play: Play, choose: Input) -> None:
    play.it.jump(MS << choose.byte() % 24)


def write(play: Play, choose: Input) -> None:
    play.it.write(choose.byte() * (1 + 40 * (choose.byte() & 1)))


def read(play: Play, choose: Input) -> None:
    size = choose.byte()
    play.it.read(-1 if size == 0 else size * 8, bool(size & 1))


def _acknowledge(play: Play, choose: Input) -> None:
    """The peer acknowledges all, or a part, in order."""
    conn = play.it.conn
    if conn is not None:
        part = choose.byte()
        ack = max(conn.snd.snd_nxt - part * 4, conn.snd.snd_una)
        play.it.receive(segment.build(ACK, 5000, play.nxt, ack, play.options()))


def write_eof(play: Play, _: Input) -> None:
    play.it.write_eof()


def close(play: Play, _: Input) -> None:
    play.it.close()


def _call(play: Play, choose: Input) -> None:
    """What an application does seldom."""
    it = play.it
    kind = choose.byte()
    on = bool(kind & 16)
    match kind & 15:
        case 0:
            it.listen()
        case 1:
            it.endpoint.unlisten()
        case 2 | 3:
            it.connect()
        case 4:
            it.endpoint.forget(PEER)
        case 5:
            it.set(lambda conn: conn.abort())
        case 6:
            it.set(lambda conn: conn.watch_writable(choose.short()))
        case 7 | 8:
            it.set(lambda conn: setattr(conn, "nodelay", on))
        case 9 | 10:
            it.set(lambda conn: setattr(conn, "cork", on))
        case 11 | 12:
            it.set(lambda conn: setattr(conn, "keepalive", on))
        case _:
            it.set(Connection.info)


ACTIONS: Final[tuple[Callable[[Play, Input], None], ...]] = (
    _segment, _segment, _segment, _segment, _segment, _segment, _train, _train, _acknowledge,
    _acknowledge, write, write, read, wait, wait, _jump, _icmp, _stranger, raw, write_eof,
    close, _call, _call,
)  # fmt: skip
