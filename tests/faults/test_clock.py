"""The machine was suspended: it is an hour later, and nobody noticed."""

from __future__ import annotations

from typing import Final

import pytest

from tests.faults.machines import Scene
from utcp.config import Config
from utcp.core import Reason, State
from utcp.testing import SECOND, Pattern

HOUR: Final = 3600
# What a window of a few seconds of work may send at once.
MOST_AT_ONCE: Final = 100


def jump(scene: Scene, seconds: float) -> None:
    """The clock moves on, and nothing else does."""
    scene.world.clock.advance(round(seconds * SECOND))


def sent(scene: Scene) -> int:
    return sum(link.stats.sent for link in scene.world.network.links.values())


@pytest.mark.parametrize("moment", [0.0, 0.011, 0.031, 0.1, 0.3])
@pytest.mark.parametrize("seconds", [5, 60, HOUR])
def test_both_sides_slept(moment: float, seconds: int) -> None:
    scene = Scene(connected=False)
    scene.run(moment)
    before = sent(scene)
    jump(scene, seconds)
    scene.run(0)
    assert sent(scene) - before < MOST_AT_ONCE
    # An hour that was taken for a round trip is unlearnt within a minute.
    scene.finish(within=60)
    for machine in (scene.a, scene.b):
        assert machine.endpoint.counters.resets_out == 0
        assert machine.endpoint.counters.timeouts <= 3  # one for each thing that was under way


@pytest.mark.parametrize("moment", [0.031, 0.1, 0.3])
@pytest.mark.parametrize("seconds", [5, 60, HOUR])
def test_one_side_slept(moment: float, seconds: int) -> None:
    """The other has heard nothing for as long; it still waits, or has told its application."""
    scene = Scene()
    scene.run(moment)
    scene.b.stop()
    scene.run(seconds)
    before = sent(scene)
    scene.b.cont()
    assert sent(scene) - before < MOST_AT_ONCE
    if seconds < HOUR:
        assert scene.client.reason is Reason.NONE
        scene.finish(within=seconds + 5)
        return
    assert scene.server is not None
    assert scene.client.reason is Reason.TIMED_OUT
    scene.until_over(scene.server, within=10)
    assert scene.server.reason is Reason.RESET


def test_an_hour_is_one_unanswered_probe() -> None:
    config = Config(keepalive=True, keepalive_idle=60.0, keepalive_interval=5.0, keepalive_count=3)
    scene = Scene(config, size=1000, finish="keep")
    scene.run(10)
    before = sent(scene)
    jump(scene, HOUR)
    scene.run(1)
    assert sent(scene) - before == 4  # a probe of each side, and its answer
    assert scene.client.state is State.ESTABLISHED
    scene.run(600)
    assert scene.client.state is State.ESTABLISHED


def test_a_month_without_a_word() -> None:
    """RFC 7323 §5.5: the timestamps have gone half round by then, and are believed anew."""
    scene = Scene(size=0, finish="keep")
    scene.run(10)
    for sink in scene.sinks:
        sink.size = -1
    jump(scene, 30 * 24 * HOUR)
    assert scene.server is not None
    scene.client.write(Pattern(1).data(0, 5))
    scene.server.write(Pattern(2).data(0, 4))
    scene.run(1)
    assert [sink.received for sink in scene.sinks] == [4, 5]


def test_a_time_out_counts_from_what_is_heard_after_the_sleep() -> None:
    """Not from before it: then both sides would end what nothing is wrong with."""
    scene = Scene(Config(user_timeout=10.0))
    scene.run(0.1)
    scene.b.stop()
    jump(scene, HOUR)
    assert scene.until_over(scene.client, within=12) == pytest.approx(10, abs=1)
    assert scene.client.reason is Reason.TIMED_OUT
    scene.b.cont()
    assert scene.server is not None
    scene.until_over(scene.server, within=1)
    assert scene.server.reason in (Reason.TIMED_OUT, Reason.RESET)


def test_what_was_to_be_forgotten_is() -> None:
    scene = Scene(size=1000)
    scene.world.run_until(lambda: scene.a.endpoint.time_wait_count, 10 * SECOND)
    jump(scene, HOUR)
    scene.run(0)
    assert scene.a.endpoint.idle
    assert scene.b.endpoint.idle
