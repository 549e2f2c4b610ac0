"""`utcp listen` and `utcp connect`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Start, Tool

HERE: Final = ("--bind", "127.0.0.1")


@pytest.fixture
def listener(tool: Start) -> Tool:
    return tool("listen", 0, *HERE)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_both_directions(tool: Start, loop: str) -> None:
    there, here = os.urandom(3_000_001), os.urandom(5_000_003)
    listener = tool("listen", 0, *HERE, "--loop", loop)
    connector = tool("connect", "127.0.0.1", listener.port, "--loop", loop)
    sending = threading.Thread(target=listener.end_input, args=(there,))
    sending.start()
    assert connector.end(here) == 0
    assert listener.wait() == 0
    sending.join()
    assert (listener.out, connector.out) == (here, there)


def test_each_direction_ends_alone(tool: Start, listener: Tool) -> None:
    """The answer can be longer in coming than the question."""
    connector = tool("connect", "localhost", listener.port)
    listener.end_input()
    connector.write(b"first ")
    assert connector.end(b"second") == 0
    assert listener.wait() == 0
    assert listener.out == b"first second"


def test_a_file_as_input(tool: Start, listener: Tool, tmp_path: Path) -> None:
    target = tmp_path / "target"
    port = listener.port
    with target.open("wb") as file:
        connector = tool("connect", "127.0.0.1", port, stdout=file)
        connector.end_input()
        assert listener.end(b"to a file") == 0
        assert connector.wait() == 0
    assert target.read_bytes() == b"to a file"


def test_ipv6(tool: Start) -> None:
    listener = tool("listen", 0, "--bind", "::1")
    port = int(listener.says(r"listening on \[::1\]:(\d+)$")[1])
    listener.end_input()
    connector = tool("connect", "::1", port)
    assert connector.end(b"six") == 0
    assert listener.end() == 0
    assert listener.out == b"six"


def test_one_connection_only(tool: Start, listener: Tool) -> None:
    port = listener.port
    first = tool("connect", "127.0.0.1", port)
    listener.write(b"welcome")
    first.write(b"x")
    while listener.out != b"x":
        assert listener.process.poll() is None
    second = tool("connect", "127.0.0.1", port, "--timeout", "1")
    assert second.end() == 1
    listener.end_input()
    assert first.end() == 0
    assert listener.wait() == 0


@pytest.mark.parametrize("connected", [False, True])
def test_ctrl_c(tool: Start, listener: Tool, connected: bool) -> None:
    port = listener.port
    if connected:
        connector = tool("connect", "127.0.0.1", port)
        listener.write(b"hello")
        while connector.out != b"hello":
            assert connector.process.poll() is None
        assert connector.signal(signal.SIGINT) == 130
        assert connector.errors == ["interrupted"]
        assert listener.end() in {0, 1}
    else:
        assert listener.signal(signal.SIGINT) == 130
        assert listener.errors[1:] == ["interrupted"]


def test_reset(tool: Start, listener: Tool) -> None:
    """A peer that is interrupted does not look like one that has finished."""
    port = listener.port
    connector = tool("connect", "127.0.0.1", port)
    connector.write(b"x")
    while listener.out != b"x":
        assert connector.process.poll() is None
    assert listener.signal(signal.SIGINT) == 130
    assert connector.wait() == 1
    assert connector.errors == [f"utcp connect: 127.0.0.1:{port}: connection reset by peer"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("who", ["listen", "connect"])
def test_told_to_end(tool: Start, number: int, who: str, loop: str) -> None:
    """As with Ctrl-C, the peer hears of it: somebody has closed the terminal."""
    listener = tool("listen", 0, *HERE, "--loop", loop)
    connector = tool("connect", "127.0.0.1", listener.port, "--loop", loop)
    connector.write(b"x")
    while listener.out != b"x":
        assert connector.process.poll() is None
    told, other = (listener, connector) if who == "listen" else (connector, listener)
    assert told.signal(number) == 128 + number
    assert other.wait() == 1
    assert other.errors[-1].endswith("connection reset by peer")


def test_nohup(tool: Start) -> None:
    listener = tool("listen", 0, *HERE, before="trap '' HUP")
    port = listener.port
    listener.process.send_signal(signal.SIGHUP)
    listener.end_input()
    assert tool("connect", "127.0.0.1", port).end(b"still here") == 0
    assert listener.wait() == 0
    assert listener.out == b"still here"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("connect", "127.0.0.1", 1), "utcp connect: 127.0.0.1:1: connection refused"),
        (("connect", "localhost", 1), "utcp connect: localhost:1: connection refused"),
        (("connect", "224.0.0.1", 9), "utcp connect: 224.0.0.1:9: unreachable"),
        (("connect", "nobody.invalid", 9), "unknown address"),
        (("connect", "[::1]", 1), "utcp connect: [::1]:1: connection refused"),
        (("connect", "::1%nothing", 1), "no interface with this name"),
        (("connect", "two..dots", 9), "utcp connect: two..dots:9: unknown address"),
        (("connect", "x" * 64, 9), "unknown address"),
        (("listen", 0, "--bind", "two..dots"), "utcp listen: unknown address"),
        (("listen", 0, "--bind", "192.0.2.1"), "utcp listen: 192.0.2.1:0: Cannot assign"),
        (("listen", 0, "--bind", "2001:db8::1"), "utcp listen: [2001:db8::1]:0: Cannot assign"),
        (("forward", "tcp:192.0.2.1:0", "utcp:host:1"), "utcp forward: 192.0.2.1:0: Cannot"),
        (("send", "missing", "127.0.0.1", 1), "utcp send: missing: No such file or directory"),
        (("send", "tests", "127.0.0.1", 1), "utcp send: tests: Is a directory"),
        (("send", os.devnull, "127.0.0.1", 1), f"utcp send: {os.devnull}: not a regular file"),
        (("recv", 0, "--output", "missing/x"), "utcp recv: missing: no such directory"),
        (("recv", 0, "--output", "README.md"), "utcp recv: README.md is there already"),
        (("recv", 0, "--output", "x" * 300), ": File name too long"),
        (("send", "README.md", "127.0.0.1", 1), "utcp send: 127.0.0.1:1: connection refused"),
        (("bench", "127.0.0.1", 1), "utcp bench: 127.0.0.1:1: connection refused"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_failures_are_one_line(tool: Start, arguments: tuple[object, ...], words: str) -> None:
    failing = tool(*arguments)
    assert failing.end() == 1
    assert len(failing.errors) == 1
    assert words in failing.errors[0]
    assert failing.out == b""
    if words.startswith("utcp send"):
        assert failing.errors == [words]  # what failed is not named twice


def test_silence_times_out(tool: Start) -> None:
    """A UDP socket that nobody reads: no answer, and no ICMP error either."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        failing = tool("connect", *silent.getsockname(), "--timeout", "0.3")
        assert failing.end() == 1
    assert failing.errors[0].endswith(": timed out")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("listen",),
        ("listen", "99999"),
        ("listen", "²"),
        ("listen", "0", "--tls"),
        ("listen", "0", "--key", "k"),
        ("listen", "0", "--bind", ""),
        ("listen", "0", "--tls", "--cert", "README.md"),
        ("connect", "host", "port"),
        ("connect", "host", "0"),
        ("connect", "", "1"),
        ("connect", "[]", "1"),
        ("forward", "tcp::0", "utcp:host:0"),
        ("send", "README.md", "host", "1", "--retries", "-1"),
        ("connect", "host", "1", "--timeout", "-1"),
        ("connect", "host", "1", "--insecure"),
        ("connect", "host", "1", "--tls", "--cafile", "missing"),
        ("forward", "tcp:1", "udp:host:1"),
        ("forward", "tcp:::1:22", "utcp::1"),
        ("forward", "tcp::1", "utcp::1", "--keepalive", "x"),
        ("forward", "tcp::1", "utcp::1", "--keepalive", "-1"),
        ("forward", "tcp::1", "utcp::1", "--insecure"),
        ("forward", "tcp::1", "tcp::2", "--tls"),
        ("forward", "utcp::1", "utcp::2", "--tls"),
        ("forward", "utcp::1", "tcp::2", "--tls"),
        ("forward", "utcp::1", "tcp::2", "--tls", "--cert", "missing", "--insecure"),
        ("echo", "0", "--tls"),
        ("bench", "host", "1", "--cafile", "missing"),
        ("recv", "0", "--nonsense"),
        ("bench", "host", "1", "--streams", "0"),
        ("bench", "host", "1", "--size", "many"),
    ],
    ids=" ".join,
)
def test_wrong_options_are_one_line(tool: Start, arguments: tuple[str, ...]) -> None:
    wrong = tool(*arguments)
    assert wrong.end() == 2
    assert len(wrong.errors) == 1
    assert wrong.errors[0].startswith("utcp")
    assert wrong.out == b""


