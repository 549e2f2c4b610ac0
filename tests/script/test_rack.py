"""RACK (RFC 8985 §6): which segments are lost is a matter of when they were sent."""

from __future__ import annotations

from tests.script.peers import client, plain
from utcp.testing import MS, SECOND, LinkConfig, Pair, Script, Sink, Source, covers, drop_nth, pair
from utcp.testing.rules import Drop, Rule, all_of, has_payload

SACK = plain(sack=True)
MSS = 1000


def opened(segments: int = 0) -> Script:
    """A connection with a round trip of 100 ms; so many segments are sent at 100 ms, one burst."""
    s = client(SACK, options="mss 1000,sackOK")
    if segments:
        s.write(segments * MSS)
        for n in range(segments):
            flags = "P." if n == segments - 1 else "."
            s.expect(f"{flags} {seg(n)} ack 1")
    return s


def seg(n: int) -> str:
    return f"{n * MSS + 1}:{(n + 1) * MSS + 1}({MSS})"


def sack(acked: int, *blocks: tuple[int, int]) -> str:
    """All segments below `acked` are acknowledged, and ranges of segments are SACKed."""
    text = " ".join(f"{a * MSS + 1}:{b * MSS + 1}" for a, b in blocks)
    return f". 1:1(0) ack {acked * MSS + 1} <nop,nop,sack {text}>"


def done(s: Script, segments: int) -> None:
    s.inject(f". 1:1(0) ack {segments * MSS + 1}")
    s.expect_nothing(for_ms=10_000)
    assert s.endpoint.counters.timeouts == 0


def test_three_sacked_segments_repair_at_once() -> None:
    with opened(5) as s:
        s.at(ms=200)
        s.inject(sack(0, (1, 2)))
        s.inject(sack(0, (1, 3)))
        s.expect_nothing()
        s.inject(sack(0, (1, 4)))
        s.expect(f". {seg(0)} ack 1", at_ms=200)
        done(s, 5)


def test_fewer_wait_a_quarter_of_the_round_trip() -> None:
    with opened(5) as s:
        s.at(ms=200)
        s.inject(sack(0, (1, 2)))
        # Sent at 100 ms; RACK.rtt is 100 ms, RACK.reo_wnd 25 ms.
        s.expect(f". {seg(0)} ack 1", at_ms=225)
        done(s, 5)


def test_what_comes_within_the_reordering_window_is_not_lost() -> None:
    with opened(5) as s:
        s.at(ms=200)
        s.inject(sack(0, (1, 3)))
        s.at(ms=224)
        s.inject(". 1:1(0) ack 3001")
        s.at(ms=230)
        done(s, 5)
        assert s.conn.info().total_retrans == 0


def test_once_reordering_is_known_even_many_sacks_wait() -> None:
    with opened(5) as s:
        s.at(ms=200)
        s.inject(sack(0, (1, 3)))
        s.inject(". 1:1(0) ack 5001")
        s.write(10 * MSS)
        assert len(s.take()) == 10
        s.at(ms=300)
        s.inject(sack(5, (6, 15)))
        s.expect_nothing()
        s.expect(f". {seg(5)} ack 1", at_ms=325)
        done(s, 15)


def test_the_reordering_timer_goes_by_the_oldest_burst() -> None:
    with opened() as s:
        for n, at in enumerate((100, 110, 120)):
            s.at(ms=at)
            s.write(MSS)
            s.expect(f"P. {seg(n)} ack 1", at_ms=at)
        s.at(ms=220)
        s.inject(sack(0, (2, 3)))
        # 100 + 100 + 25 ms. With that recovery begins, and so the second is lost, too: but PRR
        # lets one go for each that arrives.
        s.expect(f". {seg(0)} ack 1", at_ms=225)
        s.at(ms=325)
        s.inject(sack(1, (2, 3)))
        s.expect(f". {seg(1)} ack 1", at_ms=325)
        done(s, 3)


def test_a_lost_retransmission_is_found_by_what_was_sent_after_it() -> None:
    with opened(5) as s:
        s.at(ms=200)
        s.inject(sack(0, (1, 5)))
        s.expect(f". {seg(0)} ack 1", at_ms=200)
        s.at(ms=210)
        s.write(MSS)
        s.expect(f"P. {seg(5)} ack 1", at_ms=210)
        s.at(ms=310)
        s.inject(sack(0, (1, 6)))
        # In recovery, and no reordering seen: at once.
        s.expect(f". {seg(0)} ack 1", at_ms=310)
        done(s, 6)


def test_the_retransmission_of_the_head_shows_the_loss_of_the_tail() -> None:
    with opened(8) as s:
        s.at(ms=200)
        s.inject(sack(0, (1, 6)))
        s.expect(f". {seg(0)} ack 1", at_ms=200)
        s.at(ms=300)
        s.inject(". 1:1(0) ack 6001")
        s.expect(f". {seg(6)} ack 1", at_ms=300)
        s.expect(f"P. {seg(7)} ack 1", at_ms=300)
        done(s, 8)


