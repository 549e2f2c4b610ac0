"""utcp over simulated paths, in virtual time: a grid of paths, and flows that share one.

`python -m benchmarks.paths --help` says how to run them. The same seed gives the same numbers,
to the last digit, on any machine; so `benchmarks/paths.json` is what the code does, and a test
compares its quick part with what it does now.

    cells.py       the grid: which paths, in which trouble
    simulate.py    one transfer over one path, and what is measured of it
    sharing.py     2 to 32 flows over one bottleneck
    pool.py        many simulations on a few processes
    table.py       tables, the committed file, and how results differ from it
    pictures.py    window, flight, round trip and rate over time, as SVG and PNG
    series.py      what the pictures show
"""
