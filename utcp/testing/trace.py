"""The record of what went over a simulated network, and how it is printed.

A `Trace` keeps one `TraceEntry` per datagram that entered a link. `ladder` draws it the way
RFC 9293 draws connections (Figure 6): what one side did on the left, the other on the right, the
segment between them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from utcp.testing.clock import MS
from utcp.testing.segment_view import SACK_KIND, SYN, SegmentView

__all__ = ["Trace", "TraceEntry", "ladder"]

StateOf = Callable[[Hashable, Hashable], str]
"""(own address, peer's address) -> the name of the state in which `own` is towards `peer`."""


class TraceEntry:
    """One datagram: when it was sent and arrived, and the states of both ends then."""

    __slots__ = (
        "arrived_at",
        "data",
        "dst",
        "dst_state",
        "fate",
        "sent_at",
        "src",
        "src_state",
        "tos",
    )

    def __init__(
        self, sent_at: int, src: Hashable, dst: Hashable, data: bytes, tos: int, src_state: str
    ) -> None:
        self.sent_at = sent_at
        self.arrived_at = -1
        """When the (first) copy arrived; -1 if none has."""
        self.src = src
        self.dst = dst
        self.data = data
        self.tos = tos
        self.src_state = src_state
        """The sender's state after it sent this."""
        self.dst_state = ""
        """The receiver's state after it received this."""
        self.fate = ""
        """Why it did not arrive unharmed: for example "lost"; empty if nothing happened to it."""

    @property
    def segment(self) -> SegmentView | None:
        """The decoded segment; None if the datagram is no segment."""
        try:
            return SegmentView(self.data)
        except ValueError:
            return None

    def __repr__(self) -> str:
        return f"<TraceEntry {self.sent_at} {self.src}>{self.dst} {self.segment} {self.fate}>"


class Trace(list[TraceEntry]):
    """Everything that was sent, in order. With a `limit`, only the first so many datagrams."""

    def __init__(self, state_of: StateOf | None = None, limit: int = 1_000_000) -> None:
        super().__init__()
        self._state_of = state_of
        self.limit = limit

    def state_of(self, own: Hashable, peer: Hashable) -> str:
        """The state of `own` towards `peer` now; empty if that cannot be known."""
        return "" if self._state_of is None else self._state_of(own, peer)

    def sent(
        self, now: int, src: Hashable, dst: Hashable, data: bytes, tos: int
    ) -> TraceEntry | None:
        """Record a datagram that is being sent."""
        if len(self) >= self.limit:
            return None
        entry = TraceEntry(now, src, dst, data, tos, self.state_of(src, dst))
        self.append(entry)
        return entry

    def arrived(self, now: int, entry: TraceEntry) -> None:
        """Record that a datagram has been received."""
        if entry.arrived_at < 0:
            entry.arrived_at = now
            entry.dst_state = self.state_of(entry.dst, entry.src)


def ladder(
    trace: Iterable[TraceEntry],
    *,
    left: Hashable = None,
    start: int | None = None,
    last: int | None = None,
    all_options: bool = False,
) -> str:
    """The trace as a ladder diagram, one line per segment in the order of sending.

    Times are milliseconds since `start` (by default the first segment). `left` is the address
    drawn on the left (by default the first sender). The state on the sender's side is that after
    sending, the one on the receiver's side that after receiving; what did not arrive ends in `X`.
    Sequence numbers are relative to each side's initial one. With `last`, only so many lines are
    drawn. Timestamps and padding behind the SYN are left out unless `all_options`.
    """
    entries = list(trace)
    if not entries:
        return "(nothing was sent)\n"
    left = entries[0].src if left is None else left
    start = entries[0].sent_at if start is None else start
    iss: dict[tuple[Hashable, Hashable], int] = {}
    texts = [_describe(entry, iss, all_options) for entry in entries]
    if last is not None:
        entries, texts = entries[-last:], texts[-last:]
    width = max(len(text) for text in texts)
    right = ", ".join(dict.fromkeys(str(e.dst if e.src == left else e.src) for e in entries))
    lines = [f"{'ms':>12}  {left!s:<12} {'':<{width + 4}} {right}"]
    for entry, text in zip(entries, texts, strict=True):
        lost = entry.arrived_at < 0
        if entry.src == left:
            arrow = f"{text:<{width}} {'--X' if lost else '-->'}"
            sides = (entry.src_state, entry.dst_state)
        else:
            arrow = f"{'X--' if lost else '<--'} {text:<{width}}"
            sides = (entry.dst_state, entry.src_state)
        stamp = (entry.sent_at - start) / MS
        lines.append(f"{stamp:12.3f}  {sides[0]:<12} {arrow} {sides[1]}".rstrip())
    return "\n".join(lines) + "\n"


def _describe(
    entry: TraceEntry, iss: dict[tuple[Hashable, Hashable], int], all_options: bool
) -> str:
    segment = entry.segment
    note = f" ({entry.fate})" if entry.fate else ""
    if segment is None:
        return f"{len(entry.data)} bytes that are no segment{note}"
    way = (entry.src, entry.dst)
    if segment.flags & SYN:
        iss[way] = segment.seq32
    elif not all_options:
        segment.options = [option for option in segment.options if option[0] == SACK_KIND]
    # Of a connection that began before the trace, the first numbers seen serve as the base.
    own = iss.setdefault(way, segment.seq32)
    peer = iss.setdefault((entry.dst, entry.src), segment.ack32) if segment.ack else 0
    return segment.describe(own, peer) + note
