"""The results as a table, and as the part of README.md that shows numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).with_name("results.json")
README: Final = Path(__file__).parents[1] / "README.md"
_BEGIN: Final = "<!-- measured: begin -->\n"
_END: Final = "<!-- measured: end -->\n"
_WIDTH: Final = 170

Results = dict[str, Any]


def show(results: Results) -> None:
    """Print the tables."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    for title, head, rows in _tables(results):
        table = Table(title=title)
        for index, name in enumerate(head):
            table.add_column(name, justify="right" if index else "left", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        if rows:
            console.print(table)


def load(path: Path = RESULTS) -> Results:
    """Results that `--json` wrote."""
    results: Results = json.loads(path.read_text(encoding="utf-8"))
    return results


def save(results: Results, path: Path) -> None:
    """Write them as JSON."""
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def markdown(results: Results) -> str:
    """The tables in README's language, with where and how they were measured."""
    machine = results["machine"]
    lines = [
        f"Measured on {machine['cores']} cores of {machine['processor']}, {machine['system']}, "
        f"{machine['python']}, uvloop {machine['uvloop']}, `net.core.rmem_max` "
        f"{machine['rmem_max']:,}, by `{machine['command']}`; medians.",
        "",
    ]
    for title, head, rows in _tables(results):
        if not rows:
            continue
        lines += [f"**{title}**", "", _row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
        lines += [_row(row) for row in rows] + [""]
    return "\n".join(lines)


def readme_numbers(text: str) -> str:
    """The part of README.md between the two marks."""
    return text.partition(_BEGIN)[2].partition(_END)[0]


def update_readme(results: Results) -> None:
    """Put the numbers between the two marks of README.md."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    README.write_text(before + begin + markdown(results) + end + after, encoding="utf-8")


def _tables(results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    cases = [case for case in results["cases"] if case["figures"]]
    bulk = _compared(cases, "bulk", "MB_per_s", _throughput)
    echo = _compared(cases, "echo", "median_us", _latency)
    memory = [
        [case["group"].split("/")[1], *_memory(case["figures"])]
        for case in cases
        if case["question"] == "memory"
    ]
    contestants = ["utcp", "kernel TCP", "ratio", "plain UDP sockets"]
    return [
        (
            "Throughput, MB/s (median, range; CPU s/GB of sender + receiver)",
            ["", *contestants],
            bulk,
        ),
        ("64-byte echo, µs (median; 99th percentile)", ["", *contestants], echo),
        ("Memory of the server", ["", "bytes (traced)", "bytes (resident)"], memory),
    ]


def _compared(cases: list[Any], question: str, key: str, text: Any) -> list[list[str]]:
    groups: dict[str, dict[str, Any]] = {}
    for case in cases:
        if case["question"] == question:
            groups.setdefault(case["group"], {})[case["contestant"]] = case["figures"]
    rows = []
    for group, by in groups.items():
        ratio = ""
        if "utcp" in by and "tcp" in by:
            ratio = f"{by['utcp'][key]['median'] / by['tcp'][key]['median']:.2f}"
        label = group.partition("/")[2].replace("/", ", ")
        cells = [text(by[name]) if name in by else "" for name in ("utcp", "tcp", "raw")]
        rows.append([label, cells[0], cells[1], ratio, cells[2]])
    return rows


def _throughput(figures: Any) -> str:
    rate = figures["MB_per_s"]
    cpu = [figures[f"{side}_cpu_s"]["median"] for side in ("sender", "receiver")]
    gigabytes = rate["median"] * figures["seconds"]["median"] / 1e3
    spent = " + ".join(f"{seconds / gigabytes:.2f}" for seconds in cpu)
    return f"{rate['median']:,.0f} ({rate['low']:,.0f}-{rate['high']:,.0f}; {spent})"


def _latency(figures: Any) -> str:
    return f"{figures['median_us']['median']:.1f}; {figures['p99_us']['median']:.1f}"


def _memory(figures: Any) -> list[str]:
    if "bytes" in figures:
        size = figures["bytes"]["median"] / 2**30
        early, end = (figures[key]["median"] / 2**20 for key in ("rss_early", "rss_end"))
        return ["", f"{early:.1f} MiB after 1/10, {end:.1f} MiB after all of {size:g} GiB"]
    keys = ("traced_bytes", "resident_bytes")
    return [f"{figures[key]['median']:,.0f}" if key in figures else "" for key in keys]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
