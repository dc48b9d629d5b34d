"""A conversation's runs, its branches, who answers in it, and what its person says of the answers."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import UsageError
from toolhost.web.bodies import read_object
from toolhost.web.choices import read_choice, read_entry
from toolhost.web.guard import current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("branches", __name__, url_prefix="/api")


@blueprint.get("/conversations/<conversation_id>/runs")
@requires("look", scope="chat")
async def runs(conversation_id: str) -> ResponseReturnValue:
    """The runs of a conversation, the oldest first."""
    parts, owner = site(), current_actor().user_id
    await parts.conversations.get(owner, conversation_id)
    return {"runs": [record.as_json() for record in await parts.runs.records.of(owner, conversation_id)]}


@blueprint.get("/runs/<run_id>")
@requires("look", scope="chat")
async def run(run_id: str) -> ResponseReturnValue:
    """One run: how it stands or ended, and what it used."""
    return (await site().runs.records.get(current_actor().user_id, run_id)).as_json()


@blueprint.post("/runs/<run_id>/stop")
@requires("chat", scope="chat")
async def stop(run_id: str) -> ResponseReturnValue:
    """End a run, or take a message that waits for its turn out of the queue."""
    await site().messages.stop(current_actor(), run_id)
    return {"run_id": run_id}


@blueprint.put("/conversations/<conversation_id>/model")
@requires("chat", scope="chat")
async def choose(conversation_id: str) -> ResponseReturnValue:
    """Have another model, or profile, answer from now on; null for the default one, or for none."""
    parts, actor, choice = site(), current_actor(), read_choice(await read_object())
    await parts.models.choose(actor, choice.model, choice.profile or None)
    await parts.conversations.choose(actor.user_id, conversation_id, model=choice.model, profile=choice.profile or None)
    return (await parts.conversations.get(actor.user_id, conversation_id)).as_json()


@blueprint.put("/conversations/<conversation_id>/branch")
@requires("chat", scope="chat")
async def show_branch(conversation_id: str) -> ResponseReturnValue:
    """Show the branch that an entry is on."""
    body = await read_object()
    await site().messages.show_branch(current_actor(), conversation_id, read_entry(body, "entry_id"))
    return {"conversation_id": conversation_id}


@blueprint.put("/conversations/<conversation_id>/entries/<int:entry_id>/feedback")
@requires("chat")
async def rate(conversation_id: str, entry_id: int) -> ResponseReturnValue:
    """Say that an answer was good or not, and why; or take that back with null."""
    parts, owner, body = site(), current_actor().user_id, await read_object()
    rating, comment = body.get("rating"), body.get("comment", "")
    if rating not in ("up", "down", None) or not isinstance(comment, str) or len(comment) > _LONGEST_COMMENT:
        raise UsageError(
            "body_invalid",
            f"`rating` is `up`, `down` or null, `comment` a text of up to {_LONGEST_COMMENT} characters.",
            "Send them so.",
        )
    entry = await parts.conversations.entry(owner, conversation_id, entry_id)
    if entry.kind != "assistant":
        raise UsageError("not_an_answer", "Only a model's answer can be rated.", "Choose one.")
    await parts.feedback.rate(owner, conversation_id, entry_id, rating, comment)
    return {"entry_id": entry_id, "rating": rating}


_LONGEST_COMMENT = 2000  # characters
