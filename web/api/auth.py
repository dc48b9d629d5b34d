"""The first run, and signing in and out."""

from __future__ import annotations

from quart import Blueprint, Response, g, jsonify, request
from quart.typing import ResponseReturnValue

from toolhost.accounts import SignedIn
from toolhost.web.bodies import read_object
from toolhost.web.cookies import clear_session, may_set_cookies, read_cookie, set_session
from toolhost.web.guard import client, current, public
from toolhost.web.site import site

__all__ = ["blueprint"]

blueprint = Blueprint("auth", __name__, url_prefix="/api")


@blueprint.post("/setup")
@public
async def setup() -> ResponseReturnValue:
    """Create the first administrator with the printed token. 403 for a wrong token, 410 once it is done."""
    body = await read_object()
    user = await site().accounts.complete_setup(body.get("token"), body.get("username"), body.get("password"), client())
    return {"user": user.as_json()}, 201


@blueprint.post("/auth/login")
@public
async def login() -> ResponseReturnValue:
    """Sign in: tokens in the answer for programs, in cookies for a browser."""
    body = await read_object()
    return _answer(await site().accounts.sign_in(body.get("username"), body.get("password"), client()))


@blueprint.post("/auth/refresh")
@public
async def refresh() -> ResponseReturnValue:
    """Exchange the refresh token, from the cookie or from `refresh_token` in the body, for new tokens."""
    token: object = read_cookie(request.cookies, "refresh", request.scheme)
    if token is None or g.bearer:
        token = (await read_object()).get("refresh_token")
    return _answer(await site().accounts.refresh(token, client()))


@blueprint.post("/auth/logout")
async def logout() -> ResponseReturnValue:
    """End this session: its tokens, its sockets."""
    await site().accounts.sign_out(current(), client())
    response = jsonify({"status": "ok"})
    clear_session(response)
    return response


@blueprint.get("/auth/me")
async def me() -> ResponseReturnValue:
    """Who this is."""
    return {"user": current().user.as_json()}


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
