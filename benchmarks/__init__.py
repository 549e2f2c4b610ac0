"""utcp beside kernel TCP and others: real processes and sockets, the same program text for all.

`python -m benchmarks --help` says how to run them.

    cases.py       the list of what is measured
    contestants/   who is measured, one file each
    programs/      the programs, as users of asyncio write them, one file per question
    side.py        what a measured process and the runner tell each other
    runner.py      pairs of processes, several runs, interleaved
    bare/, quic.py, certificate.py
                   the floor; what contestants have in common
    measure.py     what one process can say of itself, and the bytes that are sent
    figures.py     the figures of one run, and of several
    tables.py, pictures.py, goals.py, report.py, machine.py, readme.py
                   the results: tables, pictures, what is to be reached, JSON and README.md, where

What single steps cost, in instructions too, without sockets:

    micro/         `python -m benchmarks.micro`

What one constant is worth, on a machine that is never quiet:

    toggle.py      `python -m benchmarks.toggle`

Where the time of whole processes goes:

    profile/       `python -m benchmarks.profile`

Beside a flood of forged SYNs or garbage, with SYN cookies and without:

    flood.py       what is left for honest clients: `python -m benchmarks.flood`

In virtual time, and so the same on any machine:

    paths/         simulated paths: `python -m benchmarks.paths`
    chaos.py       connections in trouble, by the thousand: `python -m benchmarks.chaos`
"""
