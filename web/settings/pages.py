"""The settings pages that are about nobody's area in particular."""

from __future__ import annotations

from quart import Blueprint, redirect, render_template, url_for
from quart.typing import ResponseReturnValue

from toolhost.web.guard import current_actor
from toolhost.web.settings.shell import section
from toolhost.web.site import site
from toolhost.web.workspaces import named_workspaces

__all__ = ["blueprint"]

blueprint = Blueprint("settings", __name__, url_prefix="/settings")


@blueprint.get("")
async def index() -> ResponseReturnValue:
    """The first page."""
    return redirect(url_for("settings.profile"), 303)


@blueprint.get("/profile")
async def profile() -> ResponseReturnValue:
    """Who one is here, and what that lets one do."""
    host, actor = site().host, current_actor()
    plugins: dict[str, int] = {}
    for tool in host.tools_for(actor):
        plugins[tool.plugin] = plugins.get(tool.plugin, 0) + 1
    return await render_template(
        "settings_profile.html",
        plugins=plugins,
        workspaces=named_workspaces(host, actor),
        **await section("profile"),
    )


@blueprint.get("/appearance")
async def appearance() -> ResponseReturnValue:
    """Language, theme, and the keys."""
    return await render_template("settings_appearance.html", **await section("appearance"))


@blueprint.get("/approvals")
async def approvals() -> ResponseReturnValue:
    """What this person has approved beyond one call, and taking it back."""
    parts, actor = site(), current_actor()
    given = await parts.host.grants(actor)
    titles = {item.id: item.title for item in await parts.conversations.list(actor.user_id)}
    return await render_template("grants.html", grants=given, titles=titles, **await section("approvals"))


@blueprint.get("/data")
async def data() -> ResponseReturnValue:
    """Taking one's data along, and deleting it."""
    return await render_template("settings_data.html", **await section("data"))
