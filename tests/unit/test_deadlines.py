"""The heap of deadlines of an endpoint."""

from __future__ import annotations

import random

from tests.script.stage import opened
from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, timers
from utcp.core.deadlines import Deadlines
from utcp.testing import SECOND


def connections(count: int) -> list[Connection]:
    endpoint = Endpoint(Config(), bytes(16))
    return [endpoint.connect(0, number) for number in range(count)]


def set_deadline(deadlines: Deadlines, conn: Connection, at: int) -> None:
    conn.timers[timers.RTO] = at
    deadlines.schedule(conn)


def test_order() -> None:
    deadlines = Deadlines()
    conns = connections(50)
    random.Random(1).shuffle(conns)
    for at, conn in enumerate(conns):
        set_deadline(deadlines, conn, 1000 - at)
    assert deadlines.next() == 951
    assert deadlines.due(950) is None
    due = []
    while (conn_due := deadlines.due(2000)) is not None:
        due.append(conn_due)
    assert due == conns[::-1]
    assert deadlines.next() == NEVER


def test_an_earlier_deadline_replaces() -> None:
    deadlines = Deadlines()
    (conn,) = connections(1)
    set_deadline(deadlines, conn, 100)
    set_deadline(deadlines, conn, 50)
    assert deadlines.next() == 50
    assert deadlines.due(50) is conn
    assert deadlines.due(200) is None


def test_a_later_deadline_does_not() -> None:
    # The connection is called too early, and then says when it really wants to be called.
    deadlines = Deadlines()
    (conn,) = connections(1)
    set_deadline(deadlines, conn, 100)
    set_deadline(deadlines, conn, 200)
    assert deadlines.next() == 100
    assert deadlines.due(100) is conn
    deadlines.schedule(conn)
    assert deadlines.next() == 200


def test_what_has_moved_on_is_renewed_and_what_is_due_is_not() -> None:
    deadlines = Deadlines()
    moved, ended, early, due = connections(4)
    for conn in (moved, ended, early, due):
        set_deadline(deadlines, conn, 100)
    set_deadline(deadlines, early, 50)
    for conn, at in ((moved, 300), (early, 250), (ended, NEVER)):
        conn.timers[timers.RTO] = at
    deadlines.renew(99)
    assert deadlines.next() == 100
    deadlines.renew(100)
    assert deadlines.due(100) is due
    deadlines.renew(100)
    assert deadlines.next() == 250
    assert ended.heap_at == NEVER
    assert [deadlines.due(300), deadlines.due(300), deadlines.due(300)] == [early, moved, None]


def test_renewing_entries_that_were_overtaken_or_forgotten() -> None:
    deadlines = Deadlines()
    conns = connections(200)
    for conn in conns:
        set_deadline(deadlines, conn, 100)
        set_deadline(deadlines, conn, 50)
    for conn in conns[:100]:
        deadlines.forget(conn)
    for conn in conns[100:]:
        conn.timers[timers.RTO] = 500
    deadlines.renew(200)
    assert deadlines.next() == 500
    assert sum(deadlines.due(500) is not None for _ in range(300)) == 100
    assert deadlines.next() == NEVER


def test_no_deadline() -> None:
    deadlines = Deadlines()
    (conn,) = connections(1)
    deadlines.schedule(conn)
    assert deadlines.next() == NEVER


def test_forgotten() -> None:
    deadlines = Deadlines()
    first, second = connections(2)
    set_deadline(deadlines, first, 10)
    set_deadline(deadlines, second, 20)
    deadlines.forget(first)
    deadlines.forget(first)
    assert deadlines.next() == 20
    assert deadlines.due(100) is second
    assert deadlines.due(100) is None


def test_overtaken_entries_do_not_pile_up() -> None:
    # A keep-alive two hours away, overtaken again and again by short timers.
    deadlines = Deadlines()
    (conn,) = connections(1)
    for turn in range(10_000):
        conn.timers[timers.KEEPALIVE] = 10**15
        set_deadline(deadlines, conn, turn)
        assert deadlines.due(turn) is conn
        conn.timers[timers.RTO] = NEVER
        deadlines.schedule(conn)
    assert len(deadlines._heap) <= 66
    assert deadlines.next() == 10**15


def test_connections_that_are_gone_do_not_stay_in_memory() -> None:
    deadlines = Deadlines()
    conns = connections(1000)
    for conn in conns:
        set_deadline(deadlines, conn, 10**15)
    for conn in conns[:-1]:
        deadlines.forget(conn)
    assert len(deadlines._heap) <= 66
    assert deadlines.next() == 10**15


def test_a_deadline_that_has_moved_is_not_overdue() -> None:
    a, b = opened()
    a.conn.write(b"x")
    b.receives(a.sends(".", 1))
    first = a.endpoint.poll_timeout()  # of the probe for that byte
    a.clock.now += SECOND // 100
    b.conn.write(b"y")
    a.receives(b.sends(".", 1))
    a.conn.write(b"z")
    a.sends(".", 1)
    assert a.endpoint.poll_timeout() == first
    assert not a.endpoint.overdue(first)
    moved = a.endpoint.poll_timeout()
    assert moved > first
    assert not a.endpoint.overdue(moved - 1)
    assert a.endpoint.overdue(moved)
    assert a.endpoint.overdue(moved + SECOND)
    assert a.endpoint.poll_timeout() == moved


def test_the_end_of_time_wait_is_overdue() -> None:
    a, b = opened()
    a.conn.close()
    b.receives(a.sends("F."))
    b.conn.close()
    a.receives(b.sends("F."))
    a.sends(".")
    until = a.endpoint.poll_timeout()
    assert until < NEVER
    assert not a.endpoint.overdue(until - 1)
    assert a.endpoint.overdue(until)
