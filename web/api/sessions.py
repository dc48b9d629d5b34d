"""A person's own sessions, and the end of them."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.web.guard import current, current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("sessions", __name__, url_prefix="/api/sessions")


@blueprint.get("")
@requires("look")
async def index() -> ResponseReturnValue:
    """The open sessions of this person, the last used first."""
    here = current()
    sessions = await site().accounts.sessions.list(here.user.id)
    return {"sessions": [{**item.as_json(), "current": item.id == here.session_id} for item in sessions]}


@blueprint.delete("")
@requires("look")
async def revoke_others() -> ResponseReturnValue:
    """End every session but this one."""
    here = current()
    sessions = site().accounts.sessions
    return {"ended": await sessions.revoke_all(current_actor(), user=here.user, but=here.session_id)}


@blueprint.delete("/<session_id>")
@requires("look")
async def revoke(session_id: str) -> ResponseReturnValue:
    """End one."""
    await site().accounts.sessions.revoke(session_id, current_actor(), owner=current().user.id)
    return "", 204
