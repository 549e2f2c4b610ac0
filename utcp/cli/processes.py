"""A second process that obeys this one: starts clean, dies with it, leaves Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
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
    with _no_interrupts():
        process.start()
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


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Processes started in this block do not feel Ctrl-C, which a terminal sends to all of them.

    They inherit the blocked signal, so nothing interrupts them even while they start; here it is
    delivered at the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It starts once, and would unblock the signal again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
