"""Segment text: what arrives step by step (RFC 9293 §3.10.7.4 step 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from utcp.core.events import READABLE

if TYPE_CHECKING:
    from utcp.core.connection import Connection


def take(conn: Connection, seq: int, data: memoryview) -> None:
    """Payload for the receive side, wherever it lies."""
    rcv = conn.rcv
    if rcv.fin_seq >= 0 and seq + len(data) > rcv.fin_seq:
        # Beyond the FIN there is nothing, whatever a segment says.
        if seq >= rcv.fin_seq:
            return
        data = data[: rcv.fin_seq - seq]
    if rcv.text(seq, data):
        conn.signal(READABLE)
    if rcv.ack_now:  # out of order, old, or filling a hole
        conn.acks.disturbed()
        conn.agenda.memory.note(conn)
    if not conn.await_data or rcv.ack_due():
        conn.touch()
