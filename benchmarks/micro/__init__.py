"""What single steps of utcp cost, without sockets: `python -m benchmarks.micro --help`.

Instructions, counted by `valgrind --tool=callgrind`, are the same in every run within 0.3 percent,
however busy the machine is, so a change of one percent can be seen. CPU time is taken as well; it
needs a machine that is quiet.

    cases.py   the list of what is measured
    pair.py    two endpoints and a wire, in virtual time; what one did is played back to measure it
    ack.py     an endpoint against forged acknowledgments, with so much in flight
    parts.py   parsing, building, reassembly, TIME-WAIT
    wakeup.py  the asyncio driver between a loop and a socket that do nothing
    worker.py  one case in a process of its own
    gauge.py   starts workers, with and without callgrind, for this tree and for another one
    report.py  the table
"""
