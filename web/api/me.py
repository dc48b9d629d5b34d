"""A person's own data: taking it along, and deleting it."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import AccessError
from toolhost.model import Actor
from toolhost.personal import erase, export
from toolhost.web.attachments import attachment
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor
from toolhost.web.site import site
from toolhost.web.stopping import stop_runs

__all__ = ["blueprint"]

blueprint = Blueprint("me", __name__, url_prefix="/api/me")


@blueprint.get("/export")
async def take_along() -> ResponseReturnValue:
    """Everything the host holds about this person, as one zip file."""
    return attachment(await export(site().host, _person()), "toolhost-data.zip", "application/zip")


@blueprint.delete("/data")
async def delete() -> ResponseReturnValue:
    """Delete this person's conversations and all that hangs on them."""
    actor, body = _person(), await read_object()
    if body.get("confirm") == actor.username:
        await stop_runs(site(), actor)
    return {"conversations": await erase(site().host, actor, body.get("confirm"))}


def _person() -> Actor:
    actor = current_actor()
    if not actor.attended:
        raise AccessError("person_needed", "An API key cannot do this.", "Sign in, and do it in the settings.")
    return actor
