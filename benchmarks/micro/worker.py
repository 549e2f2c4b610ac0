"""One case in a process of its own: `python -m benchmarks.micro.worker CASE STEPS CAPACITY`.

Prepares for CAPACITY steps, does STEPS of them, and prints the nanoseconds that these took.
Processes that differ in STEPS only differ by the instructions of these steps.
"""

from __future__ import annotations

import gc
import sys
from time import perf_counter_ns

from benchmarks.micro.cases import find


def main(name: str, steps: int, capacity: int) -> None:
    """Measure once."""
    run = find(name).prepare(capacity)
    # What is there stays: no collection has to look at it.
    gc.collect()
    gc.freeze()
    start = perf_counter_ns()
    run(steps)
    print(perf_counter_ns() - start)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
