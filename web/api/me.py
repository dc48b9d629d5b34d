"""A person's own data: taking it along, and deleting it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import IO

from quart import Blueprint, Response
from quart.typing import ResponseReturnValue

from toolhost.errors import AccessError
from toolhost.model import Actor
from toolhost.personal import erase, export
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor
from toolhost.web.site import site
from toolhost.web.stopping import stop_runs

__all__ = ["blueprint"]

blueprint = Blueprint("me", __name__, url_prefix="/api/me")

_CHUNK = 256 << 10


@blueprint.get("/export")
async def take_along() -> ResponseReturnValue:
    """Everything the host holds about this person, as one zip file."""
    made = await export(site().host, _person())
    response = Response(_pieces(made), mimetype="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename="toolhost-data.zip")
    return response


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


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _CHUNK):
            yield piece
