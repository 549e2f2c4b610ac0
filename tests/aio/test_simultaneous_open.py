"""Two that connect to each other, as through NATs: one connection comes of it."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any

import pytest

import utcp

from .conftest import FAST

PATIENT = replace(FAST, icmp_refuses=False, rto_initial=0.05)
HERE = "127.0.0.1"


def two_ports() -> tuple[int, int]:
    """Free ports; nobody is there, so that the first SYN meets with "port unreachable"."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        one.bind((HERE, 0))
        other.bind((HERE, 0))
        return one.getsockname()[1], other.getsockname()[1]


def opening(own: int, other: int, way: str) -> dict[str, Any]:
    if way == "local_addr":
        return {"host": HERE, "port": other, "local_addr": (HERE, own)}
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HERE, own))
    sock.connect((HERE, other))
    return {"sock": sock}


@pytest.mark.parametrize("way", ["local_addr", "sock"])
async def test_one_connection_comes_of_two_attempts(way: str) -> None:
    async def side(own: int, other: int) -> bytes:
        reader, writer = await utcp.open_connection(**opening(own, other, way), config=PATIENT)
        assert writer.get_extra_info("peername") == (HERE, other)
        writer.write(b"from %d" % own)
        writer.write_eof()
        heard = await reader.read()
        writer.close()
        await writer.wait_closed()
        return heard

    one, two = two_ports()
    from_two, from_one = await asyncio.gather(side(one, two), side(two, one))
    assert (from_one, from_two) == (b"from %d" % one, b"from %d" % two)


async def test_the_usual_client_is_refused_at_once() -> None:
    one, two = two_ports()
    with pytest.raises(ConnectionRefusedError):
        await utcp.open_connection(HERE, two, local_addr=(HERE, one), config=FAST)


async def test_nobody_comes() -> None:
    one, two = two_ports()
    config = replace(PATIENT, rto_initial=0.01, syn_retries=1)
    with pytest.raises(ConnectionRefusedError):
        await utcp.open_connection(HERE, two, local_addr=(HERE, one), config=config)
