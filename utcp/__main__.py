"""`python -m utcp`: the same as the command `utcp`."""

from __future__ import annotations

import sys

from utcp.cli import main

if __name__ == "__main__":
    sys.exit(main())
