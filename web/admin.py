"""The pages for those who look after the server. They show what is; files, the command line and the API change it."""

from __future__ import annotations

import asyncio

from quart import Blueprint, render_template
from quart.typing import ResponseReturnValue

from toolhost.audit.since import KINDS, happened, since
from toolhost.checklist import checklist
from toolhost.overviews import plugins_of, policies_of
from toolhost.web.access import requires
from toolhost.web.guard import current_actor
from toolhost.web.settings import section
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("admin", __name__, url_prefix="/admin")

_SHOWN = 10  # records of a kind


@blueprint.get("/security")
@requires("admin")
async def security() -> ResponseReturnValue:
    """What has happened since this administrator last looked, and the deployment checklist."""
    host = site().host
    await host.audit_index.flush()
    found = await since(host.audit_index, current_actor().user_id)
    records = {kind: await happened(host.audit_index, kind, found.after, most=_SHOWN) for kind in KINDS}
    # It asks this very server something, and reads what the machine says: not on the event loop.
    boxes = await asyncio.to_thread(checklist, host.settings)
    values = await section("watch")
    return await render_template("admin_security.html", since=found, records=records, boxes=boxes, **values)


@blueprint.get("/incident")
@requires("admin")
async def incident() -> ResponseReturnValue:
    """What to do when something is wrong, in the order in which it is done."""
    parts = site()
    plugins = parts.host.plugins.plugins.values()
    return await render_template(
        "admin_incident.html",
        plugins=sorted(plugins, key=lambda plugin: plugin.name),
        people=await parts.accounts.people.list(),
        blocks=await parts.accounts.blocks.list(),
        **await section("incident"),
    )


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
