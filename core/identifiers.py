"""Ids and times: prefixed random strings and integer milliseconds since the epoch."""

from __future__ import annotations

import base64
import secrets
import time

__all__ = ["first_id", "new_id", "now_ms"]

# Crockford's base 32 instead of RFC 4648's: nothing that looks like something else, and it sorts as the numbers do.
_CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghjkmnpqrstvwxyz")


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """A new id: the prefix, ten characters of time (so that ids sort by it) and twenty-six random ones (130 bits)."""
    return _spelled(prefix, (now_ms() << 130) | secrets.randbits(130))


def first_id(prefix: str, moment: int) -> str:
    """What sorts before every id of a moment (milliseconds since the epoch) and of later ones."""
    return _spelled(prefix, moment << 130)


def _spelled(prefix: str, value: int) -> str:
    # 25 bytes make 40 characters, of which the first four are the 20 bits above the 180 that are used.
    return f"{prefix}_{base64.b32encode(value.to_bytes(25, 'big'))[4:].translate(_CROCKFORD).decode()}"
