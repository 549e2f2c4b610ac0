"""Many simulations on a few processes, with a word of each as it ends."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(
    work: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    label: Callable[..., str],
    quiet: bool = False,
) -> list[Result]:
    """`work(*task)` for each task, on `jobs` processes; the results in the order of the tasks.

    `label(*task)` names a task in what is printed, to stderr, while it goes on.
    """
    began = time.monotonic()
    results: dict[int, Result] = {}
    numbered = [(number, work, task) for number, task in enumerate(tasks)]

    def note(number: int) -> None:
        if not quiet:
            spent = time.monotonic() - began
            text = label(*tasks[number])
            line = f"{spent:6.1f} s  {len(results)}/{len(tasks)}  {text}"
            print(line, file=sys.stderr, flush=True)

    if jobs <= 1:
        for task in numbered:
            number, results[task[0]] = _one(task)
            note(number)
    else:
        # One task at a time: some take a hundred times as long as others.
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            for number, result in pool.imap_unordered(_one, numbered):
                results[number] = result
                note(number)
    return [results[number] for number in range(len(tasks))]


def _one(numbered: tuple[int, Callable[..., Result], tuple[Any, ...]]) -> tuple[int, Result]:
    number, work, task = numbered
    return number, work(*task)
