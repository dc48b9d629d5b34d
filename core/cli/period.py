"""How far back a command looks, as people write it: `30m`, `12h`, `7d`, `2w`, or a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from toolhost.errors import UsageError
from toolhost.identifiers import now_ms

__all__ = ["moment", "period"]

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


def moment(text: str) -> int:
    """A moment in milliseconds since the epoch: a period before now, or a date and time (UTC where it names no zone).

    Raises:
        UsageError: `period_invalid`.
    """
    if _PERIOD.fullmatch(text):
        return now_ms() - period(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            "period_invalid", f"{text!r} is no moment.", "Write a period like 12h or 7d, or 2026-11-28T10:00."
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
