"""Bytes that say exactly what a value is, for digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from neurolim.core.wires import Graph


def canonical(value: Any) -> bytes:
    """Return JSON bytes in which floats are exact and order of keys does not matter."""

    def exact(part: Any) -> Any:
        if isinstance(part, bool) or part is None or isinstance(part, (int, str)):
            return part
        if isinstance(part, float):
            return part.hex()
        if isinstance(part, Graph):
            return part.digest
        if isinstance(part, Mapping):
            return {str(k): exact(v) for k, v in part.items()}
        return [exact(entry) for entry in part]

    return json.dumps(exact(value), sort_keys=True, separators=(",", ":")).encode()
