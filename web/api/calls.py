"""Calls that were made."""

from __future__ import annotations

from quart import Blueprint, Response
from quart.typing import ResponseReturnValue

from toolhost.errors import AccessError
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("calls", __name__, url_prefix="/api/calls")


@blueprint.get("/<call_id>")
@requires("look", scope="tools:run")
async def show(call_id: str) -> ResponseReturnValue:
    """One of this person's calls: the result object, with what was asked and planned."""
    record = await site().host.call_record(call_id, current_actor())
    if record is None:
        raise AccessError("call_not_found", "There is no such call.", "Check the id.")
    return {**(record.pop("result") or {}), **record}


@blueprint.post("/<call_id>/cancel")
@requires("look", scope="tools:run")
async def cancel(call_id: str) -> ResponseReturnValue:
    """End a running call. `cancelled` is false where it had ended by itself."""
    parts, actor = site(), current_actor()
    if await parts.host.call_record(call_id, actor) is None:
        raise AccessError("call_not_found", "There is no such call.", "Check the id.")
    return {"call_id": call_id, "cancelled": parts.host.cancel(call_id, actor)}


@blueprint.get("/<call_id>/output")
@requires("look", scope="tools:run")
async def output(call_id: str) -> ResponseReturnValue:
    """Everything a call printed, to be saved: also what was too long for a model, or for the page."""
    record = await site().host.call_record(call_id, current_actor())
    if record is None or record["result"] is None:
        raise AccessError("call_not_found", "There is no such call, or it has no result.", "Check the id.")
    text = record["result"]["stdout"] + record["result"]["stderr"]
    response = Response(text.encode("utf-8", "replace"), mimetype="text/plain")
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"
    response.headers.set("Content-Disposition", "attachment", filename=f"{call_id}.txt")
    return response
