"""Who may come in. Every route is closed unless it carries the `public` marker.

In order, for pages, the API and the WebSocket alike: the name the server was addressed by, where a changing request
came from, and whose it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from quart import Quart, current_app, g, has_websocket_context, redirect, request, url_for, websocket
from quart.typing import ResponseReturnValue
from quart.wrappers.base import BaseRequestWebsocket

from toolhost.accounts import Client, Principal
from toolhost.errors import AccessError
from toolhost.identifiers import new_id
from toolhost.model import Actor
from toolhost.web.cookies import COOKIES, read_cookie
from toolhost.web.errors import is_api
from toolhost.web.site import site

__all__ = ["LOOPBACK_NAMES", "admit", "client", "current", "current_actor", "is_public", "public", "visitor"]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_MARK = "toolhost_public"

View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Open a route to people who are not signed in."""
    setattr(view, _MARK, True)
    return view


def is_public(app: Quart, endpoint: str | None) -> bool:
    """Whether a route carries the marker. A route that does not exist does not."""
    view = app.view_functions.get(endpoint) if endpoint is not None else None
    return bool(getattr(view, _MARK, False))


def client() -> Client:
    """Where this request came from."""
    incoming = _incoming()
    return Client(
        ip=incoming.remote_addr, user_agent=incoming.headers.get("User-Agent"), request_id=g.get("request_id")
    )


def current() -> Principal:
    """Who sends this request, on a route that is not public."""
    principal: Principal = g.principal
    return principal


def current_actor() -> Actor:
    """The same person as an actor for the host."""
    principal = current()
    return Actor(
        user_id=principal.user.id,
        username=principal.user.username,
        role=principal.user.role,
        channel="rest" if g.bearer else "web",
        session_id=principal.session_id,
        ip=_incoming().remote_addr,
        request_id=g.request_id,
    )


async def visitor() -> Principal | None:
    """Who looks at a public page, where they are signed in."""
    try:
        return await _authenticate(_incoming())
    except AccessError:
        return None


async def admit() -> ResponseReturnValue | None:
    """Let a request in, or answer it here.

    Raises:
        AccessError: `host_not_allowed`, `cross_site`, `not_authenticated`.
    """
    incoming = _incoming()
    g.request_id = new_id("req")
    g.bearer = "Authorization" in incoming.headers
    _check_host(incoming)
    _check_origin(incoming)
    if is_public(current_app, incoming.endpoint):
        return None
    if incoming.endpoint is None and not is_api(incoming.path):
        return None  # an unknown page: the 404 tells nothing that a stranger may not know
    try:
        g.principal = await _authenticate(incoming)
    except AccessError:
        if has_websocket_context() or is_api(incoming.path) or g.bearer or request.method not in _SAFE:
            raise
        return redirect(url_for("pages.login", next=None if incoming.path == "/" else incoming.path), 303)
    return None


def _incoming() -> BaseRequestWebsocket:
    return websocket if has_websocket_context() else request


async def _authenticate(incoming: BaseRequestWebsocket) -> Principal:
    header = incoming.headers.get("Authorization")
    if header is not None:
        # A bearer wins over a cookie: whoever sends both is judged by the bearer alone.
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AccessError(
                "not_authenticated", "The Authorization header is not `Bearer` and a token.", "Sign in for a token."
            )
        return await site().accounts.authenticate(token.strip())
    cookie = read_cookie(incoming.cookies, "access", incoming.scheme)
    if cookie is None:
        raise AccessError("not_authenticated", "You are not signed in.", "Sign in first.")
    return await site().accounts.authenticate(cookie)


def _check_host(incoming: BaseRequestWebsocket) -> None:
    # Without this a page of another site could reach us under its own name (DNS rebinding) and be of our origin.
    if _hostname(incoming.headers.get("Host", "")) not in site().allowed_hosts:
        raise AccessError(
            "host_not_allowed",
            "This server does not answer under this name.",
            "Address it by the name or address it was started with.",
        )


def _check_origin(incoming: BaseRequestWebsocket) -> None:
    handshake = has_websocket_context()
    if not handshake and request.method in _SAFE:
        return
    fetch_site = incoming.headers.get("Sec-Fetch-Site")
    origin = incoming.headers.get("Origin")
    own = incoming.headers.get("Host", "").lower()
    if origin is not None:
        # Only the host is compared: a proxy in front may have taken the TLS off.
        good = urlsplit(origin).netloc.lower() == own and fetch_site in (None, "same-origin", "none")
    elif fetch_site is not None and not handshake:
        good = fetch_site in ("same-origin", "none")
    else:
        # No browser leaves both out on a changing request or a handshake: this is a program, and it has no cookie.
        good = g.bearer or not any(read_cookie(incoming.cookies, kind, incoming.scheme) for kind in COOKIES)
    if not good:
        site().host.audit.write(
            "security",
            "origin_refused",
            {"path": incoming.path, "origin": origin, "ip": incoming.remote_addr, "request_id": g.request_id},
            level="WARNING",
        )
        raise AccessError(
            "cross_site",
            "This request did not come from a page of this server.",
            "A program should send `Authorization: Bearer` and no cookie.",
        )


def _hostname(header: str) -> str:
    try:
        return (urlsplit("//" + header).hostname or "").lower()
    except ValueError:
        return ""
