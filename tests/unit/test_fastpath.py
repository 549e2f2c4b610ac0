"""Header prediction is a short cut, and so are those for messages and bulk; none is another
protocol: whatever arrives and is written, a connection that takes them and one whose every segment
goes through `arrival` and `output` end up the same."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sides import MSS, Side, segment
from utcp.core import NEVER, Connection, State
from utcp.core.segment import ACK, CWR, ECE, FIN, PSH, RST, TIMESTAMPS_WORD
from utcp.core.timers import DELAYED_ACK, PTO
from utcp.testing import MS, SECOND


@dataclass(frozen=True)
class Step:
    """One thing to do. `skew` of a segment shifts its sequence number from where it would be in
    order; `behind` is how far its acknowledgment lies below SND.NXT, -2: it is SND.UNA."""

    segments: list[tuple[int, int, int, int, int, int, int]]
    ecn: int
    wait_ms: int
    write: int
    answer: int
    read: int
    close: bool
    option: str


RARE_FLAGS = [ACK | FIN, ACK | ECE, ACK | CWR, ACK | PSH | ECE, 0, PSH, RST]
FLAGS = st.sampled_from([ACK] * 12 + [ACK | PSH] * 6 + RARE_FLAGS)
SEGMENTS = st.tuples(
    FLAGS,
    st.sampled_from([0] * 20 + [-MSS, -1, 1, MSS, 5 * MSS, 4000]),  # skew
    st.sampled_from([MSS] * 12 + [0, 0, 1, 50]),  # size
    st.sampled_from([0] * 6 + [-2] * 4 + [1, MSS, 2 * MSS, 5 * MSS, 100_000, -1]),  # behind
    st.sampled_from([1000] * 10 + [0, 1, 999, 65_535]),  # window
    st.sampled_from([0] * 10 + [1, 5, -3]),  # newer timestamp
    st.sampled_from([0] * 15 + [1, 2, 3]),  # shape
)
STEPS = st.builds(
    Step,
    segments=st.lists(SEGMENTS, min_size=1, max_size=8),
    ecn=st.sampled_from([0, 2, 2, 2, 3]),
    wait_ms=st.sampled_from([0, 0, 1, 10, 40, 250, 3000]),
    write=st.sampled_from([0, 0, 0, 1, 50, 99, 100, 101, 200, 1000, 5000]),
    answer=st.sampled_from([0, 0, 1, 50, 100, 101, 300]),
    read=st.sampled_from([0, -1, -1, -1, 30, 1000]),
    close=st.integers(0, 40).map(lambda n: n == 0),
    option=st.sampled_from([""] * 12 + ["cork", "uncork", "nagle", "impatient", "watch", "probe"]),
)
# A message, and its answer.
MESSAGES = st.builds(
    Step,
    segments=st.tuples(
        st.sampled_from([ACK, ACK | PSH]),
        st.just(0),
        st.sampled_from([50, 50, 99, MSS]),
        st.just(0),
        st.sampled_from([1000] * 5 + [0, 999]),
        st.sampled_from([0, 0, 1, 5]),
        st.just(0),
    ).map(lambda segment: [segment]),
    ecn=st.sampled_from([0, 2]),
    wait_ms=st.sampled_from([0, 0, 0, 1, 40]),
    write=st.sampled_from([0] * 5 + [50]),  # the answer to the one before
    answer=st.sampled_from([50] * 5 + [99, 100, 101, 0, 0]),
    read=st.sampled_from([-1] * 5 + [0, 30]),
    close=st.just(False),
    option=st.just(""),
)
# What ends a connection, in whatever order.
FAREWELLS = st.builds(
    Step,
    segments=st.lists(
        st.tuples(
            st.sampled_from([ACK, ACK, ACK | FIN, ACK | FIN, ACK | FIN | PSH, ACK | FIN | ECE]),
            st.sampled_from([0] * 6 + [-1, 1, MSS]),
            st.sampled_from([0] * 12 + [1, 50]),
            st.sampled_from([0] * 6 + [-2, -2, 1, 2]),
            st.sampled_from([1000] * 4 + [0, 999]),
            st.sampled_from([0, 0, 1, 5, -3, -3]),
            st.sampled_from([0] * 12 + [1, 2, 3]),
        ),
        min_size=1,
        max_size=2,
    ),
    ecn=st.sampled_from([0, 0, 2, 3]),
    wait_ms=st.sampled_from([0, 0, 0, 1, 40, 3000]),
    write=st.sampled_from([0, 0, 1, 50, 300, 3000]),
    answer=st.sampled_from([0, 0, 50, 300, 3000]),
    read=st.sampled_from([-1] * 6 + [0, 30]),
    close=st.booleans(),
    option=st.sampled_from([""] * 12 + ["cork", "impatient", "watch", "probe"]),
)


def buffers_of(side: Side, step: Step, ts_val: int) -> list[tuple[bytes, int]]:
    """The segments of a step as buffers, equally long ones together, as UDP_GRO would."""
    conn = side.conn
    seq = conn.rcv.rcv_nxt - conn.rcv.irs
    sent = conn.snd.snd_nxt - conn.snd.iss
    buffers: list[tuple[bytes, int]] = []
    for flags, skew, size, behind, window, newer, shape in step.segments:
        ts_val += newer
        at = max(seq + skew, 0)
        ack = max(sent - behind, 0) if behind >= -1 else conn.snd.snd_una - conn.snd.iss
        data = segment(
            conn.snd.iss, flags, at, ack, size, window=window, ts_val=ts_val, shape=shape
        )
        if not skew:
            seq += size
        if buffers:
            last, stride = buffers[-1]
            if len(last) % stride == 0 and len(data) <= stride:
                buffers[-1] = last + data, stride
                continue
        buffers.append((data, len(data)))
    return buffers


def choose(conn: Connection, option: str) -> None:
    """Let the application set an option."""
    if option in {"cork", "uncork"}:
        conn.cork = option == "cork"
    elif option == "nagle":
        conn.nodelay = False
    elif option == "impatient":
        conn.unfold()
        conn.user_timeout_ns = SECOND
    elif option == "watch":
        conn.watch_writable(50)
    elif option == "probe":
        conn.keepalive = True


@settings(max_examples=300)
@given(
    steps=st.lists(STEPS, min_size=1, max_size=12)
    | st.lists(MESSAGES | MESSAGES | MESSAGES | STEPS, min_size=6, max_size=16),
    ecn=st.booleans(),
    sack=st.booleans(),
    pacing=st.sampled_from([False, False, True]),
    keepalive=st.booleans(),
    messages=st.booleans(),
    reads_at_once=st.booleans(),
    every=st.sampled_from([1, 3, 100]),
)
def test_the_same_as_step_by_step(
    steps: list[Step],
    ecn: bool,
    sack: bool,
    pacing: bool,
    keepalive: bool,
    messages: bool,
    reads_at_once: bool,
    every: int,
) -> None:
    fast, slow = (
        Side(
            predicting,
            ecn=ecn,
            sack=sack,
            pacing=pacing,
            keepalive=keepalive,
            messages=messages and predicting,
            reads_at_once=reads_at_once,
        )
        for predicting in (True, False)
    )
    compare(fast, slow, steps, every)


@settings(max_examples=500)
@given(
    steps=st.lists(MESSAGES | STEPS, max_size=2),
    farewells=st.lists(FAREWELLS, min_size=1, max_size=4),
    ecn=st.booleans(),
    sack=st.booleans(),
)
def test_the_end_is_the_same_as_step_by_step(
    steps: list[Step], farewells: list[Step], ecn: bool, sack: bool
) -> None:
    fast = Side(True, ecn=ecn, sack=sack)
    slow = Side(False, ecn=ecn, sack=sack)
    compare(fast, slow, steps + farewells)


def compare(fast: Side, slow: Side, steps: list[Step], every: int = 1) -> None:
    """Take both through the steps, and look at them now and then, and in the end. To look at a
    folded connection unfolds it."""
    ts_val = 10
    for count, step in enumerate(steps, 1):
        for side in (fast, slow):
            choose(side.conn, step.option)
            side.write(step.write)
            side.turn()
        buffers = buffers_of(fast, step, ts_val)
        ts_val += sum(max(newer, 0) for *_, newer, _ in step.segments)
        for side in (fast, slow):
            side.now += step.wait_ms * MS
            side.endpoint.handle_timeout(side.now)
            side.turn()
            for data, stride in buffers:
                side.arrive(data, stride, step.ecn)
        if count % every == 0:
            assert fast.picture() == slow.picture()
        for side in (fast, slow):
            side.write(step.answer)
            side.turn()
            if step.read:
                side.read.append(side.conn.read(step.read))
            if step.close:
                side.conn.close()
            side.turn()
        if count % every == 0:
            assert fast.picture() == slow.picture()
    assert fast.picture() == slow.picture()


def test_a_window_that_is_nearly_full() -> None:
    for side in (Side(True, ecn=False, sack=False), Side(False, ecn=False, sack=False)):
        iss = side.conn.snd.iss
        for first in (0, 25):
            data = b"".join(segment(iss, ACK, 1 + (first + i) * MSS, 1, MSS) for i in range(25))
            side.arrive(data, MSS + 24, 0)
        assert side.conn.readable == 4096


def test_text_does_not_run_over_a_fin_that_came_early() -> None:
    for side in (Side(True, ecn=False, sack=False), Side(False, ecn=False, sack=False)):
        iss = side.conn.snd.iss
        data = segment(iss, ACK | FIN, 151, 1, 0)
        side.arrive(data, len(data), 0)
        for first in (1, 101):
            data = segment(iss, ACK, first, 1, MSS)
            side.arrive(data, len(data), 0)
        assert side.conn.readable == 150
        assert side.conn.state is State.CLOSE_WAIT


def test_no_window_is_fitted_to_the_path_behind_a_fin() -> None:
    for side in (Side(True, ecn=False, sack=False), Side(False, ecn=False, sack=False)):
        assert side.conn.rcv.tuner.due_at != NEVER
        data = segment(side.conn.snd.iss, ACK | FIN, 1, 1, 0)
        side.arrive(data, len(data), 0)
        assert side.conn.state is State.CLOSE_WAIT
        assert side.conn.rcv.tuner.due_at == NEVER


def test_trains_are_taken_as_one() -> None:
    side = Side(True, ecn=False, sack=False)
    iss = side.conn.snd.iss
    data = b"".join(segment(iss, ACK, 1 + i * MSS, 1, MSS) for i in range(20))
    before = len(side.conn.rcv.buffer._pieces)
    side.arrive(data, MSS + 24, 0)
    assert len(side.conn.rcv.buffer._pieces) - before == 20
    assert side.conn.segs_in == 21
    assert side.conn.readable == 2000
    assert side.conn.read() == bytes((1 + i) & 0xFF for i in range(2000))
    side.turn()
    # One ACK for all of it.
    assert len(side.out[-1][0]) == 24


def test_the_word_before_the_timestamps_is_the_one_that_is_sent() -> None:
    assert segment(0, ACK, 0, 0, 0)[12:16] == TIMESTAMPS_WORD.to_bytes(4, "big")


def test_a_duplicate_ack_between_two_messages() -> None:
    fast = Side(True, ecn=False, sack=False, pacing=False)
    slow = Side(False, ecn=False, sack=False, pacing=False)
    for side in (fast, slow):
        iss = side.conn.snd.iss
        side.write(50)
        side.turn()
        for size, ack_to in ((50, 51), (0, 51), (50, 101)):
            seq = side.conn.rcv.rcv_nxt - side.conn.rcv.irs
            data = segment(iss, ACK, seq, ack_to, size)
            side.arrive(data, len(data), 0)
            side.write(size)
            side.turn()
        assert side.conn.snd.loss.dup_acks == 0
    assert fast.picture() == slow.picture()


def test_messages_after_our_fin() -> None:
    fast = Side(True, ecn=False, sack=False, pacing=False, messages=True)
    slow = Side(False, ecn=False, sack=False, pacing=False)
    for side in (fast, slow):
        iss = side.conn.snd.iss
        side.conn.write_eof()
        for wait_ms in (0, 1, 2000):
            side.turn()
            side.now += wait_ms * MS
            seq = side.conn.rcv.rcv_nxt - side.conn.rcv.irs
            data = segment(iss, ACK, seq, 2, 50)
            side.arrive(data, len(data), 0)
        side.turn()
        assert side.conn.state is State.FIN_WAIT_2
        assert side.conn.readable == 150
    assert fast.picture() == slow.picture()


def test_a_message_ends_what_was_to_be_armed() -> None:
    sides = [Side(True, ecn=False, sack=True, pacing=False, messages=m) for m in (False, True)]
    for side in sides:
        conn, snd = side.conn, side.conn.snd

        def come(side: Side, size: int, behind: int, window: int) -> None:
            conn = side.conn
            seq = conn.rcv.rcv_nxt - conn.rcv.irs
            ack_to = conn.snd.snd_nxt - conn.snd.iss - behind
            data = segment(conn.snd.iss, ACK, seq, ack_to, size, window=window)
            if behind:  # as one of the large ones, which wait for the end of the wake-up
                side.endpoint.receive(side.now, conn.addr, data, len(data))
            else:
                side.arrive(data, len(data), 0)
            conn.read()

        for size in (50, 50, 50, 50, 2 * MSS):
            side.now += MS
            come(side, 50, 0, 1000)
            side.write(size)
            side.turn()
        side.now += MS
        come(side, 50, MSS, 999)
        come(side, 50, 0, 999)
        side.write(50)
        side.turn()
        assert snd.snd_nxt - snd.snd_una == 50
        assert not snd.probe_unarmed
        assert conn.timers[PTO] > side.now
    assert sides[0].picture() == sides[1].picture()


def test_an_ack_that_waits_for_an_answer() -> None:
    fast = Side(True, ecn=False, sack=False, pacing=False, messages=True)
    slow = Side(False, ecn=False, sack=False, pacing=False)
    for side in (fast, slow):
        for turn in range(5):
            seq = side.conn.rcv.rcv_nxt - side.conn.rcv.irs
            acked = side.conn.snd.snd_nxt - side.conn.snd.iss
            data = segment(side.conn.snd.iss, ACK | PSH, seq, acked, 50)
            side.arrive(data, len(data), 0)
            if turn < 4:
                side.turn()
                side.write(50)
                side.turn()
    with fast.as_it_does():
        assert fast.endpoint.poll_message(fast.now, fast.conn) == b""
    for side in (fast, slow):
        side.turn()
        assert side.now < side.conn.timers[DELAYED_ACK] == side.endpoint.poll_timeout()
    assert fast.picture() == slow.picture()
    for side in (fast, slow):
        side.now += MS
        side.write(50)
        side.turn()
        assert side.conn.timers[DELAYED_ACK] == NEVER
    assert fast.picture() == slow.picture()
