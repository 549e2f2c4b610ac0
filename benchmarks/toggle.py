"""`python -m benchmarks.toggle`: what one constant of utcp is worth, on a machine never quiet.

Between two runs such a machine changes more than most changes do. Here both sides of one transfer,
or of one set of requests, set the constant to another value and back every tenth of a second, at
the same times, and each slice is compared with the two around it.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final

import utcp
from utcp.cli import loops
from utcp.cli.processes import helper_process

_HOST: Final = "127.0.0.1"
_TIMESTAMPS: Final = 12
_BLOCK: Final = bytes(64 << 10)
_MESSAGE: Final = bytes(1024)
_SETTLING: Final = 2  # slices left out at both ends
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Setting:
    """A constant, and what to set it to."""

    module: str
    name: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> Setting:
        """From `module.NAME=value`; ValueError if there is no such constant, or no such value."""
        path, found, value = text.partition("=")
        module, _, name = path.rpartition(".")
        try:
            if not found or not hasattr(importlib.import_module(module), name):
                raise ValueError("there is no such constant")
            return cls(module, name, ast.literal_eval(value))
        except (ImportError, SyntaxError) as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Order:
    """What the two sides do."""

    setting: Setting
    connections: int  # that ask for answers; 0: one that sends all the time
    segment: int
    loop: str
    seconds: float
    slice: float


@dataclass(frozen=True, slots=True)
class Slice:
    """What one side did between two changes."""

    number: int
    units: int  # bytes, or requests
    cpu: float
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether the constant had the other value."""
        return self.number % 2 == 1


@dataclass(slots=True)
class Side:
    """Counts what one side does, and changes the constant."""

    order: Order
    units: int = 0
    slices: list[Slice] = field(default_factory=list)

    async def run(self) -> None:
        """Go on until cancelled."""
        setting = self.order.setting
        module = importlib.import_module(setting.module)
        values = (getattr(module, setting.name), setting.value)
        length = self.order.slice
        number = -1
        units, cpu, began_at = 0, 0.0, 0.0
        while True:
            now = time.monotonic()
            if number >= 0:
                done = Slice(number, self.units - units, time.process_time() - cpu, now - began_at)
                self.slices.append(done)
            # The clock is the same in both processes.
            number = int(now / length)
            setattr(module, setting.name, values[number % 2])
            units, cpu, began_at = self.units, time.process_time(), now
            await asyncio.sleep((number + 1) * length - time.monotonic())


class _Server(asyncio.Protocol):
    def __init__(self, side: Side) -> None:
        self._side = side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._side.order.connections:
            self._side.units += 1
            self._transport.write(data)
        else:
            self._side.units += len(data)


class _Client(asyncio.Protocol):
    def __init__(self, side: Side) -> None:
        self._side = side
        self._got = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def begin(self) -> None:
        if self._side.order.connections:
            self._transport.write(_MESSAGE)
        else:
            self.resume_writing()

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if self._got == len(_MESSAGE):
            self._got = 0
            self._side.units += 1
            self._transport.write(_MESSAGE)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while not self._paused:
            self._transport.write(_BLOCK)
            self._side.units += len(_BLOCK)


def serve(pipe: Pipe, order: Order) -> None:
    """The side that is connected to, in a process of its own."""

    async def main() -> None:
        side = Side(order)
        server = await utcp.create_server(
            lambda: _Server(side), _HOST, 0, config=_config(order), backlog=1000
        )
        pipe.send(server.sockets[0].getsockname()[1])
        task = asyncio.create_task(side.run())
        await asyncio.to_thread(pipe.poll, None)  # until the other end has enough
        task.cancel()
        pipe.send(side.slices)
        server.close()
        server.abort_clients()

    _run(order, -1, main)


def ask(pipe: Pipe, order: Order, port: int) -> None:
    """The side that connects, in a process of its own."""

    async def main() -> None:
        side = Side(order)
        clients = [
            await utcp.create_connection(lambda: _Client(side), _HOST, port, config=_config(order))
            for _ in range(order.connections or 1)
        ]
        for _, client in clients:
            client.begin()
        task = asyncio.create_task(side.run())
        await asyncio.sleep(order.seconds)
        task.cancel()
        pipe.send(side.slices)
        for transport, _ in clients:
            transport.abort()

    _run(order, 0, main)


def _run(order: Order, core: int, main: Callable[[], Any]) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    loops.run(order.loop, main())


def _config(order: Order) -> utcp.Config:
    return utcp.Config(max_segment_size=order.segment + _TIMESTAMPS if order.segment else 0)


def compare(slices: list[Slice]) -> tuple[list[float], list[float]]:
    """Of each slice with the other value: its rate as a part of the mean of the slices around it,
    and the same of the CPU time for a unit. Slices in which nothing was done are left out."""
    known = {each.number: each for each in slices[_SETTLING:-_SETTLING] if each.units}
    rates, costs = [], []
    for number, one in known.items():
        before, after = known.get(number - 1), known.get(number + 1)
        if one.changed and before is not None and after is not None:
            around = (before.units / before.seconds + after.units / after.seconds) / 2
            rates.append(one.units / one.seconds / around)
            around = (before.cpu / before.units + after.cpu / after.units) / 2
            costs.append(one.cpu / one.units / around)
    return rates, costs


def measure(order: Order) -> dict[str, list[Slice]]:
    """What the sides did, by their names; TimeoutError if one does not answer."""
    with helper_process(serve, order) as server, helper_process(ask, order, _get(server)) as client:
        asked = _get(client, order.seconds)
        server.send("over")
        return {"client": asked, "server": _get(server)}


def _get(pipe: Pipe, seconds: float = 0) -> Any:
    if not pipe.poll(_PATIENCE + seconds):
        raise TimeoutError("one of the processes does not answer")
    return pipe.recv()


def main() -> int:
    """Returns the exit status: 2 for arguments that make no sense."""
    arguments = _parser().parse_args()
    try:
        setting = Setting.parse(arguments.setting)
    except ValueError as error:
        print(f"{arguments.setting}: {error}", file=sys.stderr)
        return 2
    order = Order(
        setting,
        arguments.connections,
        arguments.segment,
        arguments.loop,
        arguments.seconds,
        arguments.slice,
    )
    print(f"with {arguments.setting}, of what it is without:")
    for name, slices in measure(order).items():
        rates, costs = compare(slices)
        if len(rates) > 1:
            print(f"{name}: rate {_text(rates)}, CPU time {_text(costs)}, {len(rates)} slices")
    return 0


def _text(ratios: list[float]) -> str:
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    return f"{statistics.median(ratios):.3f} (mean {statistics.fmean(ratios):.3f} ± {error:.3f})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.toggle",
        description="What one constant of utcp is worth: it is changed and changed back all the"
        " time, on both sides of a transfer or of requests.",
    )
    parser.add_argument(
        "setting", metavar="MODULE.NAME=VALUE", help="as in utcp.aio.driver._BUDGET=4"
    )
    parser.add_argument(
        "--connections", type=int, default=0, help="that ask for 1 KiB each [0: bulk, by one]"
    )
    parser.add_argument(
        "--segment", type=int, default=0, help="payload of a segment [as large as it gets]"
    )
    parser.add_argument("--loop", choices=loops.LOOPS, default=loops.BEST)
    parser.add_argument("--seconds", type=float, default=10.0, help="to work [10]")
    parser.add_argument("--slice", type=float, default=0.1, help="seconds between changes [0.1]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
