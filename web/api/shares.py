"""Read-only links: made and revoked by a conversation's owner, opened by whoever has one."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import AccessError
from toolhost.model import Actor
from toolhost.web.bodies import read_object
from toolhost.web.fragments import Fragments
from toolhost.web.guard import current_actor, public, requires
from toolhost.web.site import site
from toolhost.web.thread import snapshot
from toolhost.web.visible import visible_text

__all__ = ["blueprint"]

blueprint = Blueprint("shares", __name__, url_prefix="/api")


@blueprint.post("/conversations/<conversation_id>/shares")
@requires("chat")
async def create(conversation_id: str) -> ResponseReturnValue:
    """A new link. Its token is in the address's fragment, which no browser sends, and is shown this once."""
    _check()
    actor = current_actor()
    await site().conversations.get(actor.user_id, conversation_id)
    share, token = await site().shares.create(actor.user_id, conversation_id)
    site().host.audit.write(
        "security", "share.created", {"share": share.id, "conversation": conversation_id}, actor=actor
    )
    return {**share.as_json(), "path": f"/shared#{token}"}, 201


@blueprint.get("/conversations/<conversation_id>/shares")
async def index(conversation_id: str) -> ResponseReturnValue:
    """The links that work."""
    actor = current_actor()
    await site().conversations.get(actor.user_id, conversation_id)
    return {"shares": [share.as_json() for share in await site().shares.of(actor.user_id, conversation_id)]}


@blueprint.delete("/conversations/<conversation_id>/shares/<share_id>")
@requires("chat")
async def revoke(conversation_id: str, share_id: str) -> ResponseReturnValue:
    """End a link."""
    actor = current_actor()
    await site().shares.revoke(actor.user_id, conversation_id, share_id)
    site().host.audit.write(
        "security", "share.revoked", {"share": share_id, "conversation": conversation_id}, actor=actor
    )
    return "", 204


@blueprint.post("/shared")
@public
async def open_share() -> ResponseReturnValue:
    """What a link shows: the conversation as it is now, without anything that does something."""
    _check()
    share = await site().shares.open((await read_object()).get("token"))
    # The owner, to read what is theirs; the role that may do least, and a channel that no policy serves.
    reader = Actor(user_id=share.user_id, username="", role="viewer", channel="share", scopes=frozenset())
    shown = await snapshot(site(), reader, share.conversation_id)
    fragments = Fragments.of_request(shared=True)
    return {"title": visible_text(shown.conversation.title), "html": await fragments.thread(shown)}


def _check() -> None:
    if not site().host.settings.shares:
        raise AccessError(
            "shares_off", "This server makes no links to conversations.", "An administrator can set `shares = true`."
        )
