"""The programs that asyncio's transports are measured with, as users would write them.

bulk.py      one or many connections move as much as they can
answers.py   the server of all others: what comes in whole goes back
echo.py      round trips, one after the other, also beside a transfer
requests.py  many connections ask at once
churn.py     open, exchange, close; and ten thousand held open
memory.py    what a connection and a TIME-WAIT record weigh, and a long transfer
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from benchmarks.programs import answers, bulk, churn, echo, memory, requests
from utcp.cli.loops import run

if TYPE_CHECKING:
    from benchmarks.contestants import AsyncioContestant
    from benchmarks.side import ClientSide, ServerSide

_Serving = Callable[["AsyncioContestant", "ServerSide"], Coroutine[Any, Any, None]]
_Asking = Callable[["AsyncioContestant", "ClientSide"], Coroutine[Any, Any, None]]

_SERVING: Final[dict[str, _Serving]] = {"bulk": bulk.serve, "memory": memory.serve}
_ASKING: Final[dict[str, _Asking]] = {
    "bulk": bulk.ask,
    "echo": echo.ask,
    "requests": requests.ask,
    "churn": churn.ask,
    "held": churn.hold,
    "memory": memory.ask,
}


def serve(contestant: AsyncioContestant, side: ServerSide) -> None:
    """Main function of the server's process."""
    program = _SERVING.get(side.task.question, answers.serve)
    run(side.case.way.loop, program(contestant, side))


def ask(contestant: AsyncioContestant, side: ClientSide) -> None:
    """Main function of the client's process."""
    run(side.case.way.loop, _ASKING[side.task.question](contestant, side))
