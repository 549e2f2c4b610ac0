"""What one process can say of where its time goes, from `restart` to the first `read`."""

from __future__ import annotations

import linecache
import os
import re
import resource
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from opcode import opmap
from types import CodeType, FrameType
from typing import Any, Final

from benchmarks.measure import Meter

Place = tuple[str, str]
"""File and function."""

SAMPLING: Final = "samples"
COUNTING: Final = "counts"

_EVERY: Final = 0.001  # seconds of CPU time; the kernel looks once per tick of its clock
_RESUME: Final = opmap["RESUME"]
# A signal that comes while the kernel works is seen when the call is over, in the same line.
_SYSTEM_CALL: Final = re.compile(
    r"\b(_?recvmsg(_into)?|_?sendmsg|_?sendto|[gs]etsockopt|getsockname|socket\.socket"
    r"|sock\.(send|connect|bind|close)|self\._send)\("
)
_CALLS_SOCKETS: Final = ("utcp/udp/", "benchmarks/bare/")


@dataclass(slots=True)
class Profile:
    """What was found."""

    cpu: float
    """Seconds."""
    samples: dict[Place, int] = field(default_factory=dict)
    """How often the program was found there."""
    in_kernel: int = 0
    """How often a system call on a socket was found to be under way; not in `samples`."""
    bytecodes: dict[Place, int] = field(default_factory=dict)
    calls: dict[Place, int] = field(default_factory=dict)
    """How often it was called, or went on, if it is a coroutine."""
    c_calls: dict[Place, int] = field(default_factory=dict)
    """How often functions written in C were called from there."""


class Probe(Meter):
    """A meter that also takes samples, or counts. Made in the main thread."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._found: Profile | None = None
        self._began_at = 0.0
        self._in_kernel = 0
        self._samples: Counter[CodeType] = Counter()
        self._bytecodes: Counter[CodeType] = Counter()
        self._calls: Counter[CodeType] = Counter()
        self._c_calls: Counter[CodeType] = Counter()
        self._ready = False
        # A server's meter is restarted in another thread, and only the main one can be traced.
        signal.signal(signal.SIGUSR1, self._begin_to_count)
        signal.signal(signal.SIGPROF, self._sample)
        super().__init__()
        self._ready = True

    def restart(self) -> None:
        super().restart()
        self._began_at = _cpu_seconds()
        if not self._ready:
            return  # the work has not begun
        if self._kind == COUNTING:
            os.kill(os.getpid(), signal.SIGUSR1)
        else:
            signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)

    def read(self) -> dict[str, float]:
        self.profile()
        return super().read()

    def profile(self) -> Profile:
        """What was found until this was called first, in the main thread."""
        if self._found is None:
            self.stop()
            self._found = Profile(
                _cpu_seconds() - self._began_at,
                samples=_by_place(self._samples),
                in_kernel=self._in_kernel,
                bytecodes=_by_place(self._bytecodes),
                calls=_by_place(self._calls),
                c_calls=_by_place(self._c_calls),
            )
        return self._found

    def stop(self) -> None:
        """Take no samples any more, and count nothing."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.settrace(None)
        sys.setprofile(None)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        code = frame.f_code
        if code.co_code[frame.f_lasti] == _RESUME and frame.f_back is not None:
            # It is only now being called: what took the time is before the call. If the loop calls
            # it, which is written in C, that is the function that runs the loop.
            code = frame.f_back.f_code
        elif is_system_call(code.co_filename, frame.f_lineno):
            self._in_kernel += 1
            return
        self._samples[code] += 1

    def _begin_to_count(self, *_: object) -> None:
        sys.settrace(self._trace)
        sys.setprofile(self._profile)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            self._bytecodes[frame.f_code] += 1
        elif event == "call":
            self._calls[frame.f_code] += 1
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        return self._trace

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        if event == "c_call":
            self._c_calls[frame.f_code] += 1


def _by_place(counts: Counter[CodeType]) -> dict[Place, int]:
    found: Counter[Place] = Counter()
    for code, count in counts.items():
        found[code.co_filename, code.co_qualname] += count
    return dict(found)


@cache
def is_system_call(file: str, line: int | None) -> bool:
    """Whether the time that is spent in this line of a file is a socket's."""
    if line is None:
        return False  # what the compiler has added belongs to none
    return any(part in file for part in _CALLS_SOCKETS) and bool(
        _SYSTEM_CALL.search(linecache.getline(file, line))
    )


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
