"""Path MTU discovery as a search: candidates, verdicts, black holes."""

from __future__ import annotations

import pytest

from utcp.core import pmtu
from utcp.core.pmtu import BASE, PathMtu
from utcp.core.timers import NEVER
from utcp.testing import SECOND

RAISE = 600 * SECOND
MSS = 1000


def path(mtu: int = 1500, most: int = 65_535, ipv6: bool = False) -> PathMtu:
    found = PathMtu(mtu, ipv6, RAISE)
    found.start(0, most)
    return found


def search(found: PathMtu, now: int, real: int) -> list[int]:
    """Probe until nothing is left to find out, on a path that takes `real` bytes."""
    tried = []
    while size := found.candidate(now):
        tried.append(size)
        found.sent(size, 0, size)
        if size <= real:
            assert found.arrived(now) == size
        else:
            found.lost(now)
        assert len(tried) < 60
    return tried


def black_hole(found: PathMtu, now: int, size: int, *, full: bool = True) -> int:
    """Time-outs of a segment of `size` until the PLPMTU is lower; how many it took."""
    for retries in range(1, 20):
        if found.on_timeout(now, retries, size, full):
            return retries
    return 0


@pytest.mark.parametrize(
    ("mtu", "most"), [(1500, 65_535), (9000, 9000), (1280, 1280), (1200, 1204)]
)
def test_nothing_to_search_at_the_beginning(mtu: int, most: int) -> None:
    found = path(mtu, most)
    assert found.candidate(10 * RAISE) == 0
    assert found.probe_at == NEVER


def test_a_path_that_was_smaller_than_ethernet_is_looked_at_again() -> None:
    found = path(1400)
    assert found.probe_at == RAISE
    assert found.candidate(RAISE - 1) == 0
    assert found.candidate(RAISE) == 1500
    # Unless the peer takes no more.
    assert path(1400, 1400).probe_at == NEVER


def test_a_black_hole_shows_by_the_second_time_out() -> None:
    found = path(9000)
    assert black_hole(found, 0, 9000) == 2
    assert found.low == BASE
    # RFC 8899 §5.2, Error Phase: the base does not get through either.
    assert black_hole(found, 0, BASE) == 2
    assert found.low == pmtu.LEAST_IPV4
    assert black_hole(found, 0, found.low) == 0


def test_one_that_is_not_full_needs_four() -> None:
    found = path(9000)
    assert black_hole(found, 0, 4052, full=False) == 4
    assert found.low == BASE
    assert black_hole(found, 0, 700, full=False) == 4
    assert found.low == pmtu.LEAST_IPV4


def test_small_segments_that_time_out_show_nothing() -> None:
    found = path(1500)
    assert not black_hole(found, 0, 0)
    assert not black_hole(found, 0, 552)
    assert found.low == 1500


def test_ipv6_ends_at_1280() -> None:
    found = path(1500, ipv6=True)
    assert black_hole(found, 0, 1500) == 2
    assert found.low == 1280
    assert black_hole(found, 0, 1280) == 0


def test_after_an_outage_one_probe_restores_what_was() -> None:
    found = path(9000)
    black_hole(found, 0, 9000)
    assert search(found, 0, 9000) == [9000]
    assert (found.low, found.probe_at) == (9000, NEVER)


@pytest.mark.parametrize("real", [1280, 1281, 1399, 1492, 1500, 4000, 8191, 8999])
def test_the_search_gets_within_eight_bytes(real: int) -> None:
    found = path(9000)
    black_hole(found, 0, 9000)
    tried = search(found, 5, real)
    assert real - 8 < found.low <= real
    assert len(tried) <= 3 * 12
    # RFC 8899 §5.1.2, MAX_PROBES: three of one size are lost before it is given up.
    assert tried[:3] == [9000] * 3
    # Ten minutes later it begins again from the top.
    assert found.probe_at == 5 + RAISE
    assert found.candidate(5 + RAISE) == 9000


def test_the_way_back_from_the_least_leads_over_the_base() -> None:
    found = path(1500)
    black_hole(found, 0, 1500)
    black_hole(found, 0, BASE)
    assert search(found, 0, 1500) == [BASE, 1500]


def test_verdicts() -> None:
    found = path(9000)
    black_hole(found, 0, 9000)
    found.sent(9000, 50_000, 58_000)
    assert found.candidate(0) == 0  # one at a time
    assert found.verdict(50_000, False, 0, MSS) == pmtu.UNKNOWN
    assert found.verdict(50_000, False, 2 * MSS, MSS) == pmtu.UNKNOWN
    assert found.verdict(50_000, False, 2 * MSS + 1, MSS) == pmtu.LOST
    assert found.verdict(49_000, False, 2 * MSS + 1, MSS) == pmtu.INCONCLUSIVE
    assert found.verdict(49_000, True, 8000, MSS) == pmtu.ARRIVED
    assert found.verdict(58_000, False, 0, MSS) == pmtu.ARRIVED
    found.forget_probe()
    assert found.candidate(0) == 9000


def test_packet_too_big() -> None:
    found = path(9000)
    assert found.packet_too_big(7, 9000) == (False, False)
    assert found.packet_too_big(7, 4000) == (True, False)
    assert (found.low, found.probe_at) == (4000, 7 + RAISE)
    assert found.packet_too_big(8, 4000) == (False, False)
    assert found.packet_too_big(8, 68) == (True, False)
    assert found.low == pmtu.LEAST_IPV4


def test_packet_too_big_for_a_probe_names_the_next_one() -> None:
    found = path(9000)
    black_hole(found, 0, 9000)
    found.sent(9000, 0, 9000)
    assert found.packet_too_big(0, 4321) == (False, True)
    assert search(found, 0, 4321) == [4321]
    # The kernel knows already that there is no more.
    found = path(9000)
    found.packet_too_big(0, 1500)
    assert found.candidate(RAISE) == 9000
    found.sent(9000, 0, 9000)
    assert found.packet_too_big(RAISE, 1500) == (False, True)
    assert found.candidate(RAISE) == 0
    assert found.probe_at == 2 * RAISE


def test_a_time_out_forgets_the_probe() -> None:
    found = path(9000)
    black_hole(found, 0, 9000)
    found.sent(9000, 0, 9000)
    assert not found.on_timeout(0, 1, BASE, True)
    assert found.candidate(0) == 9000
