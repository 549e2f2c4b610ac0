"""`python -m tests.fuzz segment|endpoint`: as many inputs as there is time for.

With atheris (`pip install '.[fuzz]'`) they are guided by what they reach in `utcp.core`; without
it, or with `--random`, they come from a seeded generator. `--corpus DIRECTORY` begins with the
inputs that lie there (`python -m tests.fuzz corpus --corpus DIRECTORY` writes some, made from
real transcripts) and, guided, keeps what is new. An input that fails is written to a file, and
`python -m tests.fuzz endpoint --repeat FILE` runs it again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Final

from tests.fuzz.inputs import draw

Target = Callable[[bytes], None]

_TARGETS: Final = {
    "segment": ("tests.fuzz.codec", "codec_input"),
    "endpoint": ("tests.fuzz.endpoint", "endpoint_input"),
}
_LONGEST: Final = 1000
_LOOK_EVERY: Final = 256


def main() -> int:
    """Returns the exit status: 1 if an input failed."""
    arguments = _parser().parse_args()
    if arguments.what == "corpus":
        corpus = importlib.import_module("tests.fuzz.corpus")
        print(f"{corpus.write(arguments.corpus or Path('corpus'))} inputs written")
        return 0
    guide = None
    if not arguments.random and importlib.util.find_spec("atheris") is not None:
        guide = importlib.import_module("atheris")
    target = load(arguments.what, guide)
    if arguments.repeat:
        target(arguments.repeat.read_bytes())
        print("nothing is wrong with it")
        return 0
    if guide is not None:
        return _guided(guide, target, arguments)
    return _random(target, arguments)


def load(what: str, guide: ModuleType | None = None) -> Target:
    """The target called `what`, instrumented for `guide`."""
    watched: AbstractContextManager[object] = nullcontext()
    if guide is not None:
        watched = guide.instrument_imports(include=["utcp.core"])
    module, name = _TARGETS[what]
    with watched:
        # Only what is imported from here on is instrumented.
        target: Target = getattr(importlib.import_module(module), name)
    return target


def _guided(guide: ModuleType, target: Target, arguments: argparse.Namespace) -> int:
    options = [sys.argv[0], f"-max_len={_LONGEST}", f"-seed={arguments.seed + 1}",
               f"-artifact_prefix=crash-{arguments.what}-", "-print_final_stats=1"]  # fmt: skip
    if arguments.runs:
        options.append(f"-runs={arguments.runs}")
    if arguments.seconds:
        options.append(f"-max_total_time={arguments.seconds:.0f}")
    if arguments.corpus:
        place = arguments.corpus / arguments.what
        place.mkdir(parents=True, exist_ok=True)
        options.append(str(place))
    guide.Setup(options, target)
    guide.Fuzz()  # ends the process
    return 0


def _random(target: Target, arguments: argparse.Namespace) -> int:
    corpus = []
    if arguments.corpus:
        place = arguments.corpus / arguments.what
        corpus = [path.read_bytes() for path in sorted(place.iterdir())]
    runs, seconds = arguments.runs, arguments.seconds
    if not runs and not seconds:
        seconds = 10.0
    began = time.monotonic()
    try:
        count = rounds(target, arguments.seed, corpus, runs=runs, seconds=seconds)
    except Failure as failure:
        name = Path(f"crash-{arguments.what}-{hashlib.sha1(failure.data).hexdigest()}")
        name.write_bytes(failure.data)
        print(f"after {failure.count:,} inputs; to repeat it: python -m tests.fuzz "
              f"{arguments.what} --repeat {name}", file=sys.stderr)  # fmt: skip
        raise failure.__cause__ or failure from None
    elapsed = time.monotonic() - began
    print(f"{count:,} inputs in {elapsed:.0f} s, {count / elapsed:,.0f} a second, none failed")
    return 0


class Failure(Exception):
    """An input failed; why is its cause."""

    def __init__(self, data: bytes, count: int) -> None:
        super().__init__(data.hex())
        self.data = data
        self.count = count


def rounds(
    target: Target,
    seed: int,
    corpus: Sequence[bytes] = (),
    *,
    runs: int = 0,
    seconds: float = 0.0,
) -> int:
    """Try random inputs until there were `runs` or `seconds` have passed (0: no bound); returns
    how many. Raises Failure for the first that goes wrong."""
    rng = random.Random(seed)
    until = time.monotonic() + seconds if seconds else 0.0
    count = 0
    while not runs or count < runs:
        if until and count % _LOOK_EVERY == 0 and time.monotonic() > until:
            break
        data = draw(rng, corpus)
        count += 1
        try:
            target(data)
        except Exception as error:
            raise Failure(data, count) from error
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Any bytes at all, for as long as wanted."
    )
    parser.add_argument("what", choices=("segment", "endpoint", "corpus"))
    parser.add_argument("--runs", type=int, default=0, help="how many inputs [no bound]")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long [no bound]")
    parser.add_argument("--seed", type=int, default=0, help="of the generator [%(default)s]")
    parser.add_argument("--corpus", type=Path, metavar="DIRECTORY", help="inputs to begin with")
    parser.add_argument("--random", action="store_true", help="not guided, also with atheris")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="only the input in FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
