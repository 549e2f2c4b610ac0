"""Where the time goes: `python -m benchmarks.profile --help`.

The pairs of processes are those of `python -m benchmarks`, over real sockets. Each is run twice:

- once undisturbed but for samples: CPU time is divided as a signal finds the main thread, which
  comes with CPU time, once per tick of the clock. That the kernel is at work for a socket is seen
  by the line; the loop's own system calls count for the loop. (How getrusage divides user and
  system time depends too much on the kernel: in a virtual machine a loop that does nothing but
  system calls was found to spend a third of its time in user mode.)
- once, for a shorter time and with one connection at a time, with all bytecodes and calls counted.
  These hardly depend on the machine, or on how busy it is.

    scenes.py  what is profiled, and in which unit
    probe.py   the samples and counts of one process
    pair.py    both processes
    layers.py  which layer a function belongs to
    report.py  tables and JSON
    table.py   the committed table
"""
