"""Write a congestion control of your own, and see what it does on a simulated path.

`Vegas` below is one, whole: it holds the window where a few segments wait in the queue of the
bottleneck, which it can tell from how much longer the round trip has become. Slow start, time-outs,
ECN, and windows that are not used are inherited. Try it against the ones that are built in:

    python examples/own_congestion_control.py
    python examples/own_congestion_control.py --control cubic --queue-ms 200

It takes no network: the path is simulated, and ten seconds pass in one or two.
"""

from __future__ import annotations

import argparse

from utcp import Config
from utcp.core.cc import CongestionControl
from utcp.core.sample import AckSample
from utcp.testing import MS, SECOND, LinkConfig, Sink, Source, pair


class Vegas(CongestionControl):
    """Keeps two to four segments queued (after Brakmo and Peterson, TCP Vegas, 1995)."""

    __slots__ = ("base_rtt_ns", "round_end", "round_rtt_ns")

    name = "vegas"

    def __init__(self, mss: int, initial_window_segments: int) -> None:
        super().__init__(mss, initial_window_segments)
        self.base_rtt_ns = 1 << 62  # the least ever: nothing was queued then
        self.round_rtt_ns = 1 << 62  # the least in this round
        self.round_end = 0

    def on_ack(self, sample: AckSample) -> None:
        """Watch the round trips, also those of slow start."""
        if sample.rtt_ns > 0:
            self.base_rtt_ns = min(self.base_rtt_ns, sample.rtt_ns)
            self.round_rtt_ns = min(self.round_rtt_ns, sample.rtt_ns)
        super().on_ack(sample)

    def avoid(self, sample: AckSample, acked: int) -> None:
        """Once in a round trip, one segment more or less."""
        if sample.una < self.round_end or self.round_rtt_ns == 1 << 62:
            return
        waiting = self.cwnd * (self.round_rtt_ns - self.base_rtt_ns) // self.round_rtt_ns
        if waiting < 2 * self.mss:
            self.cwnd += self.mss
        elif waiting > 4 * self.mss:
            self.cwnd = max(self.cwnd - self.mss, 2 * self.mss)
            self.ssthresh = min(self.ssthresh, self.cwnd)
        self.round_end = sample.snd_nxt
        self.round_rtt_ns = 1 << 62


CONTROLS: dict[str, str | type[CongestionControl]] = {
    "vegas": Vegas,
    "cubic": "cubic",
    "reno": "reno",
}


def run(control: str | type[CongestionControl], args: argparse.Namespace) -> None:
    """One connection over one bottleneck; a line for each second."""
    rate = args.mbit * 1_000_000
    link = LinkConfig(
        rate_bps=rate,
        delay_ns=args.rtt_ms * MS // 2,
        queue_bytes=rate * args.queue_ms // 8000,
        loss=args.loss,
    )
    # A class is handed in as it is; what is built in has a name.
    config = Config(congestion_control=control)
    world = pair(args.seed, config=config, link=link, trace=False)
    client, server = world.connect()
    sink = Sink(server)
    world.b.run(sink)
    world.a.run(Source(client, 1 << 40))
    print(f"{client.info().congestion_control}: second, Mbit/s, window in segments, RTT in ms")
    for second in range(1, args.seconds + 1):
        before = sink.received
        world.run_for(SECOND)
        info = client.info()
        goodput = (sink.received - before) * 8 / 1e6
        window = info.snd_cwnd // info.snd_mss
        print(f"{second:4} {goodput:8.2f} {window:7} {info.rtt / 1000:8.1f}")
    total = sink.received * 8 / args.seconds / 1e6
    print(f"goodput {total:.2f} Mbit/s, {client.info().total_retrans} retransmissions")


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="A congestion control on a simulated path.")
    parser.add_argument("--control", choices=CONTROLS, default="vegas", help="[%(default)s]")
    parser.add_argument("--mbit", type=int, default=10, help="rate, Mbit/s [%(default)s]")
    parser.add_argument("--rtt-ms", type=int, default=40, help="round trip [%(default)s]")
    parser.add_argument("--queue-ms", type=int, default=100, help="queue, in time [%(default)s]")
    parser.add_argument("--loss", type=float, default=0.0, help="probability [%(default)s]")
    parser.add_argument("--seconds", type=int, default=10, help="to simulate [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="of all chance [%(default)s]")
    args = parser.parse_args()
    run(CONTROLS[args.control], args)


if __name__ == "__main__":
    main()
