"""What a server can be made to keep is limited, and what is beyond is refused clearly."""

from __future__ import annotations

import random
from collections.abc import Hashable

import pytest

from tests.attack.crowd import Net, addresses, client, server
from utcp.config import Config
from utcp.core import NEVER, Connection, Endpoint, Reason, events
from utcp.testing import SECOND
from utcp.testing.segment_view import RST

Addr = tuple[str, int]


def host(addr: Hashable) -> Hashable:
    """Of addresses such as "A1" the letter."""
    return str(addr)[0]


def clients(net: Net, *names: str) -> list[Connection]:
    """Connections from these addresses to "B", as far as they come to be."""
    out = []
    for name in names:
        endpoint = net.ends[name] = client(key=name.encode().ljust(16))
        out.append(endpoint.connect(net.now, "B"))
        net.carry()
    return out


def states(conns: list[Connection]) -> list[str]:
    return [str(conn.state) for conn in conns]


def counts(endpoint: Endpoint) -> tuple[int, int, int]:
    """What is counted: established passive connections, their hosts, orphans."""
    admission = endpoint._agenda.admission
    return admission._total, len(admission._hosts), len(admission.orphans)


def pressed(endpoint: Endpoint) -> bool:
    return endpoint._memory.pressed


# -- connections in total ----------------------------------------------------------------------


@pytest.mark.parametrize("syn_cookies", ["never", "always"])
def test_connections_in_total(syn_cookies: str) -> None:
    b = server(Config(max_connections=3, syn_cookies=syn_cookies))
    net = Net(B=b)
    conns = clients(net, "A1", "A2", "A3", "A4")
    # Silence, as from Linux: there may be room when the client tries again.
    assert states(conns) == ["ESTABLISHED"] * 3 + ["SYN-SENT"]
    assert b.counters.over_connections == 1
    assert b.counters.resets_out == 0
    conns[0].abort()
    net.wait(2 * SECOND)
    assert states(conns) == ["CLOSED"] + ["ESTABLISHED"] * 3


def test_handshakes_are_not_counted_until_they_are_complete() -> None:
    b = server(Config(max_connections=2), backlog=100)
    net = Net(B=b)
    for addr in addresses(50):
        net.forged(b, addr)
    assert states(clients(net, "A1", "A2")) == ["ESTABLISHED"] * 2
    assert b.counters.over_connections == 0


@pytest.mark.parametrize("syn_cookies", ["never", "always"])
def test_a_handshake_that_is_one_too_many_is_reset(syn_cookies: str) -> None:
    # All of them began when there was room. These clients take themselves for connected.
    b = server(Config(max_connections=3, syn_cookies=syn_cookies))
    net = Net(B=b)
    net.lose = lambda who, segment: who != "B" and not segment.syn
    conns = clients(net, "A1", "A2", "A3", "A4", "A5")
    assert states(conns) == ["ESTABLISHED"] * 5
    net.lose = lambda _who, _segment: False
    for conn in conns:
        conn.write(b"hello")
    net.carry()
    assert states(conns) == ["ESTABLISHED"] * 3 + ["CLOSED"] * 2
    assert {conn.reason for conn in conns[3:]} == {Reason.RESET}
    assert b.counters.over_connections == 2
    assert len(net.accepted(b)) == 3
    assert len(b.connections()) == 3


def test_what_we_open_ourselves_is_not_counted() -> None:
    b = server(Config(max_connections=1))
    net = Net(B=b, C=server())
    ours = b.connect(net.now, "C")
    assert states(clients(net, "A1")) == ["ESTABLISHED"]
    assert str(ours.state) == "ESTABLISHED"


# -- connections from one host -----------------------------------------------------------------


@pytest.mark.parametrize("syn_cookies", ["never", "always"])
def test_connections_from_one_host(syn_cookies: str) -> None:
    b = server(Config(max_connections_per_host=2, syn_cookies=syn_cookies), host_of=host)
    net = Net(B=b)
    conns = clients(net, "A1", "A2", "A3", "C1")
    assert states(conns) == ["ESTABLISHED", "ESTABLISHED", "CLOSED", "ESTABLISHED"]
    assert conns[2].reason is Reason.REFUSED
    assert b.counters.over_connections_per_host == 1
    assert b.counters.resets_out == 1
    conns[0].abort()
    net.carry()
    assert states(clients(net, "A4")) == ["ESTABLISHED"]


