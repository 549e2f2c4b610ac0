"""ngtcp2, QUIC in C with GnuTLS: the server and client that Debian packages.

They speak HTTP/3 over one connection with one stream: a file is fetched from memory. Starting the
client and its handshake are in the time, some ten milliseconds of it. Settings:

- datagrams as large as the task's segments, and no search for another path MTU;
- the client's windows as they are, 6 MiB that grow to 16; the server keeps its bursts by GSO;
- the client throws away what it gets, as its examples do, but for the run that compares all bytes,
  in which it writes a file: a system call for each datagram would cost it a quarter of its speed.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cases import Task, Way
from benchmarks.certificate import write_certificate
from benchmarks.contestants import HOST, Contestant
from benchmarks.measure import Checker, pattern
from benchmarks.side import ClientSide, ServerSide

_SERVER = "gtlsserver"
_CLIENT = "gtlsclient"
_HEADERS = 24  # of a utcp segment: UDP payloads are equally long
_FILE = "file"
_PATIENCE = 60


class Ngtcp2(Contestant):
    name = "ngtcp2"
    title = "ngtcp2 (QUIC in C)"
    encrypts = True
    most_per_second = 200_000_000

    def missing(self) -> str:
        if not (_find(_SERVER) and _find(_CLIENT)):
            return "not installed: Debian's ngtcp2-server and ngtcp2-client"
        return "" if find_spec("trustme") else "not installed: trustme"

    def ways(self, task: Task) -> Sequence[Way]:
        # What is sent to the server cannot be looked at, so there is no "up".
        return [Way("none", "binaries")] if task.name == "bulk/down/1448" else []

    def serve(self, side: ServerSide) -> None:
        with _folder() as folder:
            size = side.limit
            with Path(folder, _FILE).open("wb") as file:
                whole = pattern()
                file.writelines(whole[: size - at] for at in range(0, size, len(whole)))
            chain, key = write_certificate(folder, HOST)
            port = _free_port()
            options = ["--quiet", f"--htdocs={folder}", *_datagrams(side.task)]
            server = subprocess.Popen(
                [_find(_SERVER), *options, HOST, str(port), key, chain],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                _wait_for(port, server)
                side.listening((port, size))
                side.over.wait()
            finally:
                server.terminate()
                server.wait()
        side.report({"up": 0, "down": size})

    def ask(self, side: ClientSide) -> None:
        port, size = side.address()
        with _folder() as folder:
            options = ["--quiet", "--exit-on-all-streams-close", *_datagrams(side.task)]
            if side.every_byte:
                options.append(f"--download={folder}")
            url = f"https://{HOST}:{port}/{_FILE}"
            side.start()
            subprocess.run(
                [_find(_CLIENT), *options, HOST, str(port), url],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
                timeout=_PATIENCE,
            )
            seconds = side.meter.read()["seconds"]
            if side.every_byte:
                checker = Checker(every_byte=True)
                checker.feed(Path(folder, _FILE).read_bytes())
                size = checker.count
        side.report({"up": 0, "down": size, "seconds": seconds})


def _find(name: str) -> str:
    # Debian puts the server where only root looks.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin") or ""


def _datagrams(task: Task) -> list[str]:
    return [f"--max-udp-payload-size={task.segment + _HEADERS}", "--no-pmtud"]


@contextmanager
def _folder() -> Iterator[str]:
    """A folder in memory, if there is such a thing."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield folder


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until the server has its port: what it prints says nothing of that."""
    while f":{port:04X} " not in Path("/proc/net/udp").read_text(encoding="ascii"):
        if server.poll() is not None:
            raise ChildProcessError(f"{_SERVER} ended: {server.returncode}")
        time.sleep(0.01)


CONTESTANT = Ngtcp2()
