"""Ids and times: prefixed random strings and integer milliseconds since the epoch."""

from __future__ import annotations

import secrets
import time

__all__ = ["new_id", "now_ms"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that looks like something else


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """A new id: the prefix, ten characters of time (so that ids sort by it) and twenty-six random ones (130 bits)."""
    value = (now_ms() << 130) | secrets.randbits(130)
    return prefix + "_" + "".join(_ALPHABET[(value >> shift) & 31] for shift in range(175, -1, -5))
