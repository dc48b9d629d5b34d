"""Durations and sizes as policies write them: `30s`, `2m`, `1h`; `64K`, `512M`, `1G` (powers of 1024)."""

from __future__ import annotations

import re

__all__ = ["duration", "show_duration", "show_size", "size"]

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|m|h)")
_SIZE = re.compile(r"([0-9]{1,12})(K|M|G)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def duration(text: str) -> float:
    """Seconds.

    Raises:
        ValueError: Where the text is no duration above zero.
    """
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ValueError('a duration above zero with its unit (s, m, h), such as "30s"')
    return seconds


def size(text: str) -> int:
    """Bytes.

    Raises:
        ValueError: Where the text is no size above zero.
    """
    found = _SIZE.fullmatch(text)
    count = int(found[1]) * _BYTES[found[2]] if found else 0
    if count <= 0:
        raise ValueError('a size above zero with its unit (K, M, G: powers of 1024), such as "512M"')
    return count


def show_duration(seconds: float) -> str:
    """The shortest spelling of a duration."""
    for unit in ("h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def show_size(count: int) -> str:
    """The shortest spelling of a size; bytes that are no whole K are shown as bytes."""
    for unit in ("G", "M", "K"):
        if count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count} bytes"
