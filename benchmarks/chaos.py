"""`python -m benchmarks.chaos`: thousands of connections in trouble, each drawn from a seed.

A seed that fails does so always; `python -m benchmarks.chaos --start SEED --seeds 1 --ladder`
shows what happened, segment by segment. What is drawn and what must hold: `utcp.testing.ordeal`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from typing import Final

from utcp.testing import Ordeal, Outcome, SimulationError, ladder, ordeal

_EVERY_SECONDS: Final = 10
_CHUNK: Final = 8


def main() -> int:
    """Returns the exit status: 1 if a seed failed."""
    arguments = _parser().parse_args()
    seeds = range(arguments.start, arguments.start + arguments.seeds)
    if arguments.ladder:
        return _ladder(seeds)
    began = told = time.monotonic()
    failures = 0
    reasons: Counter[str] = Counter()
    datagrams = received = 0
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for number, (seed, result) in enumerate(pool.imap(attempt, seeds, _CHUNK), 1):
            if isinstance(result, str):
                failures += 1
                print(_report(seed, result), flush=True)
            else:
                reasons["/".join(reason.name for reason in result.reasons)] += 1
                datagrams += result.datagrams
                received += sum(result.received)
            if time.monotonic() - told >= _EVERY_SECONDS:
                told = time.monotonic()
                print(f"{told - began:6.1f} s  {number}/{len(seeds)}  {failures} failed",
                      file=sys.stderr, flush=True)  # fmt: skip
            if failures >= arguments.max_failures:
                break
    print(f"{len(seeds)} seeds from {seeds.start}: {failures} failed; {received:,} bytes arrived, "
          f"{datagrams:,} datagrams, {time.monotonic() - began:.0f} s")  # fmt: skip
    for ends, count in reasons.most_common():
        print(f"{count:8}  {ends.lower()}")
    return 1 if failures else 0


def attempt(seed: int) -> tuple[int, Outcome | str]:
    """The outcome of one seed, or what went wrong."""
    try:
        return seed, ordeal(seed)
    except SimulationError as error:
        return seed, str(error)


def how_to_repeat(seed: int) -> str:
    """The command that shows one seed, segment by segment."""
    return f"python -m benchmarks.chaos --start {seed} --seeds 1 --ladder"


def _report(seed: int, error: str) -> str:
    return f"seed {seed} failed: {error}\nto see it: {how_to_repeat(seed)}\n"


def _ladder(seeds: range) -> int:
    status = 0
    for seed in seeds:
        trial = Ordeal(seed, trace=True)
        try:
            print(trial.run())
        except SimulationError as error:
            print(error)
            status = 1
        print(ladder(trial.world.trace, start=trial.world.started_at))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        description="Connections in all kinds of trouble, in virtual time, drawn from seeds.",
    )
    parser.add_argument("--seeds", type=int, default=10_000, help="how many [%(default)s]")
    parser.add_argument("--start", type=int, default=0, help="the first one [%(default)s]")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes [%(default)s]"
    )
    parser.add_argument(
        "--max-failures", type=int, default=10, help="stop after so many [%(default)s]"
    )
    parser.add_argument("--ladder", action="store_true", help="print every segment")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
