"""The network is cut for a while, or says that there is no way."""

from __future__ import annotations

from typing import Final

import pytest

from tests.faults.machines import Scene
from utcp.config import Config
from utcp.core import Reason, State
from utcp.testing import SECOND, partition

WHERE: Final = {"both ways": None, "there": "a", "back": "b"}


def cut(scene: Scene, seconds: float, where: str = "both ways") -> None:
    end = scene.now + round(seconds * SECOND)
    scene.world.rules.append(partition(scene.now, end, src=WHERE[where]))


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("seconds", [1, 10, 60])
@pytest.mark.parametrize("moment", [0.05, 0.1, 0.3])
def test_cut_and_back(moment: float, seconds: int, where: str) -> None:
    scene = Scene()
    scene.run(moment)
    cut(scene, seconds, where)
    # The time-out doubles: it may be as long as the cut when the network is back, and once more
    # as long if all that then comes is the acknowledgment of what was sent before.
    scene.finish(within=3 * seconds + 5)
    for machine in (scene.a, scene.b):
        assert machine.endpoint.counters.resets_out == 0
        # Nobody sends faster because nobody answers.
        assert machine.endpoint.counters.timeouts < 12
    assert scene.client.reason is Reason.CLOSED


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("seconds", [1, 10])
@pytest.mark.parametrize("moment", [0.0, 0.011])
def test_cut_in_the_handshake(moment: float, seconds: int, where: str) -> None:
    scene = Scene(connected=False)
    scene.run(moment)
    cut(scene, seconds, where)
    scene.finish(within=3 * seconds + 5)


@pytest.mark.parametrize("where", ["both ways", "there"])
def test_cut_in_the_handshake_for_longer_than_the_server_waits(where: str) -> None:
    """It has forgotten us after a minute, and says so."""
    scene = Scene(connected=False)
    scene.run(0.015)
    cut(scene, 70, where)
    scene.until_over(scene.client, within=300)
    assert scene.client.reason is Reason.RESET
    assert scene.server is None
    assert scene.b.endpoint.idle


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("seconds", [1, 10, 60])
def test_cut_while_closing(seconds: int, where: str) -> None:
    scene = Scene(size=1000)
    while scene.client.state is State.ESTABLISHED:
        scene.run(0.001)
    cut(scene, seconds, where)
    scene.finish(within=2 * seconds + 5)
    assert scene.client.reason is Reason.CLOSED


@pytest.mark.parametrize("hard", [False, True])
def test_unreachable_all_the_time_of_a_cut(hard: bool) -> None:
    """RFC 5927 §5.2: ICMP ends no connection that is established."""
    scene = Scene()
    scene.run(0.1)
    cut(scene, 10)
    for _ in range(10):
        scene.run(1)
        scene.a.endpoint.unreachable(scene.now, "b", hard)
        scene.b.endpoint.unreachable(scene.now, "a", hard)
    assert scene.client.soft_error == ("port unreachable" if hard else "host unreachable")
    scene.finish(within=15)


def test_a_cut_that_is_longer_than_both_wait() -> None:
    scene = Scene(Config(user_timeout=20.0))
    scene.run(0.1)
    cut(scene, 60)
    assert scene.until_over(scene.client, within=30) == pytest.approx(20, abs=1)
    assert scene.server is not None
    scene.until_over(scene.server, within=5)
    assert (scene.client.reason, scene.server.reason) == (Reason.TIMED_OUT, Reason.TIMED_OUT)


def test_memory_does_not_grow_in_a_cut() -> None:
    scene = Scene(size=5_000_000)
    scene.run(0.3)
    before = scene.client.buffered
    cut(scene, 60)
    scene.run(59)
    assert scene.client.buffered <= max(before, scene.client.sndbuf) + 2 * 65_536
    assert len(scene.a.endpoint._agenda.replies) == len(scene.b.endpoint._agenda.replies) == 0
