"""Who may come in. Every route is closed unless it carries a marker; see `toolhost.web.access`.

In order, for pages, the API and the WebSocket alike: the name the server was addressed by, where a changing request
came from, whose it is, and what they may do.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from quart import current_app, g, has_websocket_context, redirect, request, url_for, websocket
from quart.typing import ResponseReturnValue
from quart.wrappers.base import BaseRequestWebsocket

from toolhost.accounts import Client, Principal
from toolhost.errors import AccessError, PluginError
from toolhost.extensions import Identity, IncomingRequest
from toolhost.identifiers import new_id, now_ms
from toolhost.logs import bind
from toolhost.model import Actor
from toolhost.rights import check, check_role
from toolhost.web.access import SAFE, STEP_UP_SECONDS, Access, abandonable, access_of, public, requires
from toolhost.web.cookies import COOKIES, read_cookie
from toolhost.web.errors import is_api
from toolhost.web.forwarded import PEER
from toolhost.web.origins import is_named, preflight
from toolhost.web.site import site

__all__ = [
    "LOOPBACK_NAMES",
    "abandonable",
    "admit",
    "ask_again",
    "client",
    "count_work",
    "current",
    "current_actor",
    "public",
    "requires",
    "signed_in",
    "visitor",
]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_RECORDED = 200  # characters of what a stranger wrote


def client() -> Client:
    """Where this request came from."""
    incoming = _incoming()
    return Client(
        ip=incoming.remote_addr,
        user_agent=incoming.headers.get("User-Agent"),
        request_id=g.get("request_id"),
        channel="mcp" if incoming.path == "/mcp" else "rest" if g.get("bearer") else "web",
    )


def current() -> Principal:
    """Who sends this request, on a route that is not public."""
    principal: Principal = g.principal
    return principal


def current_actor() -> Actor:
    """The same person as an actor for the host."""
    return current().actor(client())


async def signed_in() -> Principal:
    """Who sends this request, for a public route that asks by itself.

    Raises:
        AccessError: `not_authenticated`.
    """
    principal = await _authenticate(_incoming())
    g.actor = principal.actor(client())
    return principal


async def visitor() -> Principal | None:
    """Who looks at a public page, where they are signed in."""
    try:
        return await _authenticate(_incoming())
    except AccessError:
        return None


async def admit() -> ResponseReturnValue | None:
    """Let a request in, or answer it here.

    Raises:
        AccessError: `address_blocked`, `rate_limited`, `host_not_allowed`, `cross_site`, `not_authenticated`,
            `role_not_allowed`, `key_not_allowed`, `scope_missing`, `password_change_required`, `step_up_required`.
    """
    incoming = _incoming()
    g.request_id = new_id("req")
    bind(request_id=g.request_id)  # for every entry of the log, in whatever layer it is written
    g.bearer = "Authorization" in incoming.headers
    if await site().accounts.blocks.blocked(incoming.remote_addr):
        raise _blocked()
    access = access_of(current_app, incoming.endpoint)
    # An unknown page is open too: the 404 tells nothing that a stranger may not know.
    is_open = access.public or (incoming.endpoint is None and not is_api(incoming.path))
    try:
        _check_host(incoming)
        if (answer := preflight(incoming)) is not None:
            _count(incoming, access, None)
            return answer
        _check_origin(incoming, access)
        if not is_open:
            g.principal = await _authenticate(incoming)
    except AccessError as error:
        _count(incoming, access, None)
        if error.code == "cross_site":
            _record_origin(incoming)
        if error.code != "not_authenticated" or _for_programs(incoming):
            raise
        return redirect(url_for("pages.login", next=None if incoming.path == "/" else incoming.path), 303)
    _count(incoming, access, None if is_open else current().user.id)
    if is_open:
        return None
    if current().user.must_change and not access.before_change and incoming.endpoint is not None:
        if _for_programs(incoming):
            raise AccessError(
                "password_change_required",
                "Somebody else chose this password; choose another one first.",
                "POST /api/auth/password, or sign in with a browser.",
            )
        return redirect(url_for("doors.change"), 303)
    _check_access(access)
    await site().host.permitted(g.actor, access.right, incoming.path)
    return None


async def ask_again() -> None:
    """Ask again who sends a request and what they may do, once all of it is there.

    How long that takes the client decides, and its person may have been shut out meanwhile.

    Raises:
        AccessError: As `admit`.
    """
    if (principal := g.get("principal")) is None:
        return
    incoming = _incoming()
    if await site().accounts.blocks.blocked(incoming.remote_addr):
        raise _blocked()
    g.principal = await site().accounts.check(principal)
    _check_access(access_of(current_app, incoming.endpoint))


def _blocked() -> AccessError:
    return AccessError("address_blocked", "Your address gets no answer here.", "An administrator can change that.")


def _count(incoming: BaseRequestWebsocket, access: Access, user_id: str | None) -> None:
    """Count a request to the API, or one that could change something, whatever comes of it. Reading pages and files is
    not counted, nor is the health check."""
    reading = not has_websocket_context() and request.method in SAFE
    if reading and (incoming.path == "/health" or not is_api(incoming.path)):
        return
    rates, address = site().rates, incoming.remote_addr
    g.budget = rates.count("api", address, user_id)
    if access.works:
        g.budget = min(g.budget, rates.count("chat", address, user_id), key=lambda budget: budget.remaining)


def count_work() -> None:
    """Count a request as one that makes a tool work, where only its body says that it does; see `Access.works`.

    Raises:
        RateLimitedError: `rate_limited`.
    """
    left = site().rates.count("chat", _incoming().remote_addr, current().user.id)
    g.budget = min(g.budget, left, key=lambda budget: budget.remaining)


def _check_access(access: Access) -> None:
    principal = current()
    actor = g.actor = current_actor()
    check_role(actor.role, access.right)
    # Where there is no route, or none for this method, there is nothing to be allowed: that is what is said.
    if principal.key_id is not None and _incoming().endpoint is not None:
        if access.scope is None:
            raise AccessError("key_not_allowed", "An API key cannot do this; a person can.", "Sign in and do it there.")
        check(actor, access.scope)
    if access.step_up and principal.key_id is None and now_ms() - principal.proved > STEP_UP_SECONDS * 1000:
        raise AccessError(
            "step_up_required",
            "This asks for your password again: you gave it more than ten minutes ago.",
            'POST /api/auth/step-up {"password"}, then try again.',
        )


def _for_programs(incoming: BaseRequestWebsocket) -> bool:
    return has_websocket_context() or is_api(incoming.path) or g.bearer or request.method not in SAFE


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
    identity = await _vouched(incoming)
    if identity is not None:
        return await site().accounts.vouched(identity)
    cookie = read_cookie(incoming.cookies, "access", incoming.scheme)
    if cookie is None:
        raise AccessError("not_authenticated", "You are not signed in.", "Sign in first.")
    return await site().accounts.sessions.authenticate(cookie)  # a key in a cookie is none


async def _vouched(incoming: BaseRequestWebsocket) -> Identity | None:
    """Who sends a request by what a trusted extension says; None where it says nothing."""
    hooks = site().host.hooks
    if "actor_from_request" not in hooks.implemented:
        return None
    scope: Any = incoming.scope  # of Quart's own making
    peer, trusted = scope.get(PEER, ("", False))
    headers: dict[str, str] = {}
    for name, value in incoming.headers.items():
        known = headers.get(name.lower())
        headers[name.lower()] = value if known is None else f"{known},{value}"
    method = getattr(incoming, "method", "GET") or "GET"
    facts = IncomingRequest(peer=peer, trusted=trusted, method=method, path=incoming.path, headers=headers)
    try:
        found = await hooks.first("actor_from_request", request=facts)
    except PluginError as error:
        raise AccessError("not_authenticated", error.message, error.hint) from None
    if found is None or isinstance(found, Identity):
        return found
    raise AccessError("not_authenticated", "An extension answered actor_from_request with something else.", "")


def _check_host(incoming: BaseRequestWebsocket) -> None:
    # Without this a page of another site could reach us under its own name (DNS rebinding) and be of our origin.
    if _hostname(incoming.headers.get("Host", "")) not in site().allowed_hosts:
        raise AccessError(
            "host_not_allowed",
            "This server does not answer under this name.",
            "Address it by the name or address it was started with; an administrator adds names in `allowed_hosts`.",
        )


def _check_origin(incoming: BaseRequestWebsocket, access: Access) -> None:
    handshake = has_websocket_context()
    if not handshake and request.method in SAFE and not access.recorded:
        return
    fetch_site = incoming.headers.get("Sec-Fetch-Site")
    origin = incoming.headers.get("Origin")
    own = incoming.headers.get("Host", "").lower()
    if is_named(origin):
        good = True
    elif origin is not None:
        # Only the host is compared: a proxy in front may have taken the TLS off.
        good = _host_of(origin) == own and fetch_site in (None, "same-origin", "none")
    elif fetch_site is not None and not handshake:
        good = fetch_site in ("same-origin", "none")
    else:
        # No browser leaves both out on a changing request or a handshake: this is a program, and it has no cookie.
        good = g.bearer or not any(read_cookie(incoming.cookies, kind, incoming.scheme) for kind in COOKIES)
    if not good:
        raise AccessError(
            "cross_site",
            "This request did not come from a page of this server.",
            "A program should send `Authorization: Bearer` and no cookie.",
        )


def _record_origin(incoming: BaseRequestWebsocket) -> None:
    """Once it is counted, and no longer than it has to be: whoever it comes from is anybody."""
    path, origin = incoming.path[:_RECORDED], incoming.headers.get("Origin", "")[:_RECORDED]
    details = {"path": path, "origin": origin or None, "ip": incoming.remote_addr, "request_id": g.request_id}
    site().host.audit.write("security", "origin_refused", details, level="WARNING")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _hostname(header: str) -> str:
    try:
        return (urlsplit("//" + header).hostname or "").lower()
    except ValueError:
        return ""
