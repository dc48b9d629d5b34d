"""The tools a person may use, and calling one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import UsageError
from toolhost.model import CallResult
from toolhost.policy.annotations import hints_of
from toolhost.web.bodies import read_object
from toolhost.web.guard import abandonable, ask_again, current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint", "status_of_result"]

blueprint = Blueprint("tools", __name__, url_prefix="/api/tools")


@blueprint.get("")
@requires("tools:read", scope="tools:read")
async def index() -> ResponseReturnValue:
    """Every granted tool with its schema; an API key that reads need not be one that runs."""
    reader = replace(current_actor(), scopes=None)
    return {
        "tools": [
            {
                "name": tool.name,
                "plugin": tool.plugin,
                "about": tool.about,
                "input_schema": tool.input_schema,
                "output_schema": tool.output_schema,
                "annotations": dict(hints_of(site().host.policies.current.policy(tool.plugin), tool)),
            }
            for tool in site().host.tools_for(reader)
        ]
    }


@blueprint.post("/<name>/call")
@requires("tools:run", scope="tools:run", works=True)
@abandonable
async def call(name: str) -> ResponseReturnValue:
    """Call a tool. Outside a conversation the call lasts as long as the request: who hangs up ends it."""
    parts, body = site(), await read_object()
    await ask_again()
    actor = current_actor()
    tool = parts.runs.granted(actor, name)
    arguments = body.get("arguments", {})
    conversation_id = body.get("conversation_id")
    if conversation_id is None:
        result = await parts.host.call(tool.name, arguments, actor)
        return result.as_json(), status_of_result(result)
    if not isinstance(conversation_id, str):
        raise UsageError("body_invalid", "`conversation_id` is a text or null.", "Send the id of a conversation.")
    run = await parts.runs.call(
        actor, lambda: parts.conversations.get(actor.user_id, conversation_id), tool.name, arguments
    )
    result = await asyncio.shield(run.first_result)
    return result.as_json(), status_of_result(result)


def status_of_result(result: CallResult) -> int:
    """202 where a person must answer first, 503 where tools cannot run, else 200: a decision was carried out."""
    return {"approval_required": 202, "unavailable": 503}.get(result.status, 200)
