"""A person's own API keys."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.web.bodies import read_object
from toolhost.web.guard import current, current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("keys", __name__, url_prefix="/api/keys")


@blueprint.get("")
@requires("keys")
async def index() -> ResponseReturnValue:
    """The keys of this person, the newest first; never their text."""
    return {"keys": [key.as_json() for key in await site().accounts.keys.list(current().user)]}


@blueprint.post("")
@requires("keys", step_up=True)
async def create() -> ResponseReturnValue:
    """Make one. Its text is in this answer and nowhere else."""
    body = await read_object()
    key, text = await site().accounts.keys.create(
        current().user, body.get("name"), body.get("scopes"), current_actor(), seconds=body.get("seconds")
    )
    return {"key": key.as_json(), "token": text}, 201


@blueprint.delete("/<key_id>")
@requires("keys")
async def revoke(key_id: str) -> ResponseReturnValue:
    """End one."""
    await site().accounts.keys.revoke(key_id, current_actor(), owner=current().user)
    return "", 204
