"""The pages of one's account (password, second factor, sessions, keys), and for administrators of everybody's."""

from __future__ import annotations

from quart import Blueprint, render_template, request
from quart.typing import ResponseReturnValue

from toolhost.accounts.review import REVIEWED, held_by_all
from toolhost.audit.since import last_of
from toolhost.identifiers import now_ms
from toolhost.policy.values import RUN_SCOPE, SCOPES
from toolhost.rights import ROLES, allowed, right_of_scope
from toolhost.web.access import requires
from toolhost.web.guard import current, current_actor
from toolhost.web.settings.shell import section
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("account", __name__)


@blueprint.get("/settings/security")
async def security() -> ResponseReturnValue:
    """Password and second factor."""
    user = current().user
    left = await site().accounts.second_factor.recovery_codes_left(user) if user.totp else 0
    return await render_template("settings_security.html", codes_left=left, **await section("security"))


@blueprint.get("/settings/sessions")
async def sessions() -> ResponseReturnValue:
    """Where one is signed in, and ending that."""
    here = current()
    found = await site().accounts.sessions.list(here.user.id)
    values = await section("sessions")
    return await render_template("settings_sessions.html", sessions=found, here_session=here.session_id, **values)


@blueprint.get("/settings/keys")
@requires("keys")
async def keys() -> ResponseReturnValue:
    """One's API keys."""
    actor = current_actor()
    plugins = sorted({tool.plugin for tool in site().host.tools_for(actor)})
    scopes = [scope for scope in SCOPES if allowed(actor, right_of_scope(scope))]
    scopes += [RUN_SCOPE + plugin for plugin in plugins]
    found = await site().accounts.keys.list(current().user)
    mcp = f"{request.scheme}://{request.host}/mcp" if allowed(actor, "tools:run") else None
    return await render_template("settings_keys.html", keys=found, scopes=scopes, mcp=mcp, **await section("keys"))


@blueprint.get("/admin/people")
@requires("admin")
async def people() -> ResponseReturnValue:
    """Everybody with an account and what they come in by, and when that was last reviewed."""
    parts = site()
    await parts.host.audit_index.flush()
    return await render_template(
        "admin_people.html",
        people=await held_by_all(parts.accounts),
        reviewed=await last_of(parts.host.audit_index, REVIEWED),
        roles=ROLES,
        now=now_ms(),
        **await section("people"),
    )
