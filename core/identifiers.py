"""Ids and times: prefixed random strings and integer milliseconds since the epoch."""

from __future__ import annotations

import os
import time

__all__ = ["first_id", "new_id", "now_ms"]

# Crockford's base 32, five bits of a byte a character: nothing that looks like something else, and it sorts as the
# numbers do.
_LETTERS = bytes(b"0123456789abcdefghjkmnpqrstvwxyz"[byte & 31] for byte in range(256))
_TIME = range(45, -5, -5)
_RANDOM = 26


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """A new id: the prefix, ten characters of time (so that ids sort by it) and twenty-six random ones (130 bits)."""
    return f"{prefix}_{_spelled(now_ms())}{os.urandom(_RANDOM).translate(_LETTERS).decode()}"


def first_id(prefix: str, moment: int) -> str:
    """What sorts before every id of a moment (milliseconds since the epoch) and of later ones."""
    return f"{prefix}_{_spelled(moment)}{'0' * _RANDOM}"


def _spelled(moment: int) -> str:
    return bytes([moment >> shift & 31 for shift in _TIME]).translate(_LETTERS).decode()
