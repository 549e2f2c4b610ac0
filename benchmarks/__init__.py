"""utcp beside kernel TCP: the same program text, the same event loop, two processes, loopback.

`python -m benchmarks --help` says how to run them. One file per question:

    bulk.py        how many bytes a second through one connection
    echo.py        how long 64 bytes take to go and come back
    memory.py      what a connection, a TIME-WAIT record and a long transfer cost in memory
    raw.py         what plain UDP sockets with GSO and GRO reach in Python: the ceiling

    cases.py       the list of what is measured
    transports.py  the two contestants, behind the same four calls
    runner.py      pairs of processes, several runs, interleaved
    machine.py     where it was measured
    report.py      table, JSON and the part of README.md that shows numbers

Beside a flood of forged SYNs or garbage, with SYN cookies and without:

    flood.py       what is left for honest clients: `python -m benchmarks.flood`

In virtual time, and so the same on any machine:

    paths/         simulated paths: `python -m benchmarks.paths`
    chaos.py       connections in trouble, by the thousand: `python -m benchmarks.chaos`
"""
