"""Both processes of a case, each with a probe."""

from __future__ import annotations

import os
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final, cast

from benchmarks import contestants
from benchmarks.cases import Case
from benchmarks.profile.probe import COUNTING, SAMPLING, Probe, Profile
from benchmarks.side import ClientSide, Figures, ServerSide
from utcp.cli.processes import helper_process

_PATIENCE: Final = 60.0
_NO_LIMIT: Final = 1 << 60


class PairError(Exception):
    """A case cannot be profiled."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a process says at its end."""

    figures: Figures
    profile: Profile


@dataclass(frozen=True, slots=True)
class Pair:
    """What both sides found, and what the client measured."""

    figures: Figures
    client: Profile
    server: Profile


def sample(case: Case, seconds: float) -> Pair:
    """Where the program is found when its user time ticks. Raises PairError."""
    return _run(case, SAMPLING, seconds)


def count(case: Case, seconds: float) -> Pair:
    """Bytecodes and calls. Raises PairError."""
    return _run(case, COUNTING, seconds)


def _run(case: Case, kind: str, seconds: float) -> Pair:
    with (
        helper_process(_on_core, "serve", kind, case, seconds) as server,
        helper_process(_on_core, "ask", kind, case, seconds) as client,
    ):
        client.send(_get(server))
        while isinstance(asked := _get(client), str):
            server.send(asked)
            client.send(_get(server))
        server.send("over")
        served = _get(server)
    return Pair(asked.figures, asked.profile, served.profile)


def _get(pipe: Pipe) -> Any:
    if not pipe.poll(_PATIENCE):
        raise PairError(f"nothing for {_PATIENCE:.0f} s")
    message = pipe.recv()
    if isinstance(message, Exception):
        raise PairError(repr(message))
    return message


def _tell(side: ClientSide | ServerSide, pipe: Pipe, figures: Figures) -> None:
    measured = side.meter.read()
    pipe.send(_Told({**measured, **figures}, cast("Probe", side.meter).profile()))


class _Client(ClientSide):
    def _send(self, figures: Figures) -> None:
        _tell(self, self._pipe, figures)


class _Server(ServerSide):
    def _send(self, figures: Figures) -> None:
        _tell(self, self._pipe, figures)


def _on_core(pipe: Pipe, role: str, kind: str, case: Case, seconds: float) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0 if role == "ask" else -1]})
    order = (pipe, case, seconds, _NO_LIMIT, False)
    probe = Probe(kind)
    try:
        contestant = contestants.contestant(case.contestant)
        if role == "ask":
            client = _Client(*order)
            client.meter = probe
            contestant.ask(client)
        else:
            server = _Server(*order)
            server.meter = probe
            contestant.serve(server)
    except EOFError:
        pass  # the other side has given up
    except Exception as error:
        pipe.send(error)
    finally:
        probe.stop()
