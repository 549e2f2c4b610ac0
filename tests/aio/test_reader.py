"""The reader: what it gives is what asyncio's gives."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from typing import Any

import pytest

from utcp.aio.reader import StreamReader

KIB = 1024


class Valve:
    """A transport that knows whether it is paused."""

    def __init__(self) -> None:
        self.open = True

    def __repr__(self) -> str:
        return f"<Valve {self.open}>"

    def pause_reading(self) -> None:
        assert self.open
        self.open = False

    def resume_reading(self) -> None:
        assert not self.open
        self.open = True


def reader(limit: int = 64 * KIB, kind: Any = StreamReader) -> tuple[Any, Valve]:
    made = kind(limit=limit, loop=asyncio.get_running_loop())
    valve = Valve()
    made.set_transport(valve)
    return made, valve


async def _outcome(call: Any) -> Any:
    """What a call gives or raises; None if it would wait."""
    task = asyncio.ensure_future(call)
    for _ in range(6):
        await asyncio.sleep(0)
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None
    error = task.exception()
    return task.result() if error is None else (type(error), str(error))


@pytest.mark.parametrize("seed", range(60))
async def test_small_pieces_come_as_from_asyncio(seed: int) -> None:
    rng = random.Random(seed)
    ours, valve = reader(200)
    theirs, other_valve = reader(200, asyncio.StreamReader)
    for step in range(400):
        drawn = rng.random()
        if drawn < 0.45:
            data = rng.choice((b"", b"\n", rng.randbytes(rng.randrange(150)), b"word\n" * 9))
            ours.feed_data(memoryview(data) if rng.random() < 0.2 else data)
            theirs.feed_data(data)
        else:
            name, *arguments = rng.choice(
                (
                    ("read", rng.choice((0, 1, 10, 100, 1000))),
                    ("readline",),
                    ("readexactly", rng.randrange(300)),
                    ("readexactly", ours._size + len(ours._joined)),
                    ("readuntil", b"d\n"),
                )
            )
            got = await _outcome(getattr(ours, name)(*arguments))
            assert got == await _outcome(getattr(theirs, name)(*arguments)), (seed, step, name)
            assert not isinstance(got, bytearray)
        assert valve.open == other_valve.open, (seed, step)
        assert ours.at_eof() == theirs.at_eof() is False
        if rng.random() < 0.05:
            assert repr(ours) == repr(theirs)
    ours.feed_eof()
    theirs.feed_eof()
    assert await ours.read() == await theirs.read()
    assert ours.at_eof()


@pytest.mark.parametrize("seed", range(20))
async def test_large_pieces_come_in_order(seed: int) -> None:
    rng = random.Random(seed)
    ours, valve = reader()
    fed = bytearray()
    got = bytearray()
    while len(fed) < 10_000_000:
        while valve.open and rng.random() < 0.8:
            piece = rng.randbytes(rng.choice((10, 20_000, 64_000, 65_536, 70_000, 262_144)))
            fed += piece
            ours.feed_data(piece)
        n = rng.choice((5, 1000, 16 * KIB, 64 * KIB, 100_000, 1 << 20))
        if rng.random() < 0.1:
            data = await _outcome(ours.readexactly(n)) or b""
        elif rng.random() < 0.1 and fed[len(got) :]:
            data = await ours.readexactly(min(n, len(fed) - len(got)))
        else:
            data = await _outcome(ours.read(n)) or b""
            assert type(data) is bytes
            assert bool(data) == (len(got) < len(fed))
        assert len(data) <= n
        got += data
        # Once it is paused it goes on as soon as no more than the limit is held.
        assert valve.open or len(fed) - len(got) > 64 * KIB
    ours.feed_eof()
    got += await ours.read()
    assert got == fed
    assert ours.at_eof()


async def test_what_is_read_by_itself_is_not_copied() -> None:
    ours, _ = reader()
    pieces = [bytes(60_000), bytes(60_000)]
    for piece in pieces:
        ours.feed_data(piece)
    assert await ours.read(64 * KIB) is pieces[0]
    assert await ours.read(64 * KIB) is pieces[1]
    ours.feed_data(pieces[0])
    assert await ours.readexactly(60_000) is pieces[0]


@pytest.mark.parametrize("name", ["read", "readexactly"])
async def test_who_waits_is_woken(name: str) -> None:
    ours, _ = reader()
    waiting = asyncio.ensure_future(getattr(ours, name)(4))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already waiting"):
        await getattr(ours, name)(1)
    ours.feed_data(b"here")
    assert await waiting == b"here"
    waiting = asyncio.ensure_future(ours.read(100))
    await asyncio.sleep(0)
    ours.feed_eof()
    assert await waiting == b""
    assert await ours.read(100) == b""


async def test_who_stops_waiting_loses_nothing() -> None:
    ours, _ = reader()
    waiting = asyncio.ensure_future(ours.read(100))
    await asyncio.sleep(0)
    ours.feed_data(b"here")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await ours.read(100) == b"here"


async def test_an_error_comes_first() -> None:
    ours, _ = reader()
    ours.feed_data(b"here")
    ours.set_exception(ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError, match="gone"):
        await ours.read(100)
    waiting, _ = reader()
    task = asyncio.ensure_future(waiting.read(100))
    await asyncio.sleep(0)
    waiting.set_exception(ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError, match="gone"):
        await task


async def test_the_limit_is_checked() -> None:
    with pytest.raises(ValueError, match="Limit"):
        reader(0)


async def test_a_great_many_tiny_pieces_weigh_little() -> None:
    ours, valve = reader()
    piece = bytes(2)
    tracemalloc.start()
    while valve.open:
        ours.feed_data(memoryview(piece))
    weight, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert weight < 3 * 128 * KIB
    assert await ours.readexactly(128 * KIB) == bytes(128 * KIB)


async def test_after_a_line_large_pieces_are_handed_over_again() -> None:
    ours, _ = reader()
    ours.feed_data(b"line\nrest")
    assert await ours.readline() == b"line\n"
    piece = bytes(60_000)
    ours.feed_data(piece)
    assert await ours.read(64 * KIB) == b"rest"
    assert await ours.read(64 * KIB) is piece


async def test_an_error_behind_what_is_waited_for_comes_next() -> None:
    ours, _ = reader()
    waiting = asyncio.ensure_future(ours.readexactly(3))
    await asyncio.sleep(0)
    ours.feed_data(b"here")
    ours.set_exception(ConnectionResetError("gone"))
    assert await waiting == b"her"
    with pytest.raises(ConnectionResetError, match="gone"):
        await ours.readexactly(1)


async def test_the_end_comes_too_early() -> None:
    ours, _ = reader()
    waiting = asyncio.ensure_future(ours.readexactly(5))
    await asyncio.sleep(0)
    ours.feed_data(b"here")
    await asyncio.sleep(0)
    ours.feed_eof()
    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await waiting
    assert caught.value.partial == b"here"
    assert ours.at_eof()


async def test_what_came_before_an_error_goes_to_who_has_waited_for_it() -> None:
    for kind in (StreamReader, asyncio.StreamReader):
        one, _ = reader(kind=kind)
        waiting = asyncio.ensure_future(one.read(4))
        await asyncio.sleep(0)
        one.feed_data(b"0123456789")
        one.set_exception(ConnectionResetError("gone"))
        assert await waiting == b"0123"
        with pytest.raises(ConnectionResetError):
            await one.read(4)


async def test_a_transport_that_cannot_pause() -> None:
    ours, _ = reader()
    ours._transport = asyncio.ReadTransport()
    for _ in range(5):
        ours.feed_data(bytes(60_000))
    assert len(await ours.read(1 << 20)) == 300_000
