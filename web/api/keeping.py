"""What people do with conversations as a whole: find, name, pin, delete, take along."""

from __future__ import annotations

import re

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from toolhost.errors import UsageError
from toolhost.exporting import as_json, as_markdown, gather
from toolhost.finding import find
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site
from toolhost.web.stopping import stop_runs

__all__ = ["blueprint"]

blueprint = Blueprint("keeping", __name__, url_prefix="/api/conversations")

_FORMATS = {"json": "application/json", "md": "text/markdown"}


@blueprint.get("/search")
@requires("look", scope="chat")
async def search() -> ResponseReturnValue:
    """Conversations whose title or messages hold all the words."""
    found = await find(site().host.database, current_actor().user_id, request.args.get("q", ""))
    return {"conversations": [one.as_json() for one in found]}


@blueprint.patch("/<conversation_id>")
@requires("chat", scope="chat")
async def change(conversation_id: str) -> ResponseReturnValue:
    """Give it another title, pin it, or let it go."""
    owner, body, all_of = current_actor().user_id, await read_object(), site().conversations
    await all_of.get(owner, conversation_id)
    title, pinned = body.get("title"), body.get("pinned")
    if (
        not body.keys() <= {"title", "pinned"}
        or not isinstance(title, str | None)
        or not isinstance(pinned, bool | None)
    ):
        raise UsageError(
            "body_invalid", "A conversation takes `title`, a text, and `pinned`, yes or no.", "Send those."
        )
    if pinned is not None:
        await all_of.pin(owner, conversation_id, pinned)
    if title is not None:
        await all_of.rename(owner, conversation_id, title)
    return (await all_of.get(owner, conversation_id)).as_json()


@blueprint.delete("/<conversation_id>")
@requires("chat", scope="chat")
async def delete(conversation_id: str) -> ResponseReturnValue:
    """Delete it: what runs in it is stopped at once, and after a minute it is gone for good."""
    parts, actor = site(), current_actor()
    await parts.conversations.get(actor.user_id, conversation_id)
    await stop_runs(parts, actor, conversation_id)
    await parts.conversations.delete(actor.user_id, conversation_id)
    parts.host.folders.forget(conversation_id)
    return "", 204


@blueprint.post("/<conversation_id>/restore")
@requires("chat", scope="chat")
async def restore(conversation_id: str) -> ResponseReturnValue:
    """Take a deletion back, within its minute."""
    return (await site().conversations.restore(current_actor().user_id, conversation_id)).as_json()


@blueprint.get("/<conversation_id>/export")
@requires("look", scope="chat")
async def export(conversation_id: str) -> ResponseReturnValue:
    """One conversation as a file."""
    kind = request.args.get("format", "json")
    if kind not in _FORMATS:
        raise UsageError("format_unknown", f"There is no format {kind!r}.", "Ask for `json` or `md`.")
    parts, actor = site(), current_actor()
    conversation = await parts.conversations.get(actor.user_id, conversation_id)
    entries = await parts.conversations.entries(actor.user_id, conversation_id)
    gathered = await gather(parts.host, actor, conversation, entries)
    response = Response(as_json(gathered) if kind == "json" else as_markdown(gathered), mimetype=_FORMATS[kind])
    name = re.sub(r"[^A-Za-z0-9]+", "-", conversation.title).strip("-")[:60] or conversation.id
    response.headers.set("Content-Disposition", "attachment", filename=f"{name}.{kind}")
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"
    return response
