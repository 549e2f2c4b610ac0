"""Room for handshakes: a small backlog, and what makes room in it."""

from __future__ import annotations

import pytest

from tests.unit.test_endpoint import endpoint, receive, sent
from utcp.config import Config
from utcp.testing import SECOND, encode_segment
from utcp.testing.segment_view import ACK, FIN, SYN


@pytest.mark.parametrize("backlog", [1, 3])
def test_a_small_backlog_is_no_flood(backlog: int) -> None:
    # The ACK of the SYN-ACK may be lost where the server is to speak first: then nobody but the
    # server can know.
    e = endpoint()
    e.listen(backlog=backlog)
    for number in range(backlog):
        receive(e, number, encode_segment(SYN, 100))
    assert len(sent(e)) == backlog
    e.handle_timeout(SECOND)
    assert len(sent(e, SECOND)) == backlog


def test_a_reopened_time_wait_that_makes_room_for_another_one() -> None:
    e = endpoint(Config(max_time_wait=2))
    e.listen(backlog=1)

    def syn(addr: str, seq: int) -> int:
        receive(e, addr, encode_segment(SYN, seq))
        return sent(e)[-1][1].seq32

    def close(addr: str, iss: int) -> None:
        """The server closes first."""
        (conn,) = (conn for conn in e.connections() if conn.addr == addr)
        conn.close()
        sent(e)
        receive(e, addr, encode_segment(ACK | FIN, 1001, iss + 2))
        sent(e)

    isses = {}
    for addr in "XYZ":
        isses[addr] = iss = syn(addr, 1000)
        receive(e, addr, encode_segment(ACK, 1001, iss + 1))
        if addr != "Z":
            close(addr, iss)
    syn("X", 500_000)  # X's record becomes the oldest half-open connection
    close("Z", isses["Z"])  # the records are Y's and Z's: there is room for no other
    syn("Y", 500_000)
    assert str(e.state("Y")) == "SYN-RECEIVED"
    assert str(e.state("X")) == "TIME-WAIT"
