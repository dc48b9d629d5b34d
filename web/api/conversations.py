"""Conversations."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import UsageError
from toolhost.web.bodies import read_object
from toolhost.web.guard import current, current_actor, requires
from toolhost.web.site import site
from toolhost.web.workspaces import check_workspace

__all__ = ["blueprint"]

blueprint = Blueprint("conversations", __name__, url_prefix="/api/conversations")


@blueprint.post("")
@requires("chat", scope="chat")
async def create() -> ResponseReturnValue:
    """Start one, in a new empty workspace or in a named one."""
    body = await read_object()
    title = body.get("title", "")
    if not isinstance(title, str):
        raise UsageError("body_invalid", "`title` is a text.", "Send a text, or leave it out.")
    workspace = check_workspace(site().host, current_actor(), body.get("workspace"))
    conversation = await site().conversations.create(current().user.id, title=title, workspace=workspace)
    return conversation.as_json(), 201


@blueprint.get("")
@requires("look", scope="chat")
async def index() -> ResponseReturnValue:
    """This person's conversations, the last used first."""
    return {"conversations": [item.as_json() for item in await site().conversations.list(current().user.id)]}


@blueprint.get("/<conversation_id>")
@requires("look", scope="chat")
async def show(conversation_id: str) -> ResponseReturnValue:
    """One, with its entries."""
    owner = current().user.id
    conversation = await site().conversations.get(owner, conversation_id)
    entries = await site().conversations.entries(owner, conversation_id)
    external = await site().host.taints.of(current_actor().user_id, conversation_id)
    return {
        **conversation.as_json(),
        "external_content": [one.as_json() for one in external],
        "entries": [entry.as_json() for entry in entries],
    }
