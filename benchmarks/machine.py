"""Where it was measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def describe() -> dict[str, str | int]:
    """The machine and the versions that matter."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_MiB": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": f"{platform.system()} {platform.release()}",
        "rmem_max": _sysctl("net/core/rmem_max"),
        "wmem_max": _sysctl("net/core/wmem_max"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": _version("uvloop"),
        "utcp": _version("utcp"),
        "date": time.strftime("%Y-%m-%d"),
        "load": f"{os.getloadavg()[0]:.1f}",
        "command": " ".join(["python", *sys.orig_argv[1:]]),
    }


def sentence(machine: dict[str, str | int]) -> str:
    """The same in words, without a full stop."""
    return (
        f"Measured on {machine['cores']} cores of {machine['processor']}, {machine['system']}, "
        f"{machine['python']}, uvloop {machine['uvloop']}, `net.core.rmem_max` "
        f"{machine['rmem_max']:,}, on {machine['date']} by `{machine['command']}`"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _sysctl(name: str) -> int:
    path = Path("/proc/sys", name)
    return int(path.read_text(encoding="ascii")) if path.exists() else 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
