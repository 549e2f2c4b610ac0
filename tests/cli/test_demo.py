"""`utcp demo` as a user runs it."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Final

import pytest

from utcp.cli import main
from utcp.cli.ladder import draw, play
from utcp.config import Config
from utcp.core import State

if TYPE_CHECKING:
    from tests.conftest import Spawn

PATIENCE: Final = 40
DEMO: Final = ("-m", "utcp", "demo")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_demo(spawn: Spawn, loop: str) -> None:
    process = spawn(*DEMO, "--size", "32MiB", "--loop", loop)
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert not errors
    assert re.search(r"SHA-256 [0-9a-f]{64} on both sides", out)
    assert re.search(r"33,554,432 bytes in [\d.]+ s: [\d,]+ MB/s", out)


def test_segment_size_is_held(spawn: Spawn) -> None:
    process = spawn(*DEMO, "--size", "1MiB", "--mss", "1460")
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "full segment: 1,448 bytes" in out


def test_both_ends_pass_through_the_states_of_an_orderly_close() -> None:
    client, server = play(Config(msl=0.05))
    assert _states([entry.state for entry in client]) == [
        State.CLOSED,
        State.SYN_SENT,
        State.ESTABLISHED,
        State.FIN_WAIT_1,
        State.FIN_WAIT_2,
        State.TIME_WAIT,
        State.CLOSED,
    ]
    assert _states([entry.state for entry in server]) == [
        State.LISTEN,
        State.SYN_RECEIVED,
        State.ESTABLISHED,
        State.CLOSE_WAIT,
        State.LAST_ACK,
        State.CLOSED,
    ]
    drawing = "\n".join(draw(client, server))
    for words in (" SYN,ECE,CWR seq 0 win", " SYN,ACK,ECE seq 0 ack 1", "FIN,ACK", "2 MSL over"):
        assert words in drawing
    assert "(lost)" not in drawing


def test_ctrl_c(spawn: Spawn) -> None:
    process = spawn(*DEMO, "--size", "100GiB")
    assert process.stdout is not None
    while "MSL was" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors == "interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["demo", "--size", "many"], "not a size"), (["demo", "--loop", "none"], "invalid choice")],
)
def test_wrong_arguments(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert words in capsys.readouterr().err


def test_wrong_segment_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--mss", "7"]) == 2
    assert "max_segment_size" in capsys.readouterr().err


def _states(seen: list[str]) -> list[State]:
    """The states in the order in which they were entered."""
    entered = [seen[0]]
    for state in seen:
        if state != entered[-1]:
            entered.append(state)
    return [State[state.replace("-", "_")] for state in entered]
