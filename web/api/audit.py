"""`/api/audit`: the audit log, for administrators, operators and keys that may read it."""

from __future__ import annotations

from datetime import UTC, datetime

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from toolhost.audit import AuditQuery
from toolhost.errors import UsageError
from toolhost.web.guard import requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("audit", __name__, url_prefix="/api")

_NAMES = ("since", "until", "category", "event", "level", "user", "call_id", "request_id", "session", "text")
_PAGE = ("before", "limit")


@blueprint.get("/audit")
@requires("audit:read", scope="audit:read")
async def index() -> ResponseReturnValue:
    """Records, the newest first; `before` with the last sequence number gives the next page."""
    given = request.args
    for name in given:
        if name not in (*_NAMES, *_PAGE):
            raise UsageError("query_invalid", f"There is no filter {name!r}.", f"Filters: {', '.join(_NAMES)}.")
    words = {name: given[name] for name in _NAMES[2:] if given.get(name)}
    query = AuditQuery(since=_moment("since"), until=_moment("until"), **words)
    before = _number("before")
    limit = _number("limit") or 100
    return {"records": await site().host.audit_index.find(query, before=before, most=limit)}


def _moment(name: str) -> int | None:
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


def _number(name: str) -> int | None:
    text = request.args.get(name)
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text[:16]) < 1 << 53:
        raise UsageError("query_invalid", f"`{name}` is no number.", "Write a whole number above zero.")
    return int(text[:16])
