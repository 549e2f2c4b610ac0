"""What the tables say: titles, heads and rows of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from benchmarks.figures import of

Table = tuple[str, list[str], list[list[str]]]

_OWN: Final = ("utcp", "tcp", "bare", "raw")
_HEAD: Final = ["", "utcp", "kernel TCP", "ratio", "bare segments", "plain UDP sockets"]


def main_tables(results: dict[str, Any]) -> list[Table]:
    """What README.md shows. Those that have rows are worth showing."""
    cases = [case for case in results["cases"] if case["figures"]]
    titles = {name: one["title"] for name, one in results["contestants"].items()}
    return [
        ("utcp and others, each in its fastest way", *_everybody(results, cases, titles)),
        (
            "Throughput of one connection, MB/s (median, range; CPU s/GB of client + server)",
            *_compared(cases, "bulk/", "MB_per_s", _throughput),
        ),
        (
            "Round trip, µs (median; 99th percentile; 99.9th)",
            *_compared(cases, "echo/", "p50_us", _latency),
        ),
        ("Connections held open", *_held(cases, titles)),
        ("Memory of the server", ["", "bytes"], _memory(cases)),
    ]


def other_tables(results: dict[str, Any]) -> list[Table]:
    """What the pictures show, too."""
    cases = [case for case in results["cases"] if case["figures"]]
    return [
        (
            "Requests of 1 KiB with answers of 1 KiB, by connections, per second "
            "(median, range; CPU ms for 1,000, client + server)",
            *_compared(cases, "requests/", "per_s", _per_second),
        ),
        (
            "Open, exchange 64 bytes, close, 50 at a time: per second "
            "(median, range; CPU ms for 1,000, client + server)",
            *_compared(cases, "connections/churn", "per_s", _per_second),
        ),
        (
            "Growth: MB/s by connections and by bytes a write "
            "(median, range; CPU s/GB of client + server)",
            *_compared(cases, "growth/", "MB_per_s", _throughput),
        ),
    ]


def find(cases: list[Any], task: str, contestant: str, key: str) -> list[tuple[float, Any]]:
    """The medians of one figure, and the cases that have it."""
    return [
        (of(case, key), case)
        for case in cases
        if case["task"] == task and case["contestant"] == contestant and key in case["figures"]
    ]


def without_empty(head: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The same without columns that no row has anything in."""
    kept = [column for column in range(len(head)) if any(row[column] for row in rows)]
    return [head[column] for column in kept], [[row[column] for column in kept] for row in rows]


def _compared(
    cases: list[Any], prefix: str, key: str, text: Callable[[Any], str]
) -> tuple[list[str], list[list[str]]]:
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for case in cases:
        if case["name"].startswith(prefix) and case["contestant"] in _OWN:
            task = case["task"].partition("/")[2]
            # The ceiling has no way of its own: it stands beside the way that comes closest.
            way = "uvloop, protocol" if case["contestant"] == "raw" else _way(case)
            groups.setdefault((task, way), {})[case["contestant"]] = case
    rows = []
    for (task, way), by in groups.items():
        ratio = ""
        if "utcp" in by and "tcp" in by:
            ratio = f"{of(by['utcp'], key) / of(by['tcp'], key):.2f}"
        cells = [text(by[name]) if name in by else "" for name in _OWN]
        label = f"{task.replace('/', ' ')}, {way}"
        rows.append([label, *cells[:2], ratio, *cells[2:]])
    return without_empty(_HEAD, rows)


