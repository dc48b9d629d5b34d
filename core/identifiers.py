"""Ids and times: prefixed random strings and integer milliseconds since the epoch."""

from __future__ import annotations

import itertools
import os
import time

__all__ = ["first_id", "new_id", "now_ms"]

# Crockford's base 32: nothing that looks like something else, and it sorts as the numbers do. Two characters at a time,
# because a call makes three ids.
_PAIRS = tuple(map("".join, itertools.product("0123456789abcdefghjkmnpqrstvwxyz", repeat=2)))
_SHIFTS = range(170, -10, -10)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """A new id: the prefix, ten characters of time (so that ids sort by it) and twenty-six random ones (130 bits)."""
    return _spelled(prefix, (time.time_ns() // 1_000_000 << 130) | (int.from_bytes(os.urandom(17)) >> 6))


def first_id(prefix: str, moment: int) -> str:
    """What sorts before every id of a moment (milliseconds since the epoch) and of later ones."""
    return _spelled(prefix, moment << 130)


def _spelled(prefix: str, value: int) -> str:
    return f"{prefix}_{''.join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])}"
