"""Output: bursts, their headers and sizes, and what is sent before what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.config import Config
from utcp.core import Endpoint, Transmit
from utcp.core.segment import ACK, FIN, PSH, SYN
from utcp.testing import MS, SECOND, SegmentView, encode_segment

PEER = "peer"
PEER_ISS = 7000
MASK = 0xFFFF_FFFF


class Rig:
    """An established connection with a peer whose window is endless."""

    def __init__(self, config: Config, *, mss: int = 1460, mtu: int = 1500) -> None:
        self.endpoint = Endpoint(config, bytes(16), path_mtu=mtu)
        self.now = SECOND
        self.conn = self.endpoint.connect(self.now, PEER)
        self.iss = self.conn.snd.iss
        self.poll()
        self.now += 100 * MS
        options = [(2, mss.to_bytes(2, "big")), (3, b"\x07")]
        if config.timestamps:
            options.append((8, bytes(8)))
        if config.sack:
            options.append((4, b""))
        self._raw(SYN | ACK, 0, 1, options)
        self.poll()
        self.ack(1)
        self.poll()

    def _raw(
        self, flags: int, seq: int, ack: int, options: list[tuple[int, bytes]], payload: bytes = b""
    ) -> None:
        data = encode_segment(flags, PEER_ISS + seq, self.iss + ack, 65_535, options, payload)
        self.endpoint.receive(self.now, PEER, data, len(data))

    def ack(self, ack: int, seq: int = 1, payload: bytes = b"") -> None:
        stamped = self.conn.ts_ok
        self._raw(ACK, seq, ack, [(1, b""), (1, b""), (8, bytes(8))] if stamped else [], payload)

    def poll(self) -> list[Transmit]:
        while (conn := self.endpoint.poll_ready()) is not None:
            conn.take_events()
        self.endpoint.settle()
        bursts = []
        while (burst := self.endpoint.poll_transmit(self.now)) is not None:
            bursts.append(burst)
        return bursts


def cut(burst: Transmit) -> list[SegmentView]:
    data, size = burst.data, burst.segment_size
    return [SegmentView(data[at : at + size]) for at in range(0, len(data), size)]


PLAIN = Config(timestamps=False, sack=False, ecn=False, initial_window=100)


@given(
    writes=st.lists(st.integers(1, 40_000), min_size=1, max_size=8),
    mss=st.sampled_from([88, 536, 1460, 9000]),
    most_bytes=st.sampled_from([1, 1000, 10_000, 65_000]),
    most_segments=st.integers(1, 64),
    timestamps=st.booleans(),
    eof=st.booleans(),
)
def test_bursts(
    writes: list[int], mss: int, most_bytes: int, most_segments: int, timestamps: bool, eof: bool
) -> None:
    rig = Rig(
        Config(
            timestamps=timestamps, sack=False, ecn=False, initial_window=1000, max_segment_size=mss
        ),
        mss=9000,
        mtu=9100,
    )
    rig.endpoint.max_burst_bytes = most_bytes
    rig.endpoint.max_burst_segments = most_segments
    rig.conn.snd.cc.cwnd = 1 << 20
    written = bytearray()
    for i, size in enumerate(writes):
        data = bytes((i + j) & 0xFF for j in range(size))
        rig.conn.write(data)
        written += data
    if eof:
        rig.conn.write_eof()
    full = mss - 12 * timestamps
    seq = 1
    got = bytearray()
    bursts = rig.poll()
    for burst in bursts:
        segments = cut(burst)
        assert len(segments) <= most_segments
        assert len(burst.data) <= max(most_bytes, burst.segment_size)
        for segment in segments:
            assert (segment.seq32 - rig.iss) & MASK == seq
            assert segment.ack32 == PEER_ISS + 1
            # SHLD-28: every segment is full, but the last one of all.
            last = seq - 1 + len(segment.payload) == len(written)
            assert last or len(segment.payload) == full
            flags = ACK | (PSH if last else 0) | (FIN if last and eof else 0)
            assert segment.flags == flags
            assert (segment.timestamps is not None) is timestamps
            got += segment.payload
            seq += len(segment.payload)
    assert got == written
    assert len(bursts) <= -(
        -len(written) // (full * min(most_segments, max(most_bytes // (mss + 12), 1)))
    )


def test_a_burst_of_a_whole_window_is_one_transmit() -> None:
    rig = Rig(PLAIN)
    rig.conn.write(bytes(44 * 1460))
    (burst,) = rig.poll()
    assert burst.segment_size == 1472
    assert len(burst.data) == 44 * 1472
    assert burst.addr == PEER


def test_lost_data_goes_before_new_data() -> None:
    rig = Rig(Config(timestamps=False, sack=False, ecn=False, initial_window=4, pacing=False))
    rig.conn.write(bytes(100_000))
    rig.poll()
    rig.now += 10 * SECOND
    rig.endpoint.handle_timeout(rig.now)
    (burst,) = rig.poll()
    assert [(seg.seq32 - rig.iss) & MASK for seg in cut(burst)] == [1]
    # Without F-RTO (RFC 5682), which would send new data now.
    rig.conn.snd.loss.frto.stop()
    rig.ack(1461)
    seqs = [(seg.seq32 - rig.iss) & MASK for burst in rig.poll() for seg in cut(burst)]
    assert seqs == [1461, 2921]


@pytest.mark.rfc("MUST-48", "SHLD-21", "SHLD-22")
def test_the_diffserv_field_can_change_at_any_time() -> None:
    rig = Rig(Config(ecn=False, dscp=10))
    rig.conn.write(b"a")
    assert [burst.tos for burst in rig.poll()] == [10 << 2]
    rig.conn.dscp = 46
    rig.conn.write(b"b")
    assert [burst.tos for burst in rig.poll()] == [46 << 2]


def test_connections_take_turns() -> None:
    endpoint = Endpoint(PLAIN, bytes(16))
    endpoint.max_burst_segments = 1
    conns = [endpoint.connect(SECOND, addr) for addr in ("x", "y")]
    assert [endpoint.poll_transmit(SECOND).addr for _ in conns] == ["x", "y"]  # type: ignore[union-attr]
    for conn in conns:
        data = encode_segment(SYN | ACK, 5, conn.snd.iss + 1)
        endpoint.receive(SECOND, conn.addr, data, len(data))
        conn.write(bytes(3 * 536))
    order = []
    while (burst := endpoint.poll_transmit(SECOND)) is not None:
        if len(burst.data) > 100:
            order.append(burst.addr)
    assert order == ["x", "y", "x", "y", "x", "y"]


def test_counting() -> None:
    rig = Rig(PLAIN)
    before = rig.conn.info()
    rig.conn.write(bytes(3000))
    rig.poll()
    rig.now += 10 * SECOND
    rig.endpoint.handle_timeout(rig.now)
    rig.poll()
    info = rig.conn.info()
    assert info.segs_out - before.segs_out == 4
    assert (info.bytes_sent, info.bytes_retrans, info.total_retrans) == (4460, 1460, 1)
    assert rig.endpoint.counters.retransmitted_segments == 1


def test_what_is_sent_is_what_was_written_even_if_that_has_changed() -> None:
    rig = Rig(PLAIN)
    data = bytearray(b"mutable")
    rig.conn.write(data)
    data[:] = b"changed"
    (burst,) = rig.poll()
    assert cut(burst)[0].payload == b"mutable"
