"""The pages for those who look after the server. They show what is; files and the command line change it."""

from __future__ import annotations

from quart import Blueprint, render_template
from quart.typing import ResponseReturnValue

from toolhost.overviews import plugins_of, policies_of
from toolhost.web.access import requires
from toolhost.web.settings import section
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("admin", __name__, url_prefix="/admin")


@blueprint.get("/policies")
@requires("policies:read")
async def policies() -> ResponseReturnValue:
    """Every policy file: what of it is in force, what is wrong with it, what lint says."""
    found = await policies_of(site().host)
    return await render_template("admin_policies.html", found=found, **await section("policies"))


@blueprint.get("/plugins")
@requires("policies:read")
async def plugins() -> ResponseReturnValue:
    """Every plugin: what it is, what it asks for, what it is granted."""
    found = await plugins_of(site().host)
    return await render_template("admin_plugins.html", plugins=found, **await section("plugins"))


@blueprint.get("/models")
@requires("admin")
async def models() -> ResponseReturnValue:
    """Every model that may answer, with a test; and the profiles."""
    known = site().models
    return await render_template(
        "admin_models.html", models=await known.all(), profiles=known.settings.profiles, **await section("models")
    )
