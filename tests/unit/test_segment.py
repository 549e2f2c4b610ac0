"""The codec of segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.core import segment
from utcp.core.segment import (
    ACK,
    CWR,
    ECE,
    FIN,
    MALFORMED,
    NOT_OURS,
    OK,
    PSH,
    RST,
    SYN,
    URG,
    Segment,
)
from utcp.testing import SegmentView, encode_segment


def parse(data: bytes) -> Segment:
    seg = Segment()
    assert seg.parse(data, 0, len(data)) == OK
    return seg


def with_options(area: bytes, payload: bytes = b"") -> bytes:
    assert len(area) % 4 == 0
    return segment.build(ACK, 0, 0, 0, area) + payload


# -- header ------------------------------------------------------------------------------------


def test_layout() -> None:
    data = segment.build(ACK | PSH, 0x1234, 0x89ABCDEF, 0x01234567) + b"text"
    assert data.hex() == "50181234" + "89abcdef" + "01234567" + b"text".hex()
    seg = parse(data)
    assert (seg.flags, seg.window) == (ACK | PSH, 0x1234)
    assert (seg.seq32, seg.ack32) == (0x89ABCDEF, 0x01234567)
    assert data[seg.payload_at : seg.end] == b"text"
    assert seg.length() == 4


@pytest.mark.rfc("MUST-1")
def test_the_window_is_unsigned() -> None:
    assert parse(segment.build(ACK, 0xFFFF, 0, 0)).window == 65_535
    assert parse(segment.build(ACK, 0x8000, 0, 0)).window == 32_768


def test_numbers_are_cut_to_32_bits() -> None:
    seg = parse(segment.build(ACK, 0, (5 << 32) + 7, -1))
    assert (seg.seq32, seg.ack32) == (7, 0xFFFF_FFFF)


def test_syn_and_fin_take_sequence_space() -> None:
    assert parse(segment.build(SYN, 0, 0, 0)).length() == 1
    assert parse(segment.build(FIN | ACK, 0, 0, 0) + b"abc").length() == 4
    assert parse(segment.build(RST, 0, 0, 0)).length() == 0


def test_reserved_bits_are_ignored() -> None:
    data = bytearray(segment.build(ACK, 1, 2, 3))
    data[0] |= 0x0F
    assert parse(bytes(data)).flags == ACK


def test_urg_is_ignored() -> None:
    assert parse(segment.build(ACK | URG, 0, 0, 0)).flags == ACK
    seg = Segment()
    data = segment.build(URG, 0, 0, 0)
    assert seg.parse(data, 0, len(data)) == OK
    assert seg.flags == 0


def test_a_part_of_a_buffer() -> None:
    data = segment.build(ACK, 1, 2, 3) + b"abc"
    seg = Segment()
    assert seg.parse(memoryview(b"xx" + data + data), 2, 2 + len(data)) == OK
    assert (seg.payload_at, seg.end) == (14, 17)


# -- what is none ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"", MALFORMED),
        (b"\x00", NOT_OURS),
        (b"\x4f" + bytes(40), NOT_OURS),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), NOT_OURS),  # STUN
        (b"\x50", MALFORMED),
        (b"\x50\x10" + bytes(9), MALFORMED),  # 11 bytes
        (b"\x60\x10" + bytes(10), MALFORMED),  # data offset beyond the end
        (b"\xf0\x10" + bytes(49), MALFORMED),
        (b"\xff" * 30, MALFORMED),
    ],
)
def test_other_datagrams(data: bytes, verdict: int) -> None:
    assert Segment().parse(data, 0, len(data)) == verdict


def test_the_longest_header() -> None:
    seg = parse(b"\xf0\x10" + bytes(50))
    assert seg.payload_at == seg.end == 52


@pytest.mark.parametrize("flags", sorted(set(range(256)) - {0x20 | i for i in range(256)}))
def test_any_flags(flags: int) -> None:
    assert parse(segment.build(flags, 0, 0, 0)).flags == flags


# -- options -----------------------------------------------------------------------------------


@pytest.mark.rfc("MUST-4", "MUST-14")
def test_every_option() -> None:
    seg = parse(
        with_options(bytes.fromhex("020405b4 0402 080a00000001ffffffff 01 030307".replace(" ", "")))
    )
    assert seg.mss == 1460
    assert seg.sack_permitted
    assert seg.has_timestamps
    assert (seg.ts_val, seg.ts_ecr) == (1, 0xFFFF_FFFF)
    assert seg.wscale == 7
    assert seg.sack32 == []


@pytest.mark.rfc("MUST-4")
def test_no_options() -> None:
    seg = parse(segment.build(SYN, 0, 0, 0))
    assert (seg.mss, seg.wscale) == (-1, -1)
    assert not seg.sack_permitted
    assert not seg.has_timestamps


def test_options_of_the_segment_before_are_forgotten() -> None:
    seg = Segment()
    for data in (
        with_options(bytes.fromhex("0101050a0000000100000002")),
        with_options(bytes.fromhex("020405b40402010101030307")),
        with_options(segment.timestamps_option(1, 2)),
        segment.build(ACK, 0, 0, 0),
    ):
        assert seg.parse(data, 0, len(data)) == OK
    assert (seg.mss, seg.wscale, seg.sack32) == (-1, -1, [])
    assert not seg.sack_permitted
    assert not seg.has_timestamps


@pytest.mark.rfc("MUST-5", "MUST-6", "MUST-68")
@pytest.mark.parametrize("flags", [SYN, ACK, SYN | ACK, RST, FIN | ACK])
def test_unknown_options_are_skipped_in_any_segment(flags: int) -> None:
    area = bytes.fromhex("fe04abcd" + "1e02" + "01" + "020405b4" + "ff03aa" + "0000")
    data = segment.build(flags, 0, 0, 0, area) + b"x"
    seg = parse(data)
    assert seg.mss == 1460
    assert data[seg.payload_at :] == b"x"


@pytest.mark.rfc("MUST-64")
@pytest.mark.parametrize("shift", range(4))
def test_options_at_any_alignment(shift: int) -> None:
    area = b"\x01" * shift + bytes.fromhex("080a0102030405060708020405b4")
    seg = parse(with_options(area + bytes(-len(area) % 4)))
    assert (seg.ts_val, seg.ts_ecr, seg.mss) == (0x01020304, 0x05060708, 1460)


@pytest.mark.rfc("MUST-4", "MUST-69")
def test_behind_the_end_of_the_list_there_is_padding() -> None:
    # Whatever stands there: it is no option (RFC 9293 §3.1).
    seg = parse(with_options(bytes.fromhex("020405b4 00 020400".replace(" ", ""))))
    assert seg.mss == 1460


@pytest.mark.rfc("MUST-7", "MUST-68")
@pytest.mark.parametrize(
    "area",
    [
        "02000000",  # length 0
        "02010000",  # length 1
        "08000000",
        "fe000000",  # of an unknown kind, too
        "fe010000",
        "02080000",  # beyond the header
        "0101080a",
        "010101fe",  # no room for a length
        "01010102",
        "fe0501010101fe03",
    ],
)
def test_illegal_lengths(area: str) -> None:
    data = with_options(bytes.fromhex(area), bytes(20))
    assert Segment().parse(data, 0, len(data)) == MALFORMED


@pytest.mark.rfc("MUST-7")
@pytest.mark.parametrize(
    "area",
    ["0203050a", "02050000000000ff", "0304070001010101", "0403070101010101",
     "08060000000001010101", "0502010105030001", "050b0102030405060708090a"],
)  # fmt: skip
def test_known_options_of_another_length_are_skipped(area: str) -> None:
    raw = bytes.fromhex(area)
    raw = raw + b"\x01" * (-len(raw) % 4)
    seg = Segment()
    seg.parse(with_options(raw), 0, 12 + len(raw))
    assert (seg.mss, seg.wscale, seg.sack32) == (-1, -1, [])
    assert not seg.sack_permitted
    assert not seg.has_timestamps


def test_window_scale_is_at_most_14() -> None:
    # RFC 7323 §2.3
    assert parse(with_options(bytes.fromhex("010303ff"))).wscale == 14


@pytest.mark.parametrize(
    "usual", ["020405b40402080a0102030405060708010303ff", "0101080a0102030405060708"]
)
@given(at=st.integers(0, 19), byte=st.integers(0, 255))
def test_options_that_lie_nearly_as_usual(usual: str, at: int, byte: int) -> None:
    area = bytearray.fromhex(usual)
    area[at % len(area)] = byte
    known, other = Segment(), Segment()
    # With something in front of them they are read one by one.
    shifted = with_options(b"\1\1\1\1" + area)
    verdict = other.parse(shifted, 0, len(shifted))
    data = with_options(bytes(area))
    assert known.parse(data, 0, len(data)) == verdict
    if verdict == OK:
        for name in ("mss", "wscale", "sack_permitted", "has_timestamps", "sack32"):
            assert getattr(known, name) == getattr(other, name)
        if known.has_timestamps:
            assert (known.ts_val, known.ts_ecr) == (other.ts_val, other.ts_ecr)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_sack_blocks(count: int) -> None:
    blocks = [(10 * n, 10 * n + 5) for n in range(count)]
    option = segment.sack_option(blocks)
    assert len(option) == 4 + 8 * count
    assert parse(with_options(option)).sack32 == blocks


# -- what we build -----------------------------------------------------------------------------


@pytest.mark.rfc("MUST-14", "MUST-65", "MUST-69", "SHLD-5")
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("stamps", [None, (7, 8)])
@pytest.mark.parametrize("wscale", [-1, 0, 14])
def test_options_of_a_syn(sack: bool, stamps: tuple[int, int] | None, wscale: int) -> None:
    options = segment.syn_options(1460, wscale, sack, stamps)
    assert len(options) % 4 == 0
    assert len(options) <= segment.MAX_OPTIONS
    view = SegmentView(segment.build(SYN, 65_535, 1, 0, options))
    assert view.mss == 1460
    assert view.sack_permitted is sack
    assert view.timestamps == stamps
    assert view.window_scale == (None if wscale < 0 else wscale)
    # Linux's order.
    kinds = [kind for kind, _ in view.options if kind != 1]
    assert kinds == [k for k in (2, 4, 8, 3) if k in kinds]


def test_a_syn_looks_like_that_of_linux() -> None:
    options = segment.syn_options(1460, 7, True, (1, 0))
    assert options.hex() == "020405b4" + "0402" + "080a0000000100000000" + "01" + "030307"


OPTIONS = st.lists(
    st.one_of(
        st.tuples(st.just(1), st.just(b"")),
        st.tuples(st.just(2), st.binary(min_size=2, max_size=2)),
        st.tuples(st.just(3), st.binary(min_size=1, max_size=1)),
        st.tuples(st.just(4), st.just(b"")),
        st.tuples(st.just(8), st.binary(min_size=8, max_size=8)),
        st.tuples(st.integers(9, 255), st.binary(max_size=6)),
    ),
    max_size=4,
)


@given(
    st.sampled_from([ACK, SYN, SYN | ACK, RST, FIN | ACK, ACK | PSH | ECE | CWR]),
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 0xFFFF),
    OPTIONS,
    st.binary(max_size=50),
)
def test_the_second_codec_agrees(
    flags: int, seq: int, ack: int, window: int, options: list[tuple[int, bytes]], payload: bytes
) -> None:
    data = encode_segment(flags, seq, ack, window, options, payload)
    seg = parse(data)
    view = SegmentView(data)
    assert (seg.flags, seg.seq32, seg.ack32, seg.window) == (flags, seq, ack, window)
    assert data[seg.payload_at : seg.end] == view.payload == payload
    assert seg.length() == view.length
    last = dict(view.options)
    assert seg.mss == (int.from_bytes(last[2]) if 2 in last else -1)
    assert seg.wscale == (min(last[3][0], 14) if 3 in last else -1)
    assert seg.sack_permitted == (4 in last)
    if 8 in last:
        assert (seg.ts_val, seg.ts_ecr) == (
            int.from_bytes(last[8][:4]),
            int.from_bytes(last[8][4:]),
        )


@pytest.mark.rfc("MUST-7")
@given(st.binary(max_size=80), st.integers(0, 8))
def test_nothing_raises(data: bytes, start: int) -> None:
    seg = Segment()
    start = min(start, len(data))
    if seg.parse(data, start, len(data)) == OK:
        assert start + segment.HEADER_SIZE <= seg.payload_at <= seg.end == len(data)


@pytest.mark.rfc("MUST-7")
@given(st.binary(max_size=40), st.binary(max_size=10))
def test_no_option_list_raises(area: bytes, payload: bytes) -> None:
    area += bytes(-len(area) % 4)
    data = with_options(area, payload)
    seg = Segment()
    verdict = seg.parse(data, 0, len(data))
    assert verdict in (OK, MALFORMED)
    if verdict == OK:
        assert data[seg.payload_at : seg.end] == payload
