"""The mutation check: each defence is taken out, and the tests that show it must fail.

    python -m tests.attack.mutation              all of them
    python -m tests.attack.mutation reset SYN    those whose names contain one of these words
    python -m tests.attack.mutation --list       their names

`table` lists the defences: a piece of source, what it is replaced with, and the tests. A piece
that is not there any more, exactly once, is an error: whoever rewrites a defence looks here, too.
`run` does it in a copy of the tree. CI runs some of them (`FAST`), and checks that all apply.
"""
