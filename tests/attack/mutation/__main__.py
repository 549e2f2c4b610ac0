"""Run the mutation check."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.attack.mutation.run import copy, problems
from tests.attack.mutation.table import MUTATIONS


def main(words: list[str]) -> int:
    """Take out those whose names contain one of `words`; all without any. `--list` names them."""
    if words == ["--list"]:
        print(*(mutation.name for mutation in MUTATIONS), sep="\n")
        return 0
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        root = copy(Path(folder))
        for mutation in chosen:
            found = problems(root, [mutation])
            survivors += bool(found)
            print("NOT MISSED" if found else "missed    ", mutation.name, flush=True)
            for text in found:
                print("   ", text, flush=True)
    print(f"{len(chosen)} defences taken out, {survivors} of them not missed")
    return 1 if survivors or not chosen else 0


sys.exit(main(sys.argv[1:]))
