"""The table that `utcp bench` fills while it runs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from utcp.cli.sizes import format_amount, format_rate

__all__ = ["Row", "Table", "describe"]

_SHOWN: Final = 20
"""Rows of the table; older ones have scrolled away."""
_COLUMNS: Final = ("seconds", "carried", "rate", "RTT", "cwnd", "resent")
_WIDTHS: Final = (13, 10, 13, 10, 10, 8)


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured between two points in time, over all connections."""

    start: float  # seconds since the beginning
    end: float
    bytes: int
    rtt_us: int  # smoothed, mean of the connections
    cwnd: int | None  # bytes, sum of the connections; None: only the other end knows
    retransmitted: int | None  # segments, likewise

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / (self.end - self.start) if self.end > self.start else 0.0

    def until(self, later: Row) -> Row:
        """The row for the time from the end of this one to `later`, both counted from zero."""
        resent = None
        if later.retransmitted is not None and self.retransmitted is not None:
            resent = later.retransmitted - self.retransmitted
        carried = later.bytes - self.bytes
        return Row(self.end, later.end, carried, later.rtt_us, later.cwnd, resent)

    def cells(self) -> tuple[str, ...]:
        """As text, one for each column."""
        return (
            f"{self.start:.1f}-{self.end:.1f}",
            format_amount(self.bytes),
            format_rate(self.rate),
            f"{self.rtt_us / 1000:.2f} ms" if self.rtt_us else "",
            format_amount(self.cwnd) if self.cwnd is not None else "",
            f"{self.retransmitted:,}" if self.retransmitted is not None else "",
        )


class Table:
    """On a terminal a table that grows; elsewhere a line for each row, as soon as it is known."""

    def __init__(self, *, quiet: bool) -> None:
        self.rows: list[Row] = []
        self._quiet = quiet
        console = Console()
        self._live = None
        if console.is_terminal and not quiet:
            self._live = Live(self._table(), console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def add(self, row: Row) -> None:
        """Show one more."""
        first = not self.rows
        self.rows.append(row)
        if self._live is not None:
            self._live.update(self._table())
            if first:  # not earlier: there may be an error to say instead
                self._live.start(refresh=True)
        elif not self._quiet:
            if first:
                self._print(_COLUMNS)
            self._print(row.cells())

    def _print(self, cells: tuple[str, ...]) -> None:
        line = " ".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
        print(line, file=sys.stdout, flush=True)

    def _table(self) -> RichTable:
        table = RichTable(box=box.SIMPLE)
        for column in _COLUMNS:
            table.add_column(column, justify="right")
        for row in self.rows[-_SHOWN:]:
            table.add_row(*row.cells())
        return table


def describe(total: Row, mode: str) -> str:
    """The sum in one line."""
    resent = "" if total.retransmitted is None else f", {total.retransmitted:,} segments resent"
    return (
        f"{mode}: {format_amount(total.bytes)} in {total.end:.2f} s, {format_rate(total.rate)} "
        f"({format_amount(total.rate)}/s), RTT {total.rtt_us / 1000:.2f} ms{resent}"
    )
