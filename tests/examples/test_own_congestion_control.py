"""The example of a congestion control: it runs, and does what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Spawn

EXAMPLE = "examples/own_congestion_control.py"


def run(spawn: Spawn, *args: str) -> tuple[float, float]:
    """Goodput over all, Mbit/s, and the round trip at the end, milliseconds."""
    process = spawn(EXAMPLE, *args)
    out, errors = process.communicate(timeout=50)
    assert process.returncode == 0, errors
    assert not errors
    lines = out.splitlines()
    goodput = re.search(r"goodput (\S+) Mbit/s", lines[-1])
    assert goodput is not None
    return float(goodput[1]), float(lines[-2].split()[-1])


def test_it_fills_the_path_and_leaves_the_queue_empty(spawn: Spawn) -> None:
    goodput, rtt = run(spawn)
    assert goodput > 9.5
    assert rtt < 50


@pytest.mark.parametrize("control", ["cubic", "reno"])
def test_what_is_built_in_fills_the_queue(spawn: Spawn, control: str) -> None:
    goodput, rtt = run(spawn, "--control", control, "--seconds", "5")
    assert goodput > 9
    assert rtt > 80
