"""How far back a command looks, as people write it: `30m`, `12h`, `7d`, `2w`."""

from __future__ import annotations

import re

from toolhost.errors import UsageError

__all__ = ["period"]

_MILLISECONDS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PERIOD = re.compile(r"([1-9][0-9]{0,5})([mhdw])")


def period(text: str) -> int:
    """Milliseconds.

    Raises:
        UsageError: `period_invalid`.
    """
    found = _PERIOD.fullmatch(text)
    if found is None:
        raise UsageError("period_invalid", f"{text!r} is no period.", "Write it like 30m, 12h, 7d or 2w.")
    return int(found[1]) * _MILLISECONDS[found[2]]
