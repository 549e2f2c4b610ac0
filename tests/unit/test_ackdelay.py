"""How long an ACK waits."""

from __future__ import annotations

import pytest

from utcp.core.ackdelay import NO_TORRENT, AckDelay
from utcp.testing import MS, SECOND, US

MOST = 40 * MS
RTO = 300 * MS
RTT = 100 * MS
START = 1000 * SECOND


class Talk:
    """A connection on which data arrives at times."""

    def __init__(self, quick: int = 16) -> None:
        self.acks = AckDelay(MOST, quick)
        self.now = START
        self.nxt = 1

    def arrives(self, after_ns: int = MS) -> int:
        self.now += after_ns
        self.nxt += 10
        return self.acks.arrived(self.now, self.nxt, RTO, RTT)

    def more(self, after_ns: int) -> int:
        self.now += after_ns
        self.nxt += 10
        until = self.acks.more(self.now, self.nxt)
        return until - self.now if until else 0

    def answers(self, after_ns: int) -> None:
        self.now += after_ns
        if self.acks.unanswered:
            self.acks.answered(self.now, self.nxt)


def used_up() -> Talk:
    """No quick ACK is left, and data comes every millisecond."""
    talk = Talk()
    for _ in range(16):
        assert talk.arrives() == 0
    return talk


def test_the_first_are_quick_then_a_stream_is_waited_for() -> None:
    talk = used_up()
    assert talk.arrives() == 4 * MS


def test_what_an_ack_may_have_caused_is_no_stream() -> None:
    talk = used_up()
    for _ in range(100):
        assert talk.arrives(RTT) == 0


def test_none_is_quick_and_nothing_adapts_if_so_configured() -> None:
    talk = Talk(quick=0)
    for _ in range(100):
        assert talk.arrives() == MOST
        talk.answers(10 * US)
    talk.acks.expired()
    talk.acks.disturbed()
    assert talk.arrives(10 * SECOND) == MOST


def test_quick_again_after_a_loss_and_after_silence() -> None:
    talk = used_up()
    talk.acks.disturbed()
    for _ in range(16):
        assert talk.arrives() == 0
    assert talk.arrives() > 0
    for _ in range(16):
        assert talk.arrives(RTO + 1) == 0
    assert talk.acks.quick == 15


def test_answers_are_waited_for_twice_as_long_as_they_take() -> None:
    talk = Talk()
    for _ in range(3):
        assert not talk.acks.interactive
        assert talk.arrives() == 0
        talk.answers(4 * MS)
    assert talk.acks.interactive
    assert talk.arrives() == 8 * MS
    talk.answers(2 * MS)
    assert talk.arrives() == 6 * MS
    talk.answers(35 * MS)
    assert talk.arrives() == 38 * MS
    talk.answers(39 * MS)
    assert talk.arrives() == MOST


def test_quick_answers_are_waited_for_4_ms() -> None:
    talk = Talk()
    for _ in range(3):
        talk.arrives()
        talk.answers(50 * US)
    assert talk.arrives() == 4 * MS


@pytest.mark.parametrize("late", [MOST, SECOND])
def test_late_answers_are_none(late: int) -> None:
    talk = Talk()
    for _ in range(10):
        talk.arrives()
        talk.answers(late)
    assert not talk.acks.interactive


def test_a_question_in_two_parts_needs_its_ack() -> None:
    talk = Talk()
    for _ in range(3):
        talk.arrives()
        talk.answers(MS)
    talk.arrives()
    talk.arrives()
    talk.answers(MS)
    assert not talk.acks.interactive


def test_a_second_arrival_that_is_answered_at_once_counts() -> None:
    talk = Talk()
    for _ in range(10):
        talk.arrives()
        talk.nxt += 10
        talk.answers(MS)
    assert not talk.acks.interactive


