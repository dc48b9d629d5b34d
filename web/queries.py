"""What a query says: moments and numbers, or one clear refusal."""

from __future__ import annotations

from datetime import UTC, datetime

from quart import request

from toolhost.errors import UsageError

__all__ = ["moment", "number", "only"]


def only(*names: str) -> None:
    """Refuse a query with any other name: a misspelt filter would find too much.

    Raises:
        UsageError: `query_invalid`.
    """
    for name in request.args:
        if name not in names:
            raise UsageError("query_invalid", f"There is no filter {name!r}.", f"Filters: {', '.join(names)}.")


def moment(name: str) -> int | None:
    """A moment, milliseconds since the epoch; None where it is not given.

    Raises:
        UsageError: `query_invalid`.
    """
    text = request.args.get(name)
    if not text:
        return None
    if text.isdecimal() and len(text) < 16:
        return int(text)
    try:
        found = datetime.fromisoformat(text)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(
            "query_invalid", f"`{name}` is no moment.", "Write 2026-11-28T10:00:00Z, or milliseconds since the epoch."
        ) from None


def number(name: str) -> int | None:
    """A whole number above zero; None where it is not given.

    Raises:
        UsageError: `query_invalid`.
    """
    text = request.args.get(name)
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text[:16]) < 1 << 53:
        raise UsageError("query_invalid", f"`{name}` is no number.", "Write a whole number above zero.")
    return int(text[:16])
