"""The policies and plugins, for those who look after the server."""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.overviews import plugin_of, plugins_of, policies_of
from toolhost.quarantine import take_out
from toolhost.web.access import requires
from toolhost.web.bodies import read_object
from toolhost.web.guard import current_actor
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("policies", __name__, url_prefix="/api")


@blueprint.get("/policies")
@requires("policies:read", scope="policies:read")
async def policies() -> ResponseReturnValue:
    """Every policy file: what of it is in force, what is wrong with it, what lint says."""
    return await policies_of(site().host)


@blueprint.get("/plugins")
@requires("policies:read", scope="policies:read")
async def plugins() -> ResponseReturnValue:
    """Every plugin: what it is, what it asks for, what it is granted."""
    return {"plugins": await plugins_of(site().host)}


@blueprint.post("/plugins/<name>/quarantine")
@requires("admin", scope="admin", step_up=True)
async def quarantine(name: str) -> ResponseReturnValue:
    """Take a plugin out of service for a `reason`, ending its calls that run, until `toolhost plugin accept`."""
    host = site().host
    await take_out(host, name, (await read_object()).get("reason"), current_actor())
    return {"plugin": await plugin_of(host, name)}
