"""The first run, signing in and out, and what people do about their own password and second factor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import segno
from quart import Blueprint, Response, g, jsonify, request
from quart.typing import ResponseReturnValue

from toolhost.accounts import SignedIn
from toolhost.errors import ToolHostError
from toolhost.web.bodies import read_object
from toolhost.web.cookies import clear_session, may_set_cookies, read_cookie, set_session
from toolhost.web.guard import abandonable, client, current, current_actor, public, requires
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("auth", __name__, url_prefix="/api")


@blueprint.post("/setup")
@public
async def setup() -> ResponseReturnValue:
    """Create the first administrator with the printed token. 403 for a wrong token, 410 once it is done."""
    body = await read_object()
    links = site().accounts.links
    user = await links.complete_setup(body.get("token"), body.get("username"), body.get("password"), client())
    return {"user": user.as_json()}, 201


@blueprint.post("/auth/login")
@public
@abandonable
async def login() -> ResponseReturnValue:
    """Sign in: tokens in the answer for programs, in cookies for a browser."""
    body, accounts = await read_object(), site().accounts
    async with _attempt(body.get("username")):
        signed_in = await accounts.sign_in(body.get("username"), body.get("password"), client(), totp=body.get("totp"))
    return _answer(signed_in)


@blueprint.post("/auth/refresh")
@public
async def refresh() -> ResponseReturnValue:
    """Exchange the refresh token, from the cookie or from `refresh_token` in the body, for new tokens."""
    token: object = read_cookie(request.cookies, "refresh", request.scheme)
    if token is None or g.bearer:
        token = (await read_object()).get("refresh_token")
    return _answer(await site().accounts.sessions.renew(token, client()))


@blueprint.post("/auth/logout")
@requires("look", before_change=True)
async def logout() -> ResponseReturnValue:
    """End this session: its tokens, its sockets."""
    await site().accounts.sessions.end(current(), client())
    response = jsonify({"status": "ok"})
    clear_session(response)
    return response


@blueprint.get("/auth/me")
@requires("look", scope="look", before_change=True)
async def me() -> ResponseReturnValue:
    """Who this is."""
    return {"user": current().user.as_json()}


@blueprint.post("/auth/step-up")
@requires("look")
async def step_up() -> ResponseReturnValue:
    """Give the password again, with a code of the second factor: what asks for it then works for ten minutes."""
    body = await read_object()
    async with _attempt(current().user.username):
        await site().accounts.step_up(current(), body.get("password"), client(), totp=body.get("totp"))
    return {"status": "ok"}


@blueprint.post("/auth/password")
@requires("look", before_change=True)
async def password() -> ResponseReturnValue:
    """Choose another password. Every session ends, and this is a new one."""
    body, accounts = await read_object(), site().accounts
    async with _attempt(current().user.username):
        signed_in = await accounts.change_password(current(), body.get("current"), body.get("password"), client())
    return _answer(signed_in)


@blueprint.post("/auth/totp")
@requires("look", step_up=True)
async def offer_totp() -> ResponseReturnValue:
    """Begin a second factor: its secret, shown this once."""
    offer = await site().accounts.second_factor.offer(current().user)
    # Drawn here: the secret is in no other answer, and no script of others draws it.
    qr = segno.make(offer.uri, error="m").svg_data_uri(scale=4)
    return {"secret": offer.secret, "uri": offer.uri, "qr": qr}, 201


@blueprint.post("/auth/totp/confirm")
@requires("look", step_up=True)
async def confirm_totp() -> ResponseReturnValue:
    """Put the second factor in force with a code of it: the recovery codes, shown this once."""
    body = await read_object()
    codes = await site().accounts.second_factor.confirm(current().user, body.get("code"), client())
    return {"recovery_codes": list(codes)}


@blueprint.delete("/auth/totp")
@requires("look", step_up=True)
async def remove_totp() -> ResponseReturnValue:
    """Sign in without a second factor again."""
    await site().accounts.second_factor.remove(current().user, current_actor())
    return "", 204


@asynccontextmanager
async def _attempt(username: object) -> AsyncIterator[None]:
    """Count what may be a guess at somebody's password, unless it turns out to be none."""
    accounts, address = site().accounts, client().ip
    async with accounts.turn():
        known = await accounts.sessions.known(username, address)
        attempt = site().rates.attempt(username, address, known=known)
        try:
            yield
        except ToolHostError as error:
            if error.code not in ("login_failed", "password_wrong", "totp_wrong"):
                attempt.undecided()
            g.budget = min(g.budget, attempt.budget(), key=lambda budget: budget.remaining)
            raise
        attempt.succeeded()


def _answer(signed_in: SignedIn) -> Response:
    response = jsonify(
        {
            "access_token": signed_in.access_token,
            "token_type": "bearer",
            "expires_in": signed_in.expires_in,
            "user": signed_in.user.as_json(),
        }
    )
    if may_set_cookies():
        set_session(response, signed_in)
    return response
