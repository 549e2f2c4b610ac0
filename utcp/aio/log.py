"""Logging at the cold points: structlog, silent unless the application asks for it.

An application that has configured structlog gets these events there. Otherwise they go to the
standard library's logger "utcp", which nobody hears before giving it a level and a handler.
Nothing is configured globally here.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import structlog

__all__ = ["event", "heard"]

_STDLIB: Final = logging.getLogger("utcp")
_STDLIB.addHandler(logging.NullHandler())
_QUIET: Final = structlog.wrap_logger(
    _STDLIB,
    processors=[structlog.stdlib.render_to_log_kwargs],
    wrapper_class=structlog.stdlib.BoundLogger,
)


_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def heard(level: str) -> bool:
    """Whether anybody listens, for callers whose details take time to find out."""
    return structlog.is_configured() or _STDLIB.isEnabledFor(_LEVELS[level])


def event(level: str, name: str, local: Any, peer: Any = None, **details: object) -> None:
    """Log what happened at one address, or between two; `level` is one of _LEVELS."""
    if structlog.is_configured():
        logger = structlog.get_logger("utcp")
    elif _STDLIB.isEnabledFor(_LEVELS[level]):
        logger = _QUIET
    else:
        return
    if peer is not None:
        details["peer"] = peer
    getattr(logger.bind(local=local), level)(name, **details)
