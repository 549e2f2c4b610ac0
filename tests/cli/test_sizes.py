"""Sizes as people type them, and the version."""

from __future__ import annotations

import argparse

import pytest

import utcp
from utcp.cli import main
from utcp.cli.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("7B", 7),
        ("1K", 1024),
        ("1k", 1024),
        ("1Ki", 1024),
        ("1KiB", 1024),
        ("1kib", 1024),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1M", 1 << 20),
        ("64 MiB", 64 << 20),
        ("64MB", 64_000_000),
        ("1G", 1 << 30),
        (" 1.5g ", 3 << 29),
        (".5M", 1 << 19),
        ("2TB", 2 * 10**12),
        ("9007199254740993", 2**53 + 1),
        ("1.001kB", 1001),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "iB", "1iB", "-1", "1e3", "1X", "1KK", "1.", "²", "1 0"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a size"):
        parse_size(text)


def test_shown_as_they_can_be_typed() -> None:
    for size in (1 << 30, 64 << 20, 3 << 10):
        assert parse_size(format_size(size)) == size
    assert format_size(1500) == "1,500 B"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"utcp {utcp.__version__}\n"
