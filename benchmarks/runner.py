"""Pairs of processes, several runs of each case, interleaved so that drift hits all alike.

Each process of a pair has a core of its own. Left to the scheduler, both share one core in some
runs and not in others, and an echo over kernel TCP takes 20 µs or 70 µs accordingly.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final

from benchmarks import bulk, echo, memory, raw
from benchmarks.cases import Case
from utcp.cli.processes import helper_process

Measured = dict[str, float]

_PATIENCE: Final = 600.0
_VERIFIED: Final = 64 << 20
_CONNECTIONS: Final = 450  # twice this many are open, below the usual 1,024 descriptors


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of each."""

    runs: int
    size: int
    long_size: int
    trips: int


def measure(
    cases: list[Case], plan: Plan, progress: Callable[[str], None]
) -> dict[Case, list[Measured]]:
    """Run everything; a case that fails has fewer results, and `progress` is told why."""
    results: dict[Case, list[Measured]] = {case: [] for case in cases}
    for case in cases:
        if case.question == "bulk" and case.contestant != "raw":
            progress(f"{case.name}: comparing every byte")
            with _reported(case, progress):
                _bulk(case, min(plan.size, _VERIFIED), every_byte=True)
    for number in range(plan.runs):
        for case in cases:
            if case.question == "memory" and number:
                continue
            progress(f"{case.name}: run {number + 1} of {plan.runs}")
            with _reported(case, progress):
                results[case].append(_run(case, plan))
    return results


def summary(case: Case, runs: list[Measured]) -> dict[str, Any]:
    """The runs of one case with median and spread of each figure."""
    figures = {
        key: {
            "median": statistics.median(run[key] for run in runs),
            "low": min(run[key] for run in runs),
            "high": max(run[key] for run in runs),
        }
        for key in (runs[0] if runs else {})
    }
    return {
        "name": case.name,
        "group": case.group,
        "question": case.question,
        "contestant": case.contestant,
        "figures": figures,
        "runs": runs,
    }


def _run(case: Case, plan: Plan) -> Measured:
    if case.question == "bulk":
        return _bulk(case, plan.size, every_byte=False)
    if case.question == "echo":
        return _echo(case, plan.trips)
    if case.api == "transfer":
        return _long_transfer(case, plan.long_size)
    return _memory(case.api)


def _bulk(case: Case, size: int, *, every_byte: bool) -> Measured:
    module = raw if case.contestant == "raw" else bulk
    with _process(module.receive, case, size, every_byte) as receiver:
        hello = [_get(receiver) for _ in range(2 if module is raw else 1)]
        with _process(module.send, case, size, *hello) as sender:
            sent = _get(sender)
            received = _get(receiver)
    if received["bytes"] != size:
        raise ValueError(f"{received['bytes']:,} of {size:,} bytes arrived")
    return {
        "MB_per_s": size / sent["seconds"] / 1e6,
        "seconds": sent["seconds"],
        "sender_cpu_s": sent["cpu"],
        "receiver_cpu_s": received["cpu"],
        "rss_early": received.get("rss_early", 0),
        "rss_end": received.get("rss_end", 0),
    }


def _echo(case: Case, trips: int) -> Measured:
    module = raw if case.contestant == "raw" else echo
    with _process(module.serve, case) as server:
        port = _get(server)
        with _process(module.ask, case, trips, port) as client:
            asked = _get(client)
            served = _get(server)
    return {
        "median_us": asked["median_us"],
        "p99_us": asked["p99_us"],
        "client_cpu_s": asked["cpu"],
        "server_cpu_s": served["cpu"],
    }


def _memory(weighed: str) -> Measured:
    weights = {"traced_bytes": _weigh(weighed, traced=True)}
    if weighed == "connection":
        # What was freed stays with the process, so its size says nothing of TIME-WAIT.
        weights["resident_bytes"] = _weigh(weighed, traced=False)
    return weights


def _weigh(weighed: str, *, traced: bool) -> float:
    with _process(memory.serve, weighed, _CONNECTIONS, traced) as server:
        port = _get(server)
        with _process(memory.connect, _CONNECTIONS, port) as client:
            for _ in range(2):
                client.send(_get(server))
            return float(_get(server)["each"])


def _long_transfer(case: Case, size: int) -> Measured:
    result = _bulk(Case("bulk", "protocol", case.loop, 0, "utcp"), size, every_byte=False)
    return {
        "bytes": size,
        "MB_per_s": result["MB_per_s"],
        "rss_early": result["rss_early"],
        "rss_end": result["rss_end"],
    }


def _process(target: Callable[..., None], *args: Any) -> AbstractContextManager[Pipe]:
    """`target(pipe, *args)` in a process; receivers and servers on the last core."""
    first = target.__name__ in {"send", "ask", "connect"}
    return helper_process(_on_core, 0 if first else -1, target, *args)


def _on_core(pipe: Pipe, core: int, target: Callable[..., None], *args: Any) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    target(pipe, *args)


def _get(pipe: Pipe) -> Any:
    if not pipe.poll(_PATIENCE):
        raise TimeoutError(f"nothing for {_PATIENCE:.0f} s")
    return pipe.recv()


@contextlib.contextmanager
def _reported(case: Case, progress: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError) as error:
        progress(f"{case.name}: FAILED: {error!r}")