def _everybody(
    results: dict[str, Any], cases: list[Any], titles: dict[str, str]
) -> tuple[list[str], list[list[str]]]:
    columns: list[tuple[str, str, str, bool, Callable[[Any], str]]] = [
        ("MB/s", "bulk/up/loopback", "MB_per_s", True, _rate),
        ("MB/s, 1,448 B (CPU s/GB)", "bulk/up/1448", "MB_per_s", True, _rate_and_cpu),
        ("back", "bulk/down/1448", "MB_per_s", True, _rate),
        ("64 B echo, µs (p99)", "echo/64", "p50_us", False, _short_latency),
        ("requests/s, 1", "requests/1", "per_s", True, _count),
        ("100", "requests/100", "per_s", True, _count),
        ("open-close/s", "connections/churn", "per_s", True, _count),
    ]
    rows = []
    for name, title in titles.items():
        cells = []
        for _, task, key, more_is_better, text in columns:
            found = find(cases, task, name, key)
            best = (max if more_is_better else min)(found, key=lambda pair: pair[0], default=None)
            cells.append(text(best[1]) if best else "")
        if any(cells):
            encrypts = "yes" if results["contestants"][name]["encrypts"] else "no"
            rows.append([title, encrypts, *cells])
    return ["", "encrypts", *(column[0] for column in columns)], rows


def _held(cases: list[Any], titles: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    head = [
        "",
        "connections",
        "server's memory for each, bytes (after the echo)",
        "to open the first 1 %, µs",
        "the last 1 %",
        "all, s",
        "echo on all at once, s",
    ]
    rows = [
        [
            f"{titles[case['contestant']]}, {_way(case)}",
            f"{of(case, 'count'):,.0f}",
            f"{of(case, 'rss_each'):,.0f} ({of(case, 'rss_each_used'):,.0f})",
            f"{of(case, 'first_us'):,.0f}",
            f"{of(case, 'last_us'):,.0f}",
            f"{of(case, 'open_s'):.1f}",
            f"{of(case, 'echo_s'):.2f}",
        ]
        for case in cases
        if case["task"] == "connections/held"
    ]
    return head, rows


def _memory(cases: list[Any]) -> list[list[str]]:
    rows = []
    for case in cases:
        if case["task"] == "memory/transfer":
            early, most = (of(case, key) / 2**20 for key in ("rss_early", "rss_most"))
            size = of(case, "bytes") / 2**30
            text = f"{early:.1f} MiB after 1/10, {most:.1f} MiB at most in {size:.1f} GiB"
            rows.append(["process during a transfer", text])
        elif case["task"].startswith("memory/"):
            label = case["task"].partition("/")[2].replace("time-wait", "TIME-WAIT record")
            rows.append([f"{label} (as Python counts)", f"{of(case, 'traced_each'):,.0f}"])
    return rows


def _way(case: Any) -> str:
    return f"{case['loop']}, {case['api']}"


def _range(figure: dict[str, float]) -> str:
    return f"{figure['low']:,.0f}-{figure['high']:,.0f}"


def _cpu(case: Any, unit: str, scale: float = 1) -> str:
    sides = (of(case, f"{side}_cpu_s_per_{unit}") * scale for side in ("client", "server"))
    return " + ".join(f"{spent:.2f}" if scale == 1 else f"{spent:.0f}" for spent in sides)


def _throughput(case: Any) -> str:
    rate = case["figures"]["MB_per_s"]
    return f"{rate['median']:,.0f} ({_range(rate)}; {_cpu(case, 'GB')})"


def _rate(case: Any) -> str:
    return f"{of(case, 'MB_per_s'):,.0f}"


def _rate_and_cpu(case: Any) -> str:
    return f"{_rate(case)} ({_cpu(case, 'GB')})"


def _latency(case: Any) -> str:
    return "; ".join(f"{of(case, key):,.0f}" for key in ("p50_us", "p99_us", "p999_us"))


def _short_latency(case: Any) -> str:
    return f"{of(case, 'p50_us'):,.0f} ({of(case, 'p99_us'):,.0f})"


def _per_second(case: Any) -> str:
    rate = case["figures"]["per_s"]
    return f"{rate['median']:,.0f} ({_range(rate)}; {_cpu(case, '1000', 1000)})"


def _count(case: Any) -> str:
    return f"{of(case, 'per_s'):,.0f}"
