"""The pages on which a password is chosen: by an invitation, by a reset link, or in place of somebody else's choice."""

from __future__ import annotations

from quart import Blueprint, render_template
from quart.typing import ResponseReturnValue

from toolhost.web.guard import public, requires

__all__ = ["blueprint"]

blueprint = Blueprint("doors", __name__)


@blueprint.get("/invite")
@public
async def invite() -> ResponseReturnValue:
    """Take an invitation. Its token travels in the address's fragment, which no browser sends."""
    return await render_template("new_password.html", kind="invite")


@blueprint.get("/reset")
@public
async def reset() -> ResponseReturnValue:
    """Set a new password with a link's token, likewise."""
    return await render_template("new_password.html", kind="reset")


@blueprint.get("/password")
@requires("look", before_change=True)
async def change() -> ResponseReturnValue:
    """Choose another password."""
    return await render_template("new_password.html", kind="change")
