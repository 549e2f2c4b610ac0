"""Pairs of processes, several runs of each case, interleaved so that drift hits all alike.

Each process of a pair has a core of its own. Left to the scheduler, both share one core in some
runs and not in others, and an echo over kernel TCP takes 20 µs or 70 µs accordingly.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final

from benchmarks import contestants
from benchmarks.cases import Case, quick
from benchmarks.figures import combine
from benchmarks.side import ClientSide, Figures, ServerSide
from utcp.cli.processes import helper_process

_PATIENCE: Final = 120.0
_VERIFIED: Final = 16 << 20
_NO_LIMIT: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of each."""

    runs: int = 3
    seconds: float = 0.75
    quick: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of a case."""

    case: Case
    runs: list[Figures]
    failures: list[str]


@dataclass(frozen=True, slots=True)
class _Failure:
    """What a process says in place of its report."""

    reason: str


class _CaseError(Exception):
    """A case cannot be finished."""


def measure(cases: Sequence[Case], plan: Plan, progress: Callable[[str], None]) -> list[Outcome]:
    """Run everything; a case that fails says why, and the others go on."""
    outcomes = [Outcome(case, [], []) for case in cases]
    verified = [] if plan.quick else outcomes  # quick runs compare all bytes anyway
    laps = [("all bytes", each) for each in verified if each.case.task.question == "bulk"]
    laps += [
        (f"run {number + 1}", outcome)
        for number in range(plan.runs)
        for outcome in outcomes
        if not number or outcome.case.task.question != "memory"
    ]
    began_at = time.monotonic()
    for index, (lap, outcome) in enumerate(laps):
        if lap != "run 1" and outcome.failures and not outcome.runs:
            continue  # it would only wait and fail again
        left = (time.monotonic() - began_at) / index * (len(laps) - index) if index else 0
        eta = f", {left / 60:.0f} min left" if left > 30 else ""
        progress(f"[{index + 1}/{len(laps)}{eta}] {outcome.case.name}: {lap}")
        try:
            figures = _run(outcome.case, plan, every_byte=plan.quick or lap == "all bytes")
        except Exception as error:
            outcome.failures.append(str(error) or repr(error))
            progress(f"{outcome.case.name}: FAILED: {outcome.failures[-1]}")
            continue
        if lap != "all bytes":
            outcome.runs.append(figures)
    return outcomes


def _run(case: Case, plan: Plan, *, every_byte: bool) -> Figures:
    contestant = contestants.contestant(case.contestant)
    seconds = plan.seconds * case.task.longer * contestant.share
    limit = int(contestant.most_per_second * seconds) or _NO_LIMIT
    if every_byte:
        # As many bytes as each connection sends of a whole block, and not more than it takes.
        limit = min(limit, max(_VERIFIED, case.task.write * case.task.connections))
    order = (quick(case) if plan.quick else case, seconds, limit, every_byte)
    with _process("serve", *order) as server, _process("ask", *order) as client:
        client.send(_get(server))
        while isinstance(asked := _get(client), str):
            server.send(asked)
            client.send(_get(server))
        server.send("over")
        served = _get(server)
    return combine(order[0].task, asked, served)


def _process(role: str, *order: Any) -> AbstractContextManager[Pipe]:
    """A process of its own; servers on the last core."""
    return helper_process(_on_core, role, *order)


def _on_core(
    pipe: Pipe, role: str, case: Case, seconds: float, limit: int, every_byte: bool
) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0 if role == "ask" else -1]})
    contestant = contestants.contestant(case.contestant)
    try:
        if role == "ask":
            contestant.ask(ClientSide(pipe, case, seconds, limit, every_byte))
        else:
            contestant.serve(ServerSide(pipe, case, seconds, limit, every_byte))
    except EOFError:
        pass  # the runner has given up
    except Exception as error:
        pipe.send(_Failure(f"{'client' if role == 'ask' else 'server'}: {error!r}"))


def _get(pipe: Pipe) -> Any:
    if not pipe.poll(_PATIENCE):
        raise _CaseError(f"nothing for {_PATIENCE:.0f} s")
    message = pipe.recv()
    if isinstance(message, _Failure):
        raise _CaseError(message.reason)
    return message
