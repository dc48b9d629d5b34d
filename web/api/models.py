"""The models and profiles that may answer, and what was said of their answers."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.web.guard import abandonable, current_actor, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("models", __name__, url_prefix="/api")


@blueprint.get("/models")
@requires("chat", scope="chat")
async def index() -> ResponseReturnValue:
    """The models and profiles this person may choose; the first model answers by default."""
    parts, actor = site(), current_actor()
    return {
        "models": [
            {
                "name": model.name,
                "provider": model.provider,
                "model": model.model,
                "local": model.local,
                "context": model.context,
                "found": model.found,
            }
            for model in await parts.models.of(actor)
        ],
        "profiles": [
            {
                "name": profile.name,
                "about": profile.about,
                "model": profile.model,
                "tools": None if profile.tools is None else list(profile.tools),
            }
            for profile in parts.models.profiles_of(actor)
        ],
    }


@blueprint.post("/models/<path:name>/test")
@requires("admin", scope="admin")
@abandonable
async def test(name: str) -> ResponseReturnValue:
    """Ask a model for one word, for an administrator: whether it answers, how soon, or what is wrong."""
    return (await site().models.test(name)).as_json()


@blueprint.get("/feedback")
@requires("admin", scope="admin")
async def feedback() -> ResponseReturnValue:
    """What people said of answers, the newest first, for an administrator."""
    return {"feedback": await site().feedback.list()}
