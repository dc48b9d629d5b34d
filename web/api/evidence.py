"""`/api/evidence`: what an investigation needs, for administrators, as the one file that `toolhost evidence` makes."""

from __future__ import annotations

from datetime import UTC, datetime

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.web.access import requires
from toolhost.web.attachments import attachment
from toolhost.web.guard import current_actor
from toolhost.web.queries import moment, only
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("evidence", __name__, url_prefix="/api")


@blueprint.get("/evidence")
@requires("admin", scope="admin", recorded=True)
async def take() -> ResponseReturnValue:
    """The bundle, with what happened `since` a moment, or ever. That it was taken is a record, which is in it."""
    only("since")
    file, manifest = await site().handover.take(current_actor(), moment("since") or 0)
    made = datetime.fromtimestamp(manifest["created"] / 1000, UTC)
    response = attachment(file, f"toolhost-evidence-{made:%Y%m%dT%H%M%SZ}.tar.gz", "application/gzip")
    response.headers["X-Audit-Intact"] = "yes" if manifest["intact"] else "no"
    response.headers["X-Audit-Last-Hash"] = manifest["last_hash"]
    return response
