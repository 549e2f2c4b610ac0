"""A connection without options, for scripts about what arrives on it."""

from __future__ import annotations

from utcp.config import Config
from utcp.testing import Script

PLAIN = Config(timestamps=False, sack=False, window_scaling=False, ecn=False)


def established(config: Config = PLAIN, window: int = 65535) -> Script:
    """A connection that we opened; the peer's next number is 1, ours too."""
    s = Script(config=config, peer_iss=1000)
    s.connect()
    s.take()
    if config.timestamps:
        options, stamp = "<mss 1460,TS val 100 ecr 0>", "<nop,nop,TS val 100 ecr 0>"
    else:
        options, stamp = "<mss 1460>", ""
    s.inject(f"S. 0:0(0) ack 1 win {window} {options}")
    s.expect(f". 1:1(0) ack 1 {stamp and '<TS val * ecr 100>'}")
    assert str(s.state) == "ESTABLISHED"
    s.take_events()
    return s
