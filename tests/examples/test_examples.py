"""Each example runs as a process, as its docstring says, and ends cleanly on Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.conftest import Spawn

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
NAMES: Final = sorted(path.name for path in EXAMPLES.glob("*.py"))
PATIENCE: Final = 20

# The package that an example needs, if it is for a framework.
FRAMEWORKS: Final = {
    "aiohttp_client.py": "aiohttp",
    "aiohttp_server.py": "aiohttp",
    "httpx_client.py": "httpx",
    "uvicorn_app.py": "uvicorn",
    "websockets_echo.py": "websockets",
}

# What starts each example so that it waits for something: for the test of Ctrl-C.
WAITING: Final = {
    "echo_server.py": ["--port", "0"],
    "copy_file.py": ["receive", "unused", "--port", "0"],
    "bring_your_own_io.py": ["listen", "--port", "0"],
    "hole_punching.py": ["meet", "--port", "0"],
    "many_servers.py": ["--port", "0", "--workers", "2"],
    "aiohttp_server.py": ["--port", "0"],
    "websockets_echo.py": ["serve", "--port", "0"],
}


# What each example needs besides a port.
NEEDED: Final = {
    "copy_file.py": ["send", __file__],
    "bring_your_own_io.py": ["connect"],
    "hole_punching.py": ["meet"],
    "websockets_echo.py": ["serve"],
}


@pytest.fixture
def echo_port(spawn: Spawn) -> str:
    return started(spawn("examples/echo_server.py", "--port", "0"))


@pytest.mark.parametrize("name", NAMES)
def test_help(spawn: Spawn, name: str) -> None:
    if name in FRAMEWORKS:
        pytest.importorskip(FRAMEWORKS[name])
    out, _ = finished(spawn(f"examples/{name}", "--help"))
    assert "usage:" in out


@pytest.mark.parametrize(
    "name", [name for name in NAMES if '"--port"' in (EXAMPLES / name).read_text(encoding="utf-8")]
)
def test_a_port_that_cannot_be(spawn: Spawn, name: str) -> None:
    if name in FRAMEWORKS:
        pytest.importorskip(FRAMEWORKS[name])
    process = spawn(f"examples/{name}", *NEEDED.get(name, []), "--port", "70000")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    last = errors.splitlines()[-1]
    assert last.startswith(name)  # and the command, where there are several
    assert last.endswith(": error: argument --port: invalid port value: '70000'")
    assert "Traceback" not in errors


@pytest.mark.parametrize("target", ["missing/target", ".", "file/target"])
def test_a_file_that_cannot_be_stored_is_not_waited_for(
    spawn: Spawn, tmp_path: Path, target: str
) -> None:
    (tmp_path / "file").touch()
    process = spawn("examples/copy_file.py", "receive", str(tmp_path / target), "--port", "0")
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.startswith("failed: ")
    assert len(errors.splitlines()) == 1
    assert not out


@pytest.mark.parametrize("address", ["http://127.0.0.1:70000/", "http://[::1/", "nonsense"])
@pytest.mark.parametrize("name", ["aiohttp_client.py", "httpx_client.py"])
def test_an_address_that_cannot_be(spawn: Spawn, name: str, address: str) -> None:
    pytest.importorskip(FRAMEWORKS[name])
    process = spawn(f"examples/{name}", address)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.startswith("failed: ")
    assert len(errors.splitlines()) == 1


def test_a_number_of_workers_that_cannot_be(spawn: Spawn) -> None:
    process = spawn("examples/many_servers.py", "--workers", "0")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "invalid workers value: '0'" in errors


@pytest.mark.parametrize("name", WAITING)
def test_ctrl_c_while_waiting(spawn: Spawn, name: str) -> None:
    if name in FRAMEWORKS:
        pytest.importorskip(FRAMEWORKS[name])
    process = spawn(f"examples/{name}", *WAITING[name])
    started(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors
    assert process.returncode in {0, 130}


def test_ctrl_c_while_connected(spawn: Spawn, echo_port: str) -> None:
    process = spawn("examples/echo_client.py", "--port", echo_port)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("one\n")
    process.stdin.flush()
    assert process.stdout.readline() == "one\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in errors
    assert process.returncode == 130


def test_echo(spawn: Spawn, echo_port: str) -> None:
    out, _ = finished(spawn("examples/echo_client.py", "--port", echo_port, "hello", "wörld"))
    assert out == "hello\nwörld\n"


def test_half_close(spawn: Spawn, echo_port: str) -> None:
    question = "".join(f"line {number}\n" for number in range(50_000))
    process = spawn("examples/half_close_client.py", "--port", echo_port)
    out, errors = finished(process, question)
    assert out == question
    assert "EOF" in errors


def test_copy_file(spawn: Spawn, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(3_000_001))
    receiver = spawn("examples/copy_file.py", "receive", str(target), "--port", "0")
    port = started(receiver)
    finished(spawn("examples/copy_file.py", "send", str(source), "--port", port))
    finished(receiver)
    assert target.read_bytes() == source.read_bytes()
    assert sorted(tmp_path.iterdir()) == [source, target]


def test_copy_of_a_file_that_is_not_there(spawn: Spawn, tmp_path: Path) -> None:
    receiver = spawn("examples/copy_file.py", "receive", str(tmp_path / "target"), "--port", "0")
    port = started(receiver)
    sender = spawn("examples/copy_file.py", "send", str(tmp_path / "missing"), "--port", port)
    for process in (sender, receiver):
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert errors.startswith("failed: ")
    assert not list(tmp_path.iterdir())


def test_bring_your_own_io(spawn: Spawn) -> None:
    port = started(spawn("examples/bring_your_own_io.py", "listen", "--port", "0"))
    for words in ("how are you?", "and now?"):
        client = spawn("examples/bring_your_own_io.py", "connect", words, "--port", port)
        assert finished(client)[0] == words.upper() + "\n"


def test_own_io_and_asyncio_understand_each_other(spawn: Spawn, echo_port: str) -> None:
    client = spawn("examples/bring_your_own_io.py", "connect", "x" * 5000, "--port", echo_port)
    assert finished(client)[0] == "x" * 5000 + "\n"


def test_hole_punching(spawn: Spawn) -> None:
    port = started(spawn("examples/hole_punching.py", "meet", "--port", "0"))
    for _ in range(2):  # the word can be used again
        join = ("examples/hole_punching.py", "join", "a word", "--port", port)
        one, other = (spawn(*join, "--say", f"this is {name}") for name in ("one", "other"))
        assert finished(one)[0].splitlines()[1:] == ["this is other"]
        assert finished(other)[0].splitlines()[1:] == ["this is one"]


def test_nobody_listens(spawn: Spawn) -> None:
    client = spawn("examples/echo_client.py", "--port", "1", "hello")
    _, errors = client.communicate(timeout=PATIENCE)
    assert client.returncode == 1
    assert errors.startswith("failed: ")


def started(process: subprocess.Popen[str]) -> str:
    """The port of a server that says on its first line where it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.search(r"port (\d+)", line)
    assert match is not None, line + process.communicate()[1]
    return match[1]


def finished(process: subprocess.Popen[str], text: str = "") -> tuple[str, str]:
    """Standard output and standard error of a process that ends well."""
    out, errors = process.communicate(text, timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    return out, errors
