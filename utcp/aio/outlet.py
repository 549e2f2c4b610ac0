"""What leaves one UDP socket, now or in the next turn of the event loop.

    flush       poll_transmit -> send, until there is nothing to send;  then the alarm
    written     what the application has caused outside of a wake-up

What protocols write while the driver runs leaves when they return: the driver sees to that. What
is written at other times leaves at once if it is the first since the driver last ran, else with
one flush in the next turn of the loop.
"""

from __future__ import annotations

import asyncio
from time import monotonic_ns

from utcp.aio.alarm import Alarm, Alarms
from utcp.core import Connection, Endpoint, Transmit
from utcp.udp import SENT, TOO_BIG, WOULD_BLOCK, UdpSocket

__all__ = ["Outlet", "report_errors"]


class Outlet:
    """Sends what an endpoint has to send. The `Driver` adds what comes in, and whose it is."""

    __slots__ = (
        "_alarm",
        "_flushed",
        "_loop",
        "_send",
        "_soon",
        "_stuck",
        "closed",
        "endpoint",
        "fd",
        "loose",
        "running",
        "sock",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, alarms: Alarms, sock: UdpSocket, endpoint: Endpoint
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.endpoint = endpoint
        self.running = False  # inside a wake-up, which will send what is written
        self.loose = False  # at the end of each wake-up, see whether it is time to go
        self.closed = False
        self._loop = loop
        self._flushed = False
        self._soon = False
        self._stuck: Transmit | None = None  # what the socket had no room for
        self._alarm = Alarm(alarms)
        self._send = sock.send

    def flush(self) -> None:
        """Send all that may be sent now, then set the timer."""
        self._transmit()
        self._set_alarm()

    def _set_alarm(self) -> None:
        deadline = self.endpoint.poll_timeout()
        if deadline < self._alarm.at:
            self._alarm.set(deadline, self._on_alarm)

    def _transmit(self) -> None:
        if self._stuck is None:
            send = self._send
            endpoint = self.endpoint
            while (out := endpoint.poll_transmit(monotonic_ns())) is not None:
                result = send(out.addr, out.payload, out.segment_size, out.tos)
                if result != SENT and not self._on_not_sent(out, result):
                    break
                if not endpoint.more_to_send:
                    break

    def _send_message(self, conn: Connection) -> bool:
        """Send what there is, which is probably one message of `conn`, or nothing yet. Returns
        whether that was all, and the alarm comes early enough for it."""
        if self._stuck is not None:
            conn.touch()
            return False
        data = self.endpoint.poll_message(monotonic_ns(), conn)
        if data is None:
            self._transmit()
            return False
        if data:
            size = len(data)
            send = self._send
            result = send(conn.addr, data, size, conn.data_tos)
            if result != SENT:
                self._on_not_sent(Transmit(conn.addr, data, size, conn.data_tos), result)
        return conn.heap_at >= self._alarm.at

    def _on_not_sent(self, out: Transmit, result: int) -> bool:
        """Deal with what was not sent. Returns whether to go on sending."""
        if result == WOULD_BLOCK:
            self._stuck = out
            self._loop.add_writer(self.fd, self._on_writable)
            return False
        if result == TOO_BIG:
            report_errors(self.sock, self.endpoint)
            self.soon()  # to whoever gave up for it
        elif self.sock.has_errors:
            # The send met an error that was pending from before; the loop may not wake us for it.
            self.soon()
        return True

    def _on_writable(self) -> None:
        out = self._stuck
        if out is None or self.closed:
            return
        try:
            result = self._send(out.addr, out.payload, out.segment_size, out.tos)
            if result == WOULD_BLOCK:
                return
            self._stuck = None
            self._loop.remove_writer(self.fd)
            if result != SENT:
                self._on_not_sent(out, result)
            self.flush()
        except OSError as exc:
            self._on_broken(exc)
        if self.loose:
            self._let_go()

    def written(self, conn: Connection) -> None:
        """Send what the application has just caused, on `conn` mostly: at once, or with the rest of
        this turn.

        The first write after a wake-up leaves at once. Those that follow wait for one flush in the
        next turn of the loop, so that a hundred small writes are not a hundred datagrams.
        """
        if self.running or self.closed:
            return
        if self._flushed:
            self.soon()
            return
        self._flushed = True
        try:
            if not self._send_message(conn):
                self._set_alarm()
        except OSError as exc:
            self._loop.call_soon(self._on_broken, exc)

    def _flush_now(self) -> None:
        """Flush in the middle of somebody's call, who is not the one to hear of a broken socket."""
        try:
            self.flush()
        except OSError as exc:
            self._loop.call_soon(self._on_broken, exc)

    def soon(self) -> None:
        """Deliver news and flush in the next turn of the loop."""
        if not self._soon and not self.closed:
            self._soon = True
            self._loop.call_soon(self._on_soon)

    def _on_soon(self) -> None:
        self._soon = False
        if not self.closed:
            self.wake_up()

    # -- for the driver to say ------------------------------------------------------------------

    def wake_up(self) -> None:
        """Deliver news, and flush."""
        raise NotImplementedError

    def _on_alarm(self, late_ns: int) -> None:
        raise NotImplementedError

    def _on_broken(self, exc: OSError) -> None:
        raise NotImplementedError

    def _let_go(self) -> None:
        raise NotImplementedError


def report_errors(sock: UdpSocket, endpoint: Endpoint) -> None:
    """Pass on what the network said of our datagrams, or this host."""
    now = monotonic_ns()
    for addr, hard, mtu, quoted in sock.errors():
        if mtu:
            endpoint.packet_too_big(now, addr, mtu, quoted)
        else:
            endpoint.unreachable(now, addr, hard, quoted)
