"""README.md says what is so: its programs run, its commands work, its numbers were measured."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from benchmarks import readme, report
from benchmarks.paths import table as paths
from benchmarks.profile import table as profile

if TYPE_CHECKING:
    from tests.conftest import Spawn

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "README.md").read_text(encoding="utf-8")
PATIENCE: Final = 55

# What makes a command short enough for a test, and keeps it from writing into the tree.
SHORTER: Final = {
    "benchmarks": ["--list"],
    "benchmarks.micro": ["--list"],
    "benchmarks.paths": ["--list"],
    "benchmarks.profile": ["--list"],
    "benchmarks.toggle": ["--seconds", "0.5"],
    "benchmarks.tls": ["--runs", "1", "--size", "1MiB", "--loop", "asyncio"],
    "benchmarks.chaos": ["--seeds", "5"],
    "benchmarks.flood": ["--seconds", "0.2", "--connects", "2", "--rate", "200"],
    "tests.attack.mutation": ["--list"],
    "benchmarks.soak": ["--seconds", "3"],
    "tests.fuzz": ["--runs", "500", "--random"],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


COMMANDS: Final = [line for block in blocks("sh") for line in block.splitlines()]
SETUPS: Final = [line for line in COMMANDS if line.startswith("python3 -m venv")]


@pytest.mark.parametrize("program", blocks("python"), ids=lambda text: text[:20])
def test_programs(spawn: Spawn, program: str) -> None:
    process = spawn("-W", "error", "-c", program)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert not errors


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {*SETUPS}))
def test_commands(spawn: Spawn, command: str) -> None:
    words = shlex.split(command)
    assert words[0] == ".venv/bin/python"
    if words[1] == "-m":
        words += SHORTER.get(words[2], [])
    process = spawn(*words[1:])
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert out


def test_setups() -> None:
    """One line each for the main job and for the tests. `.ci/run` runs the second one from
    nothing; here, that what the first one starts is there."""
    demo, tests = SETUPS
    start = "python3 -m venv .venv && .venv/bin/pip install -q "
    assert demo == start + ". && .venv/bin/utcp demo"
    assert tests == start + "'.[test]' && .venv/bin/pytest -q -n auto"
    pattern = re.search(r"sed -n '/(.*)/p' README\.md", (ROOT / ".ci" / "run").read_text())
    assert pattern is not None
    assert [line for line in TEXT.splitlines() if re.search(pattern[1], line)] == [tests]
    help_text = subprocess.run(
        [sys.executable, "-m", "utcp", "demo", "--help"], cwd=ROOT, capture_output=True, check=True
    )
    assert b"--size" in help_text.stdout


# -- sessions with two machines ------------------------------------------------------------------

# What looks like a port in a command; the parts of an address are followed by dots.
PORT: Final = re.compile(r"(?<=[ :])\d{2,5}\b(?!\.)")
ENDLESS: Final = {"forward", "echo"}
# Stands in for a client of the kernel's TCP: shows the banner.
SSH: Final = (
    "import socket, sys; print(socket.create_connection((sys.argv[3], sys.argv[2])).recv(99))"
)


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    """The directories "here" and "there", and the programs that the sessions use."""
    programs = {"utcp": [sys.executable, "-m", "utcp"], "ssh": [sys.executable, "-c", SSH]}
    (tmp_path / "bin").mkdir()
    for name, words in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    for name in ("original", "film.mkv"):
        (tmp_path / "here" / name).write_bytes(os.urandom(3_000_000))
    return tmp_path


@pytest.fixture
def sshd() -> Iterator[int]:
    """The port of something that sends a banner, as sshd does."""

    def greet() -> None:
        with suppress(OSError):  # nobody came, or whoever came is gone
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-banner")
                connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greet, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize("session", blocks("console"), ids=lambda text: text.split()[2])
def test_sessions(machines: Path, sshd: int, session: str) -> None:
    """All commands but the last wait for others, and say so."""
    ports = {"22": sshd}

    def port(match: re.Match[str]) -> str:
        return str(ports.setdefault(match[0], _free_port()))

    *waiting, (place, last) = [
        (place, PORT.sub(port, command).replace("there", "127.0.0.1"))
        for place, command in re.findall(r"^(\w+)\$ (.*)$", session, re.MULTILINE)
    ]
    with ExitStack() as stack:
        processes = []
        for where, command in waiting:
            processes.append(stack.enter_context(_shell(machines, where, command)))
            stack.callback(processes[-1].kill)
            assert processes[-1].stderr is not None
            assert "listening on" in processes[-1].stderr.readline()
        client = stack.enter_context(_shell(machines, place, last))
        stack.callback(client.kill)
        out, errors = client.communicate(timeout=PATIENCE)
        assert client.returncode == 0, errors
        for (_, command), process in zip(waiting, processes, strict=True):
            endless = command.split()[1] in ENDLESS
            if endless:
                process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == (130 if endless else 0)
    _check(machines, last, out)


def _check(machines: Path, last: str, out: str) -> None:
    """That the session did what the text says."""
    match last.split()[:2]:
        case ["ssh", _]:
            assert "SSH-2.0-banner" in out
        case ["utcp", "connect"]:
            assert _same(machines / "there" / "copy", machines / "here" / "original")
        case ["utcp", "send"]:
            assert _same(machines / "there" / "film.mkv", machines / "here" / "film.mkv")
        case _:
            assert "cwnd" in out


def _same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def _shell(machines: Path, where: str, command: str) -> subprocess.Popen[str]:
    path = f"{machines / 'bin'}:{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=machines / where,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _free_port() -> int:
    """Free for TCP and for UDP, on all addresses."""
    with socket.create_server(("", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        number: int = tcp.getsockname()[1]
        udp.bind(("", number))
        return number


def test_numbers() -> None:
    assert readme.part(TEXT, "measured") == report.markdown(report.load())
    assert readme.part(TEXT, "paths") == paths.markdown(paths.load())
    assert readme.part(TEXT, "profile") == profile.markdown(profile.load())


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)#]+)", TEXT))
def test_links(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("named", re.findall(r"`(tests/[\w/]+\.py(?:::\w+)*)`", TEXT))
def test_named_tests_exist(named: str) -> None:
    file, *names = named.split("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    for name in names:
        assert re.search(rf"^\s*(async def|def|class) {name}\b", text, re.MULTILINE)
