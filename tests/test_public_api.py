"""The public names: documented, and callable as asyncio's are."""

from __future__ import annotations

import asyncio
import asyncio.base_events
import inspect
from collections.abc import Callable
from typing import Any, Final

import pytest

import utcp
import utcp.core
import utcp.testing

CALLS: Final[list[tuple[Callable[..., Any], Callable[..., Any]]]] = [
    (utcp.open_connection, asyncio.open_connection),
    (utcp.start_server, asyncio.start_server),
    (utcp.create_connection, asyncio.base_events.BaseEventLoop.create_connection),
    (utcp.create_server, asyncio.base_events.BaseEventLoop.create_server),
]

# Parameters that asyncio got after Python 3.11.
NEWER: Final = {"all_errors", "keep_alive"}
# Streams hand these on: utcp names them, asyncio has **kwds for them.
HANDED_ON: Final[dict[str, Callable[..., Any]]] = {
    "open_connection": asyncio.base_events.BaseEventLoop.create_connection,
    "start_server": asyncio.base_events.BaseEventLoop.create_server,
}


@pytest.mark.parametrize("module", [utcp, utcp.core, utcp.testing], ids=lambda m: m.__name__)
def test_every_public_thing_is_documented(module: Any) -> None:
    assert module.__doc__
    assert module.__all__ == sorted(set(module.__all__), key=module.__all__.index)
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert inspect.getdoc(thing), f"{module.__name__}.{name} has no docstring"
            assert thing.__doc__, f"{module.__name__}.{name} has no docstring of its own"


@pytest.mark.parametrize("module", [utcp, utcp.core], ids=lambda m: m.__name__)
def test_every_public_method_is_documented(module: Any) -> None:
    bare = [
        f"{name}.{member}"
        for name in module.__all__
        if inspect.isclass(cls := getattr(module, name))
        for member, thing in vars(cls).items()
        if not member.startswith("_")
        and (inspect.isfunction(thing) or isinstance(thing, property))
        and not inspect.getdoc(getattr(cls, member))
    ]
    assert not bare


@pytest.mark.parametrize(("ours", "theirs"), CALLS, ids=lambda call: call.__name__)
def test_signatures_are_those_of_asyncio(
    ours: Callable[..., Any], theirs: Callable[..., Any]
) -> None:
    have = inspect.signature(ours).parameters
    assert inspect.iscoroutinefunction(ours)
    for name, want in inspect.signature(theirs).parameters.items():
        if name in {"self", "kwds"} | NEWER:
            continue
        assert name in have, name
        assert have[name].kind is want.kind, name
        assert have[name].default == want.default, name
    assert have["config"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", HANDED_ON)
def test_streams_take_what_the_calls_below_take(name: str) -> None:
    have = inspect.signature(getattr(utcp, name)).parameters
    want = inspect.signature(HANDED_ON[name]).parameters
    assert want.keys() - have.keys() <= {"self", "protocol_factory"} | NEWER
