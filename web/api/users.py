"""People, for administrators; and what an invited person or one with a reset link does without signing in.

An API key with the scope `admin` shuts people out and lets nobody in: whom it let in could make keys and approve.
"""

from __future__ import annotations

from quart import Blueprint
from quart.typing import ResponseReturnValue

from toolhost.errors import AccessError, UsageError
from toolhost.web.bodies import read_object
from toolhost.web.guard import client, current_actor, public, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("users", __name__, url_prefix="/api")


@blueprint.get("/users")
@requires("admin", scope="admin")
async def index() -> ResponseReturnValue:
    """Everybody, by name."""
    return {"users": [account.as_json() for account in await site().accounts.people.list()]}


@blueprint.post("/users")
@requires("admin", step_up=True)
async def create() -> ResponseReturnValue:
    """Create somebody. They choose another password at their first sign-in."""
    body = await read_object()
    people = site().accounts.people
    user = await people.create(
        body.get("username"), body.get("password"), body.get("role", "user"), current_actor(), must_change=True
    )
    return {"user": user.as_json()}, 201


@blueprint.patch("/users/<username>")
@requires("admin", scope="admin", step_up=True)
async def change(username: str) -> ResponseReturnValue:
    """Give somebody another `role`, or set `disabled`; in force at once. A key can only disable."""
    body, people, actor = await read_object(), site().accounts.people, current_actor()
    if not body or set(body) - {"role", "disabled"} or not isinstance(body.get("disabled", False), bool):
        raise UsageError("body_invalid", "The request has `role`, `disabled` (true or false), or both.", "Send those.")
    if actor.key_id is not None and body != {"disabled": True}:
        raise AccessError("key_not_allowed", "An API key can only disable people.", "Sign in and do it there.")
    account = await people.get(username)
    if "role" in body:
        account = await people.set_role(username, body["role"], actor)
    if "disabled" in body:
        account = await (people.disable if body["disabled"] else people.enable)(username, actor)
    return {"user": account.as_json()}


@blueprint.post("/users/<username>/reset")
@requires("admin", step_up=True)
async def reset(username: str) -> ResponseReturnValue:
    """A link by which somebody sets a new password, once and within a day."""
    accounts = site().accounts
    token = await accounts.links.reset((await accounts.people.get(username)).user, current_actor())
    return {"path": f"/reset#token={token}"}, 201


@blueprint.delete("/users/<username>/sessions")
@requires("admin", scope="admin", step_up=True)
async def end_sessions(username: str) -> ResponseReturnValue:
    """End every session of somebody."""
    accounts = site().accounts
    user = (await accounts.people.get(username)).user
    return {"ended": await accounts.sessions.revoke_all(current_actor(), user=user)}


@blueprint.delete("/users/<username>/keys")
@requires("admin", scope="admin", step_up=True)
async def end_keys(username: str) -> ResponseReturnValue:
    """End every API key of somebody."""
    accounts = site().accounts
    return {"ended": await accounts.keys.revoke_all((await accounts.people.get(username)).user, current_actor())}


@blueprint.delete("/users/<username>/totp")
@requires("admin", step_up=True)
async def remove_totp(username: str) -> ResponseReturnValue:
    """Take the second factor of somebody who has lost it."""
    accounts = site().accounts
    await accounts.second_factor.remove((await accounts.people.get(username)).user, current_actor())
    return "", 204


@blueprint.post("/invitations")
@requires("admin", step_up=True)
async def invite() -> ResponseReturnValue:
    """A link by which one person makes an account with a `role`, within a week."""
    body = await read_object()
    token = await site().accounts.links.invite(body.get("role", "user"), current_actor())
    return {"path": f"/invite#token={token}"}, 201


@blueprint.post("/invitations/accept")
@public
async def accept() -> ResponseReturnValue:
    """Take an invitation."""
    body = await read_object()
    links = site().accounts.links
    user = await links.accept(body.get("token"), body.get("username"), body.get("password"), client())
    return {"user": user.as_json()}, 201


@blueprint.post("/passwords/reset")
@public
async def renew_password() -> ResponseReturnValue:
    """Take a link that sets a password."""
    body = await read_object()
    await site().accounts.links.renew_password(body.get("token"), body.get("password"), client())
    return {"status": "ok"}
