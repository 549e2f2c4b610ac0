"""One case in a process of its own: `python -m benchmarks.micro.worker CASE STEPS CAPACITY`.

Prepares for CAPACITY steps, does STEPS of them in ten portions, and prints the nanoseconds that
each of these took. It is CPU time: what others do meanwhile is not in it, though what they do to
the caches is. Processes that differ in STEPS only differ by the instructions of these steps.
"""

from __future__ import annotations

import gc
import sys
from importlib.util import find_spec, module_from_spec
from time import process_time_ns

PORTIONS = 10


def only_core() -> None:
    """Let `utcp` be an empty package: asyncio and all that comes with it would take callgrind
    four times as long to import as the core."""
    spec = find_spec("utcp")
    assert spec is not None
    sys.modules["utcp"] = module_from_spec(spec)


def main(name: str, steps: int, capacity: int) -> None:
    """Measure once."""
    if not name.startswith("driver/"):
        only_core()
    from benchmarks.micro.cases import find  # noqa: PLC0415 (imports utcp)

    run = find(name).prepare(capacity)
    # What is there stays: no collection has to look at it.
    gc.collect()
    gc.freeze()
    took = [0] * PORTIONS
    for portion in range(PORTIONS):
        start = process_time_ns()
        run(steps // PORTIONS)
        took[portion] = process_time_ns() - start
    print(*took)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