def test_a_stream_is_waited_for_until_it_pauses() -> None:
    talk = used_up()
    for _ in range(20):
        talk.arrives(3 * MS)
    assert 5_900_000 < talk.arrives(3 * MS) < 7 * MS
    for _ in range(5):
        assert 5_900_000 < talk.more(3 * MS) < 7 * MS
    # The same data again is no news.
    assert talk.acks.more(talk.now, talk.nxt) == 0
    # It gets slower, and the ACK waits longer; but 40 ms in all.
    assert 6 * MS < talk.more(5 * MS) <= 10 * MS
    waited = 20 * MS
    left = 0
    while waited < MOST - 8 * MS:
        waited += 5 * MS
        left = talk.more(5 * MS)
    assert left == MOST - waited
    # That was no waiting in vain.
    talk.acks.expired()
    assert talk.acks.quick == 0


def test_waiting_in_vain_makes_quick_and_ever_longer() -> None:
    talk = used_up()
    for quick in (16, 32, 64, 128, 256, 512, 1024, 1024):
        assert talk.arrives() > 0
        talk.acks.expired()
        for _ in range(quick):
            assert talk.arrives() == 0
    # A wait that was worth it forgives.
    assert talk.arrives() > 0
    talk.more(MS)
    talk.acks.expired()
    talk.arrives()
    talk.acks.expired()
    assert talk.acks.quick == 16


def pours(talk: Talk, waiting: int, after_ns: int = 50 * US, capacity: int = 2 << 20) -> int:
    talk.now += after_ns
    talk.nxt += 64 << 10
    return talk.acks.torrent(talk.now, talk.nxt, waiting, capacity)


def poured_out() -> Talk:
    """No quick ACK is left, and the last burst came just now."""
    talk = Talk()
    for _ in range(17):
        pours(talk, 64 << 10)
    return talk


def test_a_torrent_is_acknowledged_by_192_kib_once_nothing_is_quick() -> None:
    talk = Talk()
    assert pours(talk, 64 << 10) == NO_TORRENT  # there was nothing before the first
    for _ in range(16):
        assert pours(talk, 64 << 10) == 0
    for _ in range(100):
        assert pours(talk, 64 << 10) == MS
        assert pours(talk, (192 << 10) - 1) == MS
        assert pours(talk, 192 << 10) == 0


def test_a_torrent_does_not_take_the_window() -> None:
    talk = poured_out()
    assert pours(talk, 100_000, capacity=800_000) > 0
    assert pours(talk, 100_000, capacity=799_999) == NO_TORRENT


def test_what_comes_less_often_is_no_torrent() -> None:
    talk = poured_out()
    assert pours(talk, 64 << 10, MS // 4) > 0
    assert pours(talk, 64 << 10, MS // 4 + 1) == NO_TORRENT
    assert pours(talk, 64 << 10) > 0


def test_a_torrent_that_stops_for_its_ack_is_given_quick_ones() -> None:
    talk = poured_out()

    def stops() -> int:
        """Returns how many ACKs are quick after it."""
        assert pours(talk, 64 << 10) > 0
        talk.acks.expired()
        quick = 0
        while pours(talk, 64 << 10) == 0:
            quick += 1
        return quick

    assert [stops() for _ in range(4)] == [16, 32, 64, 128]
    # A wait that was worth it forgives a little.
    for _ in range(10):
        assert pours(talk, 192 << 10) == 0
    assert 120 < stops() < 150
    for _ in range(100):
        assert pours(talk, 192 << 10) == 0
    assert stops() == 16


def test_a_torrent_begins_with_quick_acks_after_silence() -> None:
    talk = poured_out()
    assert pours(talk, 64 << 10, SECOND) == NO_TORRENT
    assert [pours(talk, 64 << 10) for _ in range(17)] == [0] * 16 + [MS]


def test_no_torrent_if_nothing_adapts() -> None:
    talk = Talk(quick=0)
    for _ in range(100):
        assert pours(talk, 64 << 10) == NO_TORRENT


def test_what_is_no_torrent_leaves_no_trace() -> None:
    # A large segment by itself is asked about twice: it is no stream for that.
    talk = used_up()
    for _ in range(20):
        assert pours(talk, 64 << 10, RTT) == NO_TORRENT
        assert talk.arrives(0) == 0


def test_no_ack_waits_longer_than_asked_for() -> None:
    talk = Talk()
    talk.acks.most_ns = MS // 2
    for _ in range(17):
        pours(talk, 64 << 10)
    assert pours(talk, 64 << 10) == MS // 2
