"""What a person has approved beyond one call, and taking it back."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("grants", __name__, url_prefix="/api/grants")


@blueprint.get("")
@requires("look")
async def index() -> ResponseReturnValue:
    """The grants of this person that still hold."""
    return {"grants": [grant.as_json() for grant in await site().host.grants(current_actor())]}


@blueprint.delete("/<grant_id>")
@requires("look")
async def revoke(grant_id: str) -> ResponseReturnValue:
    """End one; the next such call asks again."""
    await site().host.revoke_grant(grant_id, current_actor())
    return "", 204