def test_dsack_makes_patient() -> None:
    # RFC 8985 §6.2 step 4: a quarter of the least round trip more for a round with D-SACKs.
    with opened(5) as s:
        s.at(ms=200)
        s.inject(sack(0, (1, 2)))
        s.expect(f". {seg(0)} ack 1", at_ms=225)
        s.inject(". 1:1(0) ack 5001")
        s.at(ms=325)
        s.inject(sack(5, (0, 1)))
        s.write(3 * MSS)
        assert len(s.take()) == 3
        s.at(ms=425)
        s.inject(sack(5, (6, 7)))
        s.expect(f". {seg(5)} ack 1", at_ms=475)
        done(s, 8)


def test_a_peer_that_takes_back_its_sacks_gets_all_again() -> None:
    # RFC 2018 §8
    with opened(5) as s:
        s.at(ms=200)
        s.inject(sack(0, (1, 5)))
        s.expect(f". {seg(0)} ack 1", at_ms=200)
        s.inject(". 1:1(0) ack 1001")
        # 1 was SACKed and is not acknowledged now: after a time-out nothing is believed.
        s.expect(f". {seg(1)} ack 1", within_ms=400)
        assert s.endpoint.counters.timeouts == 1
        s.inject(". 1:1(0) ack 2001")
        s.expect(f". {seg(2)} ack 1")
        s.expect(f". {seg(3)} ack 1")
        s.inject(". 1:1(0) ack 5001")
        s.take()


# -- between two endpoints ------------------------------------------------------------------------

# 10 Mbit/s and 50 ms each way; the queue holds a bandwidth-delay product.
LINK = LinkConfig(rate_bps=10_000_000, delay_ns=50 * MS, queue_bytes=125_000)


def started(n: int, seed: int = 1, link: LinkConfig = LINK) -> tuple[Pair, Source, Sink]:
    world = pair(seed, link=link, back=LinkConfig(delay_ns=50 * MS))
    client_end, server_end = world.connect()
    source, sink = Source(client_end, n), Sink(server_end, n)
    world.a.run(source)
    world.b.run(sink)
    return world, source, sink


def finish(world: Pair) -> None:
    world.run_until(lambda: world.finished, 60 * SECOND)
    assert world.a.endpoint.counters.timeouts == 0


def test_half_of_a_window_lost_at_once_is_repaired_within_four_round_trips() -> None:
    world, _, sink = started(500_000)
    world.run_for(350 * MS)
    conn = world.a.connections[0]
    una = conn.snd.snd_una - conn.snd.iss
    flying = conn.snd.snd_nxt - conn.snd.snd_una
    assert flying > 40 * conn.snd.mss
    # Every second segment of the window that goes out from now on.
    start = conn.snd.snd_nxt - conn.snd.iss
    count = [0]

    def odd(packet: object) -> bool:
        count[0] += 1
        return count[0] % 2 == 0

    rule = Rule(all_of(has_payload, covers(start, start + flying), odd), Drop(), src="a")
    world.rules.append(rule)
    world.run_until(lambda: conn.snd.snd_nxt - conn.snd.iss > start + flying, SECOND)
    world.run_until(lambda: conn.snd.loss.state, SECOND)
    world.rules.remove(rule)
    began = world.now
    rtt = conn.snd.rtt.srtt_ns
    edge = conn.snd.snd_nxt
    world.run_until(lambda: conn.snd.snd_una >= edge, 10 * SECOND)
    assert una < start
    assert world.now - began <= 4 * max(rtt, 2 * 50 * MS)
    finish(world)
    assert sink.done


def test_a_retransmission_lost_as_well_costs_no_time_out() -> None:
    world, _, _ = started(300_000)
    # The first segment of the twentieth kilobyte, twice.
    world.rules.append(Rule(covers(20_000, 20_001), Drop(), src="a", limit=2))
    finish(world)
    assert world.a.connections[0].total_retrans == 2


def test_reordering_within_a_quarter_of_the_round_trip_costs_next_to_nothing() -> None:
    n = 3_000_000
    clean, _, _ = started(n)
    finish(clean)
    link = LinkConfig(
        rate_bps=10_000_000, delay_ns=50 * MS, queue_bytes=125_000, reorder=0.05,
        reorder_ns=25 * MS,
    )  # fmt: skip
    world, _, _ = started(n, link=link)
    finish(world)
    lost = world.network.links["a", "b"].stats.overflowed
    needless = world.a.connections[0].total_retrans - lost
    assert needless < 0.02 * n / 1448
    assert world.elapsed < clean.elapsed * 1.1


def test_the_last_segment_lost_is_repaired_by_the_probe() -> None:
    world, _, _ = started(20_000)
    world.rules.append(drop_nth(14, src="a", match=has_payload))
    finish(world)
    assert world.a.connections[0].total_retrans == 1
