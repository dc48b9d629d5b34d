"""Response headers: on every class of response alike, errors and files included."""

from __future__ import annotations

from quart import Response, g, has_websocket_context, request, websocket
from quart.typing import ResponseTypes

from toolhost.web.origins import add_origin_headers

__all__ = ["CONTENT_SECURITY_POLICY", "add_headers", "add_refusal_headers"]

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # The old filter could be turned against a page; the policy above replaces it.
    "X-XSS-Protection": "0",
}

# Only under TLS, which a trusted proxy may have taken off. No preloading: that is an owner's decision about a whole
# domain, and hard to take back.
_HSTS = "max-age=31536000; includeSubDomains"


async def add_headers(response: Response) -> Response:
    """Set the security headers, and forbid caching of anything a view did not mark as cacheable.

    Asynchronous although it waits for nothing: Quart would run a plain function in a thread, which costs more than the
    rest of a small request.
    """
    for name, value in _HEADERS.items():
        # A view may set a policy of its own: a download has one that allows even less.
        if name != "Content-Security-Policy" or name not in response.headers:
            response.headers[name] = value
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    if (websocket if has_websocket_context() else request).scheme in ("https", "wss"):
        response.headers["Strict-Transport-Security"] = _HSTS
    if (budget := g.get("budget")) is not None:
        response.headers.update(budget.headers())
    add_origin_headers(response)
    request_id = g.get("request_id")
    if request_id is not None:
        response.headers["X-Request-Id"] = request_id
    return response


async def add_refusal_headers(response: ResponseTypes | None) -> ResponseTypes | None:
    """The same for a WebSocket that is refused with an answer."""
    return await add_headers(response) if isinstance(response, Response) else response
