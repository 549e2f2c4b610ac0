"""The tools as processes, and waiting for what they say instead of for time to pass."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 20

# Under nohup this process ignores it, and so would the tools, rightly; their tests send it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Tool:
    """A running `utcp ...`. Its standard error is read as it comes, line by line.

    A shell does what is in `before`, such as "ulimit -n 64", and then becomes the tool, with
    `redirections` such as "<&-".
    """

    def __init__(
        self,
        *arguments: object,
        cwd: Path = ROOT,
        stdout: Any = subprocess.PIPE,
        before: str = ":",
        redirections: str = "",
    ) -> None:
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "utcp", *map(str, arguments)]
        self.process = subprocess.Popen(
            ["sh", "-c", f'{before}; exec "$@" {redirections}', "sh", *command],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        self.errors: list[str] = []
        self.out = b""
        self._lines: Queue[str] = Queue()
        self._threads = [threading.Thread(target=self._read_errors, daemon=True)]
        if stdout == subprocess.PIPE:
            self._threads.append(threading.Thread(target=self._read_out, daemon=True))
        for thread in self._threads:
            thread.start()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.decode().rstrip("\n")
            # In development mode asyncio says how slow a machine is that does much else.
            if not re.match(r"Executing <.* took \d", text):
                self.errors.append(text)
                self._lines.put(text)

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        while data := os.read(self.process.stdout.fileno(), 1 << 16):
            self.out += data

    def says(self, pattern: str) -> re.Match[str]:
        """Wait for a line on standard error that the pattern is found in."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except Empty:
                pytest.fail(f"no line with {pattern!r}, but {self.errors}")
            if (match := re.search(pattern, line)) is not None:
                return match

    @property
    def port(self) -> int:
        """Wait until it listens, on one address; the port."""
        return int(self.says(r"listening on \S+:(\d+)")[1])

    def write(self, data: bytes) -> None:
        """To standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end_input(self, data: bytes = b"") -> None:
        """Write the last bytes of standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.close()

    def end(self, data: bytes = b"") -> int:
        """Write, end standard input, and wait for the end; the exit status."""
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            with suppress(BrokenPipeError):  # it has ended already
                self.end_input(data)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; the exit status."""
        status = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any("Traceback" in line or "Warning" in line for line in self.errors), (
            self.errors
        )
        return status

    def signal(self, number: int) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


Start = Callable[..., Tool]


@pytest.fixture
def tool() -> Iterator[Start]:
    """Start `utcp ARGUMENTS...`; killed when the test ends."""
    started: list[Tool] = []

    def start(*arguments: object, **keywords: Any) -> Tool:
        started.append(Tool(*arguments, **keywords))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key for "localhost", signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key = path.with_name("key.pem")
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", path],
            check=True, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path
