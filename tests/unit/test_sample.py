"""AckSample: reset leaves nothing of the ACK before."""

from __future__ import annotations

from utcp.core.sample import AckSample


def test_reset() -> None:
    fresh = AckSample()
    used = AckSample()
    for name in AckSample.__slots__:
        setattr(used, name, 77)
    used.forget()
    used.reset(0)
    assert all(getattr(used, name) == getattr(fresh, name) for name in AckSample.__slots__)
    used.reset(5)
    assert used.now == 5
    assert used.rtt_ns == -1
