"""The floor: what a header for each segment costs in Python, and nothing else. This is no TCP.

Whoever carries TCP's segments in UDP datagrams must, on an event loop and in Python, receive into
a buffer with its control messages, find the connection by address, take the header apart, compare
sequence and acknowledgment, hand the bytes to a protocol, and put a header before what that writes.
Here that is done, as plainly and as fast as could be found, and whatever could be left out is not
there: nothing is sent again, there is no congestion control, no round trip is measured, nothing
comes out of order, and one timer looks at all connections ten times a second. A lost datagram ends
the connection. So a TCP in pure Python can hardly be faster on the same machine, and a goal that
these cases do not reach is out of reach.

    wire.py        a header, and trains of segments: packed and unpacked
    connection.py  a connection, which is its transport
    port.py        a UDP socket, its connections, and the timer
"""