@pytest.mark.parametrize(
    "name", ["", "demo", "listen", "connect", "forward", "send", "recv", "echo", "bench"]
)
def test_help(tool: Start, name: str) -> None:
    helpful = tool(*name.split(), "--help")
    assert helpful.end() == 0
    assert helpful.out.startswith(f"usage: utcp {name}".encode())


# -- TLS ------------------------------------------------------------------------------------------


def test_tls(tool: Start, certificate: Path) -> None:
    there, here = os.urandom(3_000_001), os.urandom(2_000_003)
    listener = tool("listen", 0, *HERE, "--tls", "--cert", certificate)
    connector = tool("connect", "localhost", listener.port, "--tls", "--cafile", certificate)
    sending = threading.Thread(target=listener.end_input, args=(there,))
    sending.start()
    assert connector.end(here) == 0
    assert listener.wait() == 0
    sending.join()
    assert (listener.out, connector.out) == (here, there)


def test_tls_half_closes(tool: Start, certificate: Path) -> None:
    listener = tool("listen", 0, *HERE, "--tls", "--cert", certificate)
    connector = tool("connect", "127.0.0.1", listener.port, "--tls", "--insecure")
    listener.end_input()
    assert connector.end(b"after the other has ended") == 0
    assert listener.wait() == 0
    assert listener.out == b"after the other has ended"


