"""Durations and sizes as policies write them: `30s`, `2m`, `1h`; `64K`, `512M`, `1G` (powers of 1024)."""

from __future__ import annotations

import re

__all__ = ["DURATION_PATTERN", "SIZE_PATTERN", "duration", "nearest", "show_duration", "show_size", "size"]

DURATION_PATTERN = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|m|h)"
SIZE_PATTERN = r"([0-9]{1,12})(K|M|G)"
_DURATION = re.compile(DURATION_PATTERN)
_SIZE = re.compile(SIZE_PATTERN)
_OTHER = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([A-Za-z]+)\s*")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_UNITS_OF_TIME = {"ms": 0.001} | {
    name: seconds
    for seconds, names in ((1, "s sec secs second seconds"), (60, "m min mins minute minutes"), (3600, "h hour hours"))
    for name in names.split()
}
_UNITS_OF_SIZE = {"b": 1, "byte": 1, "bytes": 1} | {
    letter + ending: 1 << power
    for letter, power in (("k", 10), ("m", 20), ("g", 30), ("t", 40))
    for ending in ("", "b", "ib")
}


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


def nearest(text: str, kind: str) -> str:
    """` Did you mean "512M"?` for a duration or size in another notation (`512 MB`, `1T`, `30sec`), or nothing."""
    found = _OTHER.fullmatch(text)
    unit = (_UNITS_OF_TIME if kind == "duration" else _UNITS_OF_SIZE).get(found[2].lower()) if found else None
    if found is None or unit is None or not float(found[1]):
        return ""
    number = float(found[1])
    if kind == "duration":
        return f' Did you mean "{show_duration(number * unit)}"?'
    return f' Did you mean "{show_size(int(number * unit))}"?' if number * unit % 1024 == 0 else ""


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
