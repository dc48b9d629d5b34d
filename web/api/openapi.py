"""`GET /api/openapi.json`: the interface described for programs."""

from __future__ import annotations

from quart import Blueprint, current_app
from quart.typing import ResponseReturnValue

from toolhost.web.guard import requires
from toolhost.web.openapi import document

__all__ = ["blueprint"]

blueprint = Blueprint("openapi", __name__, url_prefix="/api")


@blueprint.get("/openapi.json")
@requires("look", scope="look")
async def show() -> ResponseReturnValue:
    """The OpenAPI document of this server."""
    return document(current_app)