def test_files_that_hold_no_certificate(tool: Start, certificate: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "other.pem"], check=True
    )
    (tmp_path / "alone.pem").write_text(certificate.read_text().partition("-----BEGIN PRIV")[0])
    for options, words in (
        (("--cert", "README.md"), "README.md: no certificate, or no key, in PEM format"),
        (("--cert", tmp_path / "alone.pem"), "alone.pem: no certificate, or no key, in PEM format"),
        (("--cert", certificate, "--key", tmp_path / "other.pem"), "other.pem: "),
        (("--cert", certificate, "--cafile", "README.md"), "README.md, "),
    ):
        wrong = tool("listen", 0, "--tls", *options)
        assert wrong.end() == 2
        assert len(wrong.errors) == 1
        assert words in wrong.errors[0]
        assert "[" not in wrong.errors[0]  # OpenSSL's own words


def test_bad_certificate(tool: Start, certificate: Path) -> None:
    listener = tool("listen", 0, *HERE, "--tls", "--cert", certificate)
    connector = tool("connect", "localhost", listener.port, "--tls")
    assert connector.end() == 1
    assert len(connector.errors) == 1
    assert ": bad certificate: self-signed certificate" in connector.errors[0]
    assert listener.end() == 1
    assert "TLS failed" in listener.errors[-1]


def test_client_certificate(tool: Start, certificate: Path) -> None:
    secured = ("--tls", "--cert", certificate, "--cafile", certificate)
    listener = tool("listen", 0, *HERE, *secured)
    listener.end_input()
    connector = tool("connect", "localhost", listener.port, *secured)
    assert connector.end(b"it is me") == 0
    assert listener.end() == 0
    assert listener.out == b"it is me"


def test_one_side_without_tls(tool: Start, certificate: Path) -> None:
    listener = tool("listen", 0, *HERE, "--tls", "--cert", certificate)
    connector = tool("connect", "localhost", listener.port)
    assert connector.end(b"GET / HTTP/1.0\r\n\r\n") in {0, 1}
    assert listener.end() == 1
    assert "TLS failed" in listener.errors[-1]
