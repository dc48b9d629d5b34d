"""`/api/audit`: the audit log, for administrators, operators and keys that may read it."""

from __future__ import annotations

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from toolhost.audit import AuditQuery
from toolhost.web.guard import requires
from toolhost.web.queries import moment, number, only
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("audit", __name__, url_prefix="/api")

_NAMES = ("since", "until", "category", "event", "level", "user", "call_id", "request_id", "session", "text")
_PAGE = ("before", "limit")


@blueprint.get("/audit")
@requires("audit:read", scope="audit:read")
async def index() -> ResponseReturnValue:
    """Records, the newest first; `before` with the last sequence number gives the next page."""
    only(*_NAMES, *_PAGE)
    words = {name: request.args[name] for name in _NAMES[2:] if request.args.get(name)}
    query = AuditQuery(since=moment("since"), until=moment("until"), **words)
    before = number("before")
    limit = number("limit") or 100
    return {"records": await site().host.audit_index.find(query, before=before, most=limit)}
