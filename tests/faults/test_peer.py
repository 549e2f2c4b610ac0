"""The other side is killed, started again, or stopped for a while, at any moment."""

from __future__ import annotations

from typing import Final

import pytest

from tests.faults.machines import Scene
from utcp.config import Config
from utcp.core import Reason, State, events

# Seconds: in the handshake, in slow start, in the middle.
MOMENTS: Final = (0.0, 0.011, 0.031, 0.1, 0.3, 0.4)
IMPATIENT: Final = Config(retries2=4, retries1=2)
KEPT: Final = Config(keepalive=True, keepalive_idle=30.0, keepalive_interval=5.0, keepalive_count=3)


def is_told(scene: Scene) -> bool:
    """Whether the client's application has heard the end."""
    return bool(scene.a.host.events_of(scene.client) & events.CLOSED)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("moment", MOMENTS[2:])
def test_killed_while_we_send(moment: float, silent: bool) -> None:
    scene = Scene(IMPATIENT)
    scene.run(moment)
    scene.b.kill(silent=silent)
    # 200 ms and 20 ms of round trip, doubled four times, and what a queue has added.
    assert scene.until_over(scene.client, within=30) > 5
    assert scene.client.reason is Reason.TIMED_OUT
    assert is_told(scene)
    # ICMP ends nothing once we are connected, but it is told (RFC 5927 §5.2).
    assert scene.client.soft_error == ("retransmissions" if silent else "port unreachable")
    assert scene.a.endpoint.idle


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_a_user_time_out(moment: float) -> None:
    config = Config(user_timeout=7.0)
    scene = Scene(config, connected=False)
    scene.run(moment)
    scene.b.kill(silent=True)
    assert scene.until_over(scene.client, within=30) == pytest.approx(7.0, abs=0.7)
    assert scene.client.reason is Reason.TIMED_OUT
    assert is_told(scene)


def test_killed_before_the_handshake_is_done() -> None:
    scene = Scene(Config(syn_retries=2), connected=False)
    scene.b.kill(silent=False)
    scene.until_over(scene.client, within=1)
    assert scene.client.reason is Reason.REFUSED
    scene = Scene(Config(syn_retries=2), connected=False)
    scene.b.kill(silent=True)
    assert scene.until_over(scene.client, within=60) == pytest.approx(7, abs=0.1)
    assert scene.client.reason is Reason.TIMED_OUT


@pytest.mark.parametrize("silent", [False, True])
def test_killed_while_nothing_is_under_way(silent: bool) -> None:
    scene = Scene(KEPT, size=1000, finish="keep")
    scene.run(10.0)
    assert [sink.received for sink in scene.sinks] == [1000, 1000]
    scene.b.kill(silent=silent)
    assert scene.until_over(scene.client, within=60) == pytest.approx(35, abs=1)
    assert scene.client.reason is Reason.TIMED_OUT
    assert is_told(scene)


def test_restarted_while_nothing_is_under_way() -> None:
    scene = Scene(KEPT, size=1000, finish="keep")
    scene.run(10.0)
    scene.b.kill(silent=True)
    scene.b.restart()
    # The first probe finds that nobody knows us.
    assert scene.until_over(scene.client, within=60) == pytest.approx(20, abs=1)
    assert scene.client.reason is Reason.RESET


@pytest.mark.parametrize("moment", MOMENTS[1:])
def test_restarted_on_the_same_port(moment: float) -> None:
    """The new process knows nothing of our connection, says so, and takes another."""
    scene = Scene()
    scene.run(moment)
    scene.b.kill(silent=False)
    scene.run(0.5)
    scene.b.restart()
    scene.until_over(scene.client, within=5)
    assert scene.client.reason is Reason.RESET
    assert is_told(scene)
    again = scene.a.endpoint.connect(scene.now, "b")
    scene.world.run_until(lambda: again.state is State.ESTABLISHED, 10**9)


def test_restarted_while_we_connect() -> None:
    scene = Scene(connected=False)
    scene.b.kill(silent=True)
    scene.run(2.0)
    scene.b.restart()
    assert scene.finish(within=10) > 1


@pytest.mark.parametrize("seconds", [1.0, 60.0])
@pytest.mark.parametrize("moment", MOMENTS[1:])
def test_stopped_and_continued(moment: float, seconds: float) -> None:
    scene = Scene()
    scene.run(moment)
    scene.b.stop()
    scene.run(seconds)
    assert not scene.client.reason
    assert scene.client.rcv.buffer.size == 0
    scene.b.cont()
    # By then the time-out has been doubled until it was as long as the stop.
    scene.finish(within=seconds + 5)
    assert scene.a.endpoint.counters.resets_in == scene.b.endpoint.counters.resets_in == 0


def test_stopped_for_longer_than_we_wait() -> None:
    """Both sides learn of it: the one that waited by its timer, the other by a reset."""
    scene = Scene(IMPATIENT, server=Config())
    scene.run(0.1)
    scene.b.stop()
    scene.until_over(scene.client, within=60)
    assert scene.client.reason is Reason.TIMED_OUT
    scene.b.cont()
    assert scene.server is not None
    scene.until_over(scene.server, within=60)
    assert scene.server.reason is Reason.RESET
    assert scene.b.host.events_of(scene.server) & events.CLOSED
