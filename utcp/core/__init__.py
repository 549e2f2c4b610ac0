"""The sans-IO core: TCP as bytes and times in, bytes and deadlines out.

    datagrams in                                    application write
      endpoint     address -> connection              connection   write
      calm         nothing unusual: the shortest way  send_buffer  views by sequence number, no copy
      fastpath     cut the train; ESTABLISHED and     sender       how much: windows, small segments
                   in order -> one run                output       resend first, then new; headers
      farewell     a bare FIN, and the ACK of ours    flight       one record for the burst
      arrival      anything else, step by step        message      the same, for a single segment
      ack          window -> flight -> rtt -> loss    bulk         the same, for whole segments
                   -> cc                              endpoint     poll_transmit
      receiver     reassembly -> recv_buffer        datagrams out
      endpoint     poll_ready
    application read

    timers         every deadline of a connection in one table; `timeouts` acts on them; the
                   endpoint keeps the earliest of all connections

Nothing here knows an event loop, a socket, a clock or a source of randomness: time is an argument
(`now`, integer nanoseconds of a monotonic clock), entropy is handed in. See `Endpoint` for the
order of calls.
"""

from utcp.core import events
from utcp.core.connection import Connection
from utcp.core.endpoint import Endpoint
from utcp.core.state import Reason, State
from utcp.core.timers import NEVER
from utcp.core.transmit import Transmit

__all__ = ["NEVER", "Connection", "Endpoint", "Reason", "State", "Transmit", "events"]
