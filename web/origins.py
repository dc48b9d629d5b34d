"""Pages of other origins that the setting `allowed_origins` names: what their browsers are told.

A page of any other origin reads no answer of this server and changes nothing with a person's cookie; one that is named
is trusted as the server's own pages are. Names are compared whole: there is no pattern, and nothing is sent back just
because it was sent.
"""

from __future__ import annotations

from quart import Response, has_websocket_context, request, websocket
from quart.wrappers.base import BaseRequestWebsocket

from toolhost.web.errors import is_api
from toolhost.web.site import site

__all__ = ["add_origin_headers", "is_named", "preflight"]

_ANSWER = {
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Expose-Headers": "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "X-Request-Id",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Mcp-Method, Mcp-Name, Mcp-Protocol-Version",
    "Access-Control-Max-Age": "600",
}


def is_named(origin: str | None) -> bool:
    """Whether an administrator named this origin."""
    return origin is not None and origin in site().host.settings.allowed_origins


def preflight(incoming: BaseRequestWebsocket) -> Response | None:
    """The answer to a browser that asks before it sends a named page's request; None where this is no such question."""
    if has_websocket_context() or request.method != "OPTIONS" or not is_api(incoming.path):
        return None
    if "Access-Control-Request-Method" not in incoming.headers or not is_named(incoming.headers.get("Origin")):
        return None
    return Response("", 204, _PREFLIGHT)


def add_origin_headers(response: Response) -> None:
    """Let a named page read an answer of the API."""
    incoming = websocket if has_websocket_context() else request
    if not site().host.settings.allowed_origins or not is_api(incoming.path):
        return
    response.vary.add("Origin")
    origin = incoming.headers.get("Origin")
    if origin is not None and is_named(origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers.update(_ANSWER)
