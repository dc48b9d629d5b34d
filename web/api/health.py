"""`GET /health`: one word, for whoever asks."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.web.guard import public
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@public
async def health() -> ResponseReturnValue:
    """`ok`, or `degraded` where tools cannot run. No version, no path: the answer is for anybody."""
    return {"status": site().host.health()}