def test_nobody_can_use_up_the_share_of_another_host() -> None:
    b = server(Config(max_connections_per_host=2), host_of=host, backlog=100)
    net = Net(B=b)
    for number in range(50):
        net.forged(b, f"A{number + 100}")
    assert states(clients(net, "A1", "A2")) == ["ESTABLISHED"] * 2


def test_by_default_every_address_is_its_own_host() -> None:
    net = Net(B=server(Config(max_connections_per_host=1)))
    assert states(clients(net, "A1", "A2")) == ["ESTABLISHED"] * 2


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_zero_when_all_is_over(seed: int) -> None:
    rng = random.Random(seed)
    config = Config(
        max_connections=30, max_connections_per_host=6, max_orphans=8, syn_cookies="auto"
    )
    b = server(config, host_of=host, backlog=6)
    net = Net(B=b)
    net.lose = lambda _who, _segment: rng.random() < 0.1
    for number in range(200):
        clients(net, f"{rng.choice('ACDEFGH')}{number}")
        for conn in list(net.told):
            match rng.randrange(12):
                case 0:
                    conn.close()
                case 1:
                    conn.abort()
                case 2 if not conn.orphan and str(conn.state) == "ESTABLISHED":
                    conn.write(b"x" * 3000)
                case 3:
                    conn.read()
                case 4:
                    conn.write_eof()
                case _:
                    pass
        net.wait(SECOND // 2, SECOND // 10)
        total, hosts, orphans = counts(b)
        passive = [c for c in b.connections() if c.passive and not c.silent]
        assert total == len(passive) <= 30
        assert hosts == len({host(conn.addr) for conn in passive})
        assert orphans == sum(conn.orphan for conn in b.connections()) <= 8
    for _ in range(60):
        for conn in list(net.told):
            conn.close()
        net.wait(15 * SECOND, SECOND)
    assert counts(b) == (0, 0, 0)
    assert b.idle
    assert b._memory.used == 0
    assert not b._memory._held


# -- orphans -----------------------------------------------------------------------------------


def orphans(net: Net, b: Endpoint, count: int) -> list[Connection]:
    """So many connections that the server's application closes while the peers say nothing."""
    conns = clients(net, *(f"A{number}" for number in range(count)))
    net.lose = lambda who, _segment: who != "B"
    for conn in net.accepted(b):
        conn.write(b"bye")
        conn.close()
    net.carry()
    return conns


def test_an_orphan_too_many_is_reset() -> None:
    b = server(Config(max_orphans=3))
    net = Net(B=b)
    conns = orphans(net, b, 5)
    assert b.counters.over_orphans == 2
    assert len(b.connections()) == 3
    assert states(conns) == ["CLOSE-WAIT"] * 3 + ["CLOSED"] * 2
    assert {conn.reason for conn in conns[3:]} == {Reason.RESET}
    reasons = [conn.reason for conn in net.told if conn.passive]
    assert reasons == [Reason.NONE] * 3 + [Reason.NO_ROOM] * 2


def test_orphans_of_peers_that_are_gone_go_by_timer() -> None:
    # RFC 9293 §3.8.3: R2, which is smaller for orphans (`Config.orphan_retries`).
    b = server(backlog=100)
    net = Net(B=b)
    orphans(net, b, 20)
    assert counts(b) == (20, 20, 20)
    net.wait(130 * SECOND, SECOND)
    assert counts(b) == (0, 0, 0)
    assert b.idle


def test_orphans_whose_peers_never_close_go_by_timer() -> None:
    b = server()
    net = Net(B=b)
    conns = orphans(net, b, 20)
    net.lose = lambda _who, _segment: False
    net.wait(5 * SECOND)
    assert {str(conn.state) for conn in b.connections()} == {"FIN-WAIT-2"}
    net.wait(61 * SECOND, SECOND)
    assert counts(b) == (0, 0, 0)
    assert states(conns) == ["CLOSE-WAIT"] * 20


# -- TIME-WAIT ---------------------------------------------------------------------------------


def test_time_wait_records_are_limited_and_the_oldest_goes() -> None:
    b = server(Config(max_time_wait=3))
    net = Net(B=b)
    conns = clients(net, *(f"A{number}" for number in range(5)))
    for conn in net.accepted(b):
        conn.close()
        net.carry()
        net.now += SECOND
    for conn in conns:
        conn.close()
        net.carry()
        net.now += SECOND
    assert b.time_wait_count == 3
    assert b.counters.over_time_wait == 2
    assert [str(b.state(f"A{n}")) for n in range(5)] == ["CLOSED"] * 2 + ["TIME-WAIT"] * 3


# -- bytes -------------------------------------------------------------------------------------

LIMIT = 1 << 20
BULK = bytes(range(256)) * 1024


def test_received_bytes_that_nobody_reads() -> None:
    b = server(Config(max_buffered=LIMIT), backlog=100)
    net = Net(B=b)
    conns = clients(net, *(f"A{number}" for number in range(30)))
    for conn in conns:
        conn.write(BULK)
    promised = 0
    for _ in range(50):
        net.wait(SECOND // 10)
        if pressed(b) and not promised:
            promised = sum(conn.info().rcv_wnd + conn.readable for conn in b.connections())
    assert promised > LIMIT
    held = sum(conn.readable for conn in b.connections())
    # What was promised is taken, and nothing beyond.
    assert LIMIT < held <= promised
    assert b._memory.used == held
    edges = [conn.rcv.rcv_adv for conn in b.connections()]

    # Nobody new comes in.
    late = clients(net, "Z")
    assert states(late) == ["SYN-SENT"]
    assert b.counters.over_buffered == 1
    net.wait(30 * SECOND)
    assert [conn.rcv.rcv_adv for conn in b.connections()] == edges
    assert b.counters.over_buffered > 1

    # Whatever was acknowledged is there, and the rest comes when there is room.
    got = dict.fromkeys(b.connections(), b"")
    for _ in range(600):
        for conn in got:
            got[conn] += conn.read()
        net.wait(SECOND // 10)
        if all(len(data) == len(BULK) for data in got.values()):
            break
    assert set(got.values()) == {BULK}
    assert not pressed(b)
    assert b.poll_timeout() > net.now + SECOND or b.poll_timeout() == NEVER
    net.wait(30 * SECOND)
    assert states(late) == ["ESTABLISHED"]


def test_under_pressure_who_reads_goes_on_slowly() -> None:
    b = server(Config(max_buffered=LIMIT), backlog=100)
    net = Net(B=b)
    conns = clients(net, *(f"A{number}" for number in range(30)))
    for conn in conns[1:]:
        conn.write(BULK)
    net.wait(3 * SECOND)
    assert pressed(b)
    reader = net.accepted(b)[0]
    got = b""
    conns[0].write(BULK * 2)
    for _ in range(1000):
        net.wait(SECOND // 10)
        got += reader.read()
    assert got == BULK * 2
    assert pressed(b)
    # It may have what it was promised at first, after that four segments at a time.
    assert reader.rcv.rcv_adv - reader.rcv.rcv_nxt <= 5 * 1448


def test_sent_bytes_that_nobody_acknowledges() -> None:
    b = server(Config(max_buffered=LIMIT), backlog=100)
    net = Net(B=b)
    clients(net, *(f"A{number}" for number in range(30)))
    net.lose = lambda who, _segment: who != "B"
    writers = net.accepted(b)
    for conn in writers:
        assert conn.sndbuf >= 256 << 10
        conn.write(BULK)
    net.wait(3 * SECOND)
    assert pressed(b)
    # Every application that writes is stopped at once.
    assert {conn.sndbuf for conn in writers} == {0}
    net.lose = lambda _who, _segment: False
    for conn in writers:
        conn.watch_writable(0)
    for _ in range(300):
        net.wait(SECOND)
        for endpoint in net.ends.values():
            for conn in endpoint.connections():
                conn.read()
    assert not pressed(b)
    assert min(conn.sndbuf for conn in writers) >= 256 << 10
    assert all(net.told[conn] & events.WRITABLE for conn in writers)


def test_when_the_pressure_ends_everybody_is_told_at_once() -> None:
    b = server(Config(max_buffered=LIMIT), backlog=100)
    net = Net(B=b)
    conns = clients(net, "A1", "A2")
    reader, writer = net.accepted(b)
    net.lose = lambda who, _segment: who == "A2"
    conns[0].write(b"hello")
    writer.write(BULK * 5)
    net.wait(SECOND)
    assert pressed(b)
    # Squeezed, too, though it holds little: what it reads opens a window of four segments.
    b._memory.squeeze(reader)
    reader.rcv.rcv_adv = reader.rcv.rcv_nxt
    assert reader.read() == b"hello"
    net.carry()
    assert reader.info().rcv_wnd < 10_000
    writer.write(b"x")
    writer.watch_writable(5 * len(BULK))
    reader_edge = conns[0].snd.snd_wnd
    b._memory._limit *= 4  # as if others had gone
    net.wait(SECOND // 5)
    assert not pressed(b)
    assert net.told[writer] & events.WRITABLE
    assert conns[0].snd.snd_wnd > 10 * reader_edge


def test_nothing_is_kept_of_a_connection_that_ends_under_pressure() -> None:
    b = server(Config(max_buffered=LIMIT), backlog=100)
    net = Net(B=b)
    clients(net, "A1", "A2")
    net.lose = lambda who, _segment: who != "B"
    for conn in net.accepted(b):
        conn.write(BULK * 5)
    net.wait(SECOND)
    assert len(b._memory._squeezed) == 2
    net.accepted(b)[0].abort()
    net.carry()
    assert pressed(b)
    assert len(b._memory._squeezed) == 1


def test_bytes_held_out_of_order_count() -> None:
    b = server(Config(max_buffered=LIMIT), backlog=100)
    net = Net(B=b)
    conns = clients(net, *(f"A{number}" for number in range(60)))
    firsts = {(conn.addr, conn.snd.iss + 1 & 0xFFFF_FFFF) for conn in conns}
    net.lose = lambda _who, segment: ("B", segment.seq32) in firsts
    for conn in conns:
        conn.write(BULK)
    net.wait(20 * SECOND)
    assert sum(conn.rcv.buffer.size for conn in b.connections()) == 0
    held = sum(conn.rcv.reassembly.nbytes for conn in b.connections())
    assert b._memory.used <= held
    assert pressed(b) == (held > LIMIT)
    assert pressed(b)


def test_counting_costs_nothing_where_little_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    b = server()
    net = Net(B=b)
    conns = clients(net, "A1", "A2")
    for conn in conns:
        conn.write(BULK)
    looks: list[int] = []
    monkeypatch.setattr(type(b._memory), "look", lambda _memory, now: looks.append(now))
    net.wait(10 * SECOND)
    assert looks == []


def test_a_connection_that_is_over_is_not_counted() -> None:
    # What it has received can still be read, but that is its application's business now.
    b = server()
    net = Net(B=b)
    (conn,) = clients(net, "A1")
    conn.write(b"hello")
    net.carry()
    (accepted,) = net.accepted(b)
    assert b._memory.used == 5
    conn.abort()
    net.carry()
    accepted.watch_writable(0)
    assert b._memory.used == 0
    assert not b._memory._held
    assert accepted.read() == b"hello"


# -- what 0 means, and what the defaults are ---------------------------------------------------


def test_zero_is_no_limit() -> None:
    config = Config(
        max_connections=0,
        max_connections_per_host=0,
        max_orphans=0,
        max_time_wait=0,
        max_buffered=0,
    )
    b = server(config, host_of=host)
    net = Net(B=b)
    conns = clients(net, *(f"A{number}" for number in range(10)))
    for conn in net.accepted(b):
        conn.write(BULK)
        conn.close()
    net.wait(SECOND)
    assert b._memory.used == 0
    for conn in conns:
        conn.read()
    net.wait(SECOND)
    for conn in conns:
        conn.read()
        conn.close()
    net.wait(SECOND)
    assert b.time_wait_count == 10


def test_an_old_rst_changes_no_count() -> None:
    b = server()
    net = Net(B=b)
    clients(net, "A1")
    for _ in range(3):
        assert net.forged(b, "A2", bytes([0x50, RST]) + bytes(10)) == []
    assert counts(b) == (1, 1, 0)
