from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utcp.testing.segment_view import (
    ACK,
    ECE,
    FIN,
    PSH,
    RST,
    SYN,
    Option,
    SegmentView,
    encode_segment,
)

SYN_OPTIONS: list[Option] = [
    (2, (1460).to_bytes(2, "big")),
    (4, b""),
    (8, bytes(3) + b"\x01" + bytes(4)),
    (1, b""),
    (3, b"\x07"),
]


def test_bytes_of_a_syn() -> None:
    # Written out by hand from the picture of the wire layout.
    datagram = bytes.fromhex(
        "a0 02 ff ff"
        "01 02 03 04"
        "00 00 00 00"
        "02 04 05 b4 04 02 08 0a 00 00 00 01 00 00 00 00"
        "01 03 03 07"
    )
    view = SegmentView(datagram)
    assert (view.flags, view.window, view.seq32, view.ack32) == (SYN, 65_535, 0x01020304, 0)
    assert view.options == SYN_OPTIONS
    assert (view.mss, view.window_scale, view.sack_permitted) == (1460, 7, True)
    assert view.timestamps == (1, 0)
    assert (view.syn, view.fin, view.rst, view.ack, view.length) == (True, False, False, False, 1)
    assert datagram == encode_segment(SYN, 0x01020304, options=SYN_OPTIONS)
    assert repr(view) == (
        "<Segment S 16909060:16909060(0) win 65535 <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>>"
    )


def test_data_segment_relative() -> None:
    blocks = b"".join((1000 + n).to_bytes(4, "big") for n in (2001, 3001, 4001, 4002))
    datagram = encode_segment(
        ACK | PSH | ECE, 0xFFFF_FFFF, 1001, 500, [(1, b""), (1, b""), (5, blocks)], b"hello"
    )
    view = SegmentView(datagram)
    assert view.payload == b"hello"
    assert view.sack_blocks == [(3001, 4001), (5001, 5002)]
    assert view.describe(iss=0xFFFF_FFF0, irs=1000) == (
        "PE. 15:20(5) ack 1 win 500 <nop,nop,sack 2001:3001 4001:4002>"
    )
    assert view.timestamps is None
    assert view.mss is None


def test_odd_flags() -> None:
    assert SegmentView(encode_segment(0, 5)).describe() == "- 5:5(0) win 65535"
    view = SegmentView(encode_segment(RST | FIN, 5, window=0))
    assert view.describe(iss=6) == "FR -1:-1(0) win 0"
    assert view.rst


def test_unknown_option_is_shown() -> None:
    view = SegmentView(encode_segment(ACK, 0, 0, 1, [(254, b"\x12\x34"), (0, b"")]))
    assert view.describe().endswith("<kind254 0x1234,eol>")


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        bytes(11),
        b"\x40" + bytes(15),  # data offset 4: STUN and others
        b"\x60" + bytes(11),  # options beyond the end
        encode_segment(SYN, 0)[:0] + b"\x60" + bytes(11) + b"\x02\x01\x00\x00",  # length 1
        b"\x60" + bytes(11) + b"\x02\x05\x00\x00",  # option beyond the area
        b"\x60" + bytes(11) + b"\x01\x01\x01\x02",  # a kind without a length
        b"\x60" + bytes(11) + b"\x03\x04\x07\x00",  # window scale of length 4
    ],
)
def test_malformed(datagram: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SegmentView(datagram)


def test_too_many_options() -> None:
    with pytest.raises(ValueError, match="40 fit"):
        encode_segment(ACK, 0, options=[(254, bytes(39))])


options = st.lists(
    st.one_of(
        st.just((1, b"")),
        st.tuples(st.just(2), st.binary(min_size=2, max_size=2)),
        st.tuples(st.just(8), st.binary(min_size=8, max_size=8)),
        st.tuples(st.integers(20, 255), st.binary(max_size=6)),
    ),
    max_size=4,
)


@given(
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**16 - 1),
    options,
    st.binary(max_size=50),
)
def test_round_trip(
    flags: int, seq32: int, ack32: int, window: int, options: list[Option], payload: bytes
) -> None:
    view = SegmentView(encode_segment(flags, seq32, ack32, window, options, payload))
    assert (view.flags, view.seq32, view.ack32, view.window) == (flags, seq32, ack32, window)
    assert [option for option in view.options if option != (0, b"")] == options
    assert view.payload == payload
    assert repr(view)
