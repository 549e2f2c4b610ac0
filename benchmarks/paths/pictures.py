"""Window, flight, round trip and rate over time, as SVG and PNG. Needs matplotlib."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.paths.cells import Cell, all_cells
from benchmarks.paths.series import Series, record

CHOSEN: Final = (
    "clean/10M/100ms",
    "clean/100M/40ms",
    "clean/1G/100ms",
    "queue/10M/100ms/4BDP",
    "queue/20M/40ms/1BDP/ecn",
    "loss/20M/40ms/0.10%",
    "bursts/20M/40ms/10",
    "reorder/20M/40ms/5.0%/quarter",
    "bad/5M/150ms",
)
"""Cells of which there are pictures unless others are named."""

_INCHES: Final = (5.0, 7.0)
_DPI: Final = 110


def draw_all(folder: Path, only: list[str], controllers: list[str]) -> int:
    """A picture of each chosen cell, with the controllers beside each other. Returns the exit
    status: 0 also where matplotlib is missing, which is said."""
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
        figure: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        print("no pictures: matplotlib is missing (pip install '.[bench]')", file=sys.stderr)
        return 0
    # The same picture gives the same file.
    matplotlib.rcParams["svg.hashsalt"] = "utcp"
    folder.mkdir(parents=True, exist_ok=True)
    for cell in _chosen(only):
        columns = {name: record(cell, name) for name in controllers}
        stem = cell.name.replace("/", "-").replace("%", "")
        _draw(figure, cell, columns, folder / stem)
        print(f"{folder / stem}.svg, .png", file=sys.stderr, flush=True)
    return 0


def _chosen(only: list[str]) -> list[Cell]:
    if only == [""]:
        return [cell for cell in all_cells() if cell.name in CHOSEN]
    return [cell for cell in all_cells() if any(text in cell.name for text in only)]


def _draw(figure: Any, cell: Cell, columns: dict[str, Series], path: Path) -> None:
    width, height = _INCHES
    picture = figure.Figure(figsize=(width * len(columns), height), layout="constrained")
    axes = picture.subplots(3, len(columns), sharex=True, sharey="row", squeeze=False)
    picture.suptitle(cell.name)
    for column, (name, series) in enumerate(columns.items()):
        window, trip, rate = axes[0][column], axes[1][column], axes[2][column]
        window.set_title(name)
        window.plot(series.seconds, series.flight, linewidth=0.6, color="0.6", label="flight")
        window.plot(series.seconds, series.ssthresh, linewidth=0.8, color="C1", label="ssthresh")
        window.plot(series.seconds, series.cwnd, linewidth=1.0, color="C0", label="cwnd")
        trip.plot(series.seconds, series.rtt, linewidth=1.0, color="C2", label="smoothed RTT")
        trip.plot(series.seconds, series.queue, linewidth=0.7, color="C3", label="queue")
        rate.plot(series.seconds, series.rate, linewidth=0.7, color="C4", label="delivered")
        rate.axhline(cell.payload_per_second * 8 / 1e6, linewidth=0.6, color="0.3", label="link")
        for axis in (window, trip, rate):
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
        if column == 0:
            for axis, unit in ((window, "KiB"), (trip, "ms"), (rate, "Mbit/s")):
                axis.set_ylabel(unit)
                axis.legend(loc="upper right", fontsize="small")
        rate.set_xlabel("seconds")
    picture.savefig(path.with_name(path.name + ".svg"), metadata={"Date": None})
    picture.savefig(path.with_name(path.name + ".png"), dpi=_DPI)
