"""The results as pictures: bars for contestants, curves for growth. Needs matplotlib."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import of
from benchmarks.tables import find

NAMES: Final = {
    "throughput": "Throughput of one connection, by contestant",
    "echo": "Round trip of 64 bytes, by contestant",
    "requests": "Requests per second by connections",
    "growth-connections": "Throughput and CPU time by connections",
    "growth-writes": "Throughput and CPU time by bytes a write",
}
"""The pictures that are drawn, and what they show."""

_COLORS: Final = (
    "#c44e52", "#4c72b0", "#da8bc3", "#8c8c8c", "#55a868", "#8172b3", "#ccb974", "#64b5cd",
    "#937860",
)  # fmt: skip
_FORMATS: Final = ("svg", "png")
_OWN: Final = ("utcp", "tcp")

Cases = list[dict[str, Any]]
Point = tuple[float, dict[str, float]]


def draw_all(results: dict[str, Any], folder: Path) -> None:
    """Draw what was measured, as SVG and PNG. Without matplotlib says so, and draws nothing."""
    try:
        matplotlib = importlib.import_module("matplotlib")
        matplotlib.use("Agg")
        plt = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        print("no pictures: pip install '.[bench]' brings matplotlib", file=sys.stderr)
        return
    # Text stays text, and the same results make the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "utcp", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    cases = [case for case in results["cases"] if case["figures"]]
    titles = {name: one["title"] for name, one in results["contestants"].items()}
    for name, text in NAMES.items():
        figure = _DRAWING[name](plt, cases, titles)
        if figure is None:
            continue
        figure.suptitle(text)
        figure.tight_layout()
        for form in _FORMATS:
            metadata = {"Date": None} if form == "svg" else None
            figure.savefig(folder / f"{name}.{form}", dpi=120, metadata=metadata)
        plt.close(figure)


def _throughput(plt: Any, cases: Cases, titles: dict[str, str]) -> Any:
    panels = {
        "segments as loopback allows, MB/s": ("bulk/up/loopback", "MB_per_s", max),
        "1,448-byte segments, MB/s": ("bulk/up/1448", "MB_per_s", max),
    }
    return _bars(plt, cases, titles, panels)


def _echo(plt: Any, cases: Cases, titles: dict[str, str]) -> Any:
    panels = {
        "median, µs": ("echo/64", "p50_us", min),
        "99th percentile, µs": ("echo/64", "p99_us", min),
    }
    return _bars(plt, cases, titles, panels)


def _bars(plt: Any, cases: Cases, titles: dict[str, str], panels: dict[str, Any]) -> Any:
    """One panel for each figure, one bar for each contestant's best way; logarithmic."""
    bars = {
        label: [
            (index, title, best(value for value, _ in found))
            for index, (name, title) in enumerate(titles.items())
            if (found := find(cases, task, name, key))
        ]
        for label, (task, key, best) in panels.items()
    }
    if not any(bars.values()):
        return None
    most = max(map(len, bars.values()))
    figure, axes = plt.subplots(1, len(bars), figsize=(9, 1.2 + 0.35 * most), squeeze=False)
    for axis, (label, each) in zip(axes[0], bars.items(), strict=True):
        for place, (index, _, value) in enumerate(each):
            axis.barh(place, value, color=_COLORS[index % len(_COLORS)])
            axis.text(value, place, f" {value:,.0f}", va="center")
        axis.set_yticks(range(len(each)), [title for _, title, _ in each])
        axis.invert_yaxis()
        axis.set_xlabel(label)
        if each:
            values = [value for *_, value in each]
            axis.set_xscale("log")
            axis.set_xlim(10 ** math.floor(math.log10(min(values) / 2)), max(values) * 4)
    return figure


def _requests(plt: Any, cases: Cases, titles: dict[str, str]) -> Any:
    return _curves(plt, cases, titles, "requests/", "connections", {"requests/s": _per_second})


def _by_connections(plt: Any, cases: Cases, titles: dict[str, str]) -> Any:
    panels = {"MB/s": _rate, "CPU s/GB, both sides": _cpu}
    return _curves(plt, cases, titles, "growth/connections/", "connections", panels)


def _by_writes(plt: Any, cases: Cases, titles: dict[str, str]) -> Any:
    panels = {"MB/s": _rate, "CPU s/GB, both sides": _cpu}
    return _curves(plt, cases, titles, "growth/writes/", "bytes a write", panels)


def _curves(
    plt: Any,
    cases: Cases,
    titles: dict[str, str],
    prefix: str,
    label: str,
    panels: Mapping[str, Callable[[Any], float]],
) -> Any:
    """One panel for each figure, one curve for each contestant and way."""
    lines: dict[tuple[str, str], list[Any]] = {}
    for case in cases:
        if case["task"].startswith(prefix):
            way = f"{case['loop']}, {case['api']}"
            lines.setdefault((case["contestant"], way), []).append(case)
    if not lines:
        return None
    ticker = importlib.import_module("matplotlib.ticker")
    figure, axes = plt.subplots(1, len(panels), figsize=(9, 3.4), squeeze=False)
    styles = dict(zip(dict.fromkeys(way for _, way in lines), ("-", "--", ":"), strict=False))
    for axis, (unit, read) in zip(axes[0], panels.items(), strict=True):
        for (name, way), each in lines.items():
            axis.plot(
                [_place(case) for case in each],
                [read(case) for case in each],
                color=_COLORS[[*titles].index(name) % len(_COLORS)],
                linestyle=styles.get(way, "-."),
                marker="o",
                markersize=3,
                label=f"{titles[name]}, {way}",
            )
        axis.set_xscale("log")
        axis.set_yscale("log")
        places = sorted({_place(case) for each in lines.values() for case in each})
        axis.set_xticks(places, [_short(place) for place in places])
        axis.xaxis.minorticks_off()
        for which in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
            which(ticker.LogFormatter(minor_thresholds=(2, 0.5)))
        axis.set_xlabel(label)
        axis.set_ylabel(unit)
        axis.grid(alpha=0.3, which="both")
    axes[0][0].legend(fontsize=8)
    return figure


def _short(number: int) -> str:
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if number >= size:
            return f"{number // size}{unit}" if not number % size else f"{number:,}"
    return str(number)


def _place(case: Any) -> int:
    return int(case["task"].rpartition("/")[2])


def _rate(case: Any) -> float:
    return of(case, "MB_per_s")


def _per_second(case: Any) -> float:
    return of(case, "per_s")


def _cpu(case: Any) -> float:
    return of(case, "client_cpu_s_per_GB") + of(case, "server_cpu_s_per_GB")


_DRAWING: Final = {
    "throughput": _throughput,
    "echo": _echo,
    "requests": _requests,
    "growth-connections": _by_connections,
    "growth-writes": _by_writes,
}
