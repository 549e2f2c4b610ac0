"""A second process that obeys this one: starts clean, dies with it, leaves Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["helper_process"]


@contextmanager
def helper_process(target: Callable[..., None], *args: Any) -> Iterator[Connection]:
    """Run `target(pipe, *args)` in a new interpreter while the block runs; gives our end of `pipe`.

    At the end of the block the pipe is closed, which is how the other process learns that it is
    no longer wanted; if it does not go within five seconds it is terminated.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    # A terminal's Ctrl-C goes to both processes. The new one inherits that it is ignored, so that
    # this one alone decides what happens, and nothing prints a traceback while it starts.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.terminate()
            process.join()
        process.close()
