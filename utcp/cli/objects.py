"""JSON from the network."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["parse_object"]


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object that `data` is. Raises ValueError for all else, however it is made."""
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
