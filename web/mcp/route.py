"""The route: an ordinary one, behind which the SDK answers."""

from __future__ import annotations

from quart import Blueprint, request
from quart.typing import ResponseReturnValue

from toolhost.web.bodies import read_object
from toolhost.web.guard import abandonable, ask_again, count_work, current, current_actor, requires
from toolhost.web.mcp.visit import Visit
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("mcp", __name__)


@blueprint.post("/mcp")
@requires("tools:run", scope="tools:run")
@abandonable
async def speak() -> ResponseReturnValue:
    """Speak the Model Context Protocol: list the tools and call them. Who hangs up ends the call."""
    body = await read_object()
    await ask_again()
    method = body.get("method")
    # Before the SDK reads it, which may begin a stream with status 200.
    if method == "tools/call":
        count_work()
    parts = site()
    visit = Visit(
        accounts=parts.accounts,
        streams=parts.streams,
        principal=current(),
        actor=current_actor(),
        origin=f"{request.scheme}://{request.headers['Host']}",
        counted=method == "tools/call",
        listens=method == "subscriptions/listen",
    )
    return await visit.through(await parts.mcp.app(), request.scope, await request.get_data(True, False, False))
