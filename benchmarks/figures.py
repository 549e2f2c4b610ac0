"""The figures of one run, from the reports of its two processes; and of several runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.cases import Task
from benchmarks.side import Figures


def combine(task: Task, asked: Figures, served: Figures) -> Figures:
    """What one run says. Raises ValueError if not all of it arrived."""
    figures = {
        "seconds": asked["seconds"],
        "client_cpu_s": asked["cpu"],
        "server_cpu_s": served["cpu"],
    }
    if "up" in asked:
        figures |= _moved(asked, served)
    for name in ("p50_us", "p99_us", "p999_us", "open_s", "first_us", "last_us", "echo_s"):
        if name in asked:
            figures[name] = asked[name]
    if task.beside_bulk:
        figures["beside_MB_per_s"] = served["sunk"] / asked["seconds"] / 1e6
    count = next((asked[name] for name in ("trips", "requests", "connections") if name in asked), 0)
    if count:
        figures["count"] = count
        figures["per_s"] = count / asked["seconds"]
        for side in ("client", "server"):
            figures[f"{side}_cpu_s_per_1000"] = figures[f"{side}_cpu_s"] * 1000 / count
    if task.question == "held":
        figures["rss_each"] = served["rss_idle"] / count
        figures["rss_each_used"] = served["rss_grown"] / count
    if task.question == "memory" and count:
        figures["traced_each"] = served["traced_grown"] / count
    for name in ("rss_early", "rss_most"):
        if name in served:
            figures[name] = served[name]
    return figures


def summary(runs: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Median and spread of each figure."""
    return {
        key: {
            "median": statistics.median(run[key] for run in runs),
            "low": min(run[key] for run in runs),
            "high": max(run[key] for run in runs),
        }
        for key in (runs[0] if runs else {})
    }


def of(result: dict[str, Any], key: str) -> float:
    """The median of one figure of a case in the JSON."""
    median: float = result["figures"][key]["median"]
    return median


def _moved(asked: Figures, served: Figures) -> Figures:
    for direction in ("up", "down"):
        if asked[direction] != served[direction]:
            raise ValueError(
                f"{direction}: the client says {asked[direction]:,.0f} bytes, "
                f"the server {served[direction]:,.0f}"
            )
    size = asked["up"] + asked["down"]
    if not size:
        raise ValueError("no bytes were moved")
    return {
        "bytes": size,
        "MB_per_s": size / asked["seconds"] / 1e6,
        "client_cpu_s_per_GB": asked["cpu"] / size * 1e9,
        "server_cpu_s_per_GB": served["cpu"] / size * 1e9,
    }
