"""Errors as answers: one JSON shape for the API, a page for people, never a traceback."""

from __future__ import annotations

import logging

from quart import Quart, Response, g, has_websocket_context, jsonify, render_template, request, websocket
from werkzeug.exceptions import HTTPException

from toolhost.errors import AccessError, ApprovalError, MachineError, ToolHostError, UsageError
from toolhost.sandbox.errors import SandboxError
from toolhost.web.rates import RateLimitedError
from toolhost.web.refusals import record_refusal

__all__ = ["error_object", "is_api", "register", "status_of"]

_log = logging.getLogger("toolhost.web")

_BUSY_SECONDS = 2

_STATUS = {
    "block_not_found": 404,
    "approval_expired": 410,
    "approval_not_found": 404,
    "grant_not_found": 404,
    "body_invalid": 400,
    "body_too_large": 413,
    "call_not_found": 404,
    "conversation_busy": 409,
    "conversation_not_found": 404,
    "entry_not_found": 404,
    "file_has_links": 403,
    "file_has_set_id": 403,
    "file_is_link": 403,
    "file_not_found": 404,
    "file_not_regular": 403,
    "file_too_large": 413,
    "host_not_allowed": 421,
    "inquiry_not_found": 404,
    "upload_exists": 409,
    "upload_too_large": 413,
    "share_not_found": 404,
    "key_not_found": 404,
    "last_admin": 409,
    "link_invalid": 410,
    "lock_invalid": 503,
    "lock_not_writable": 503,
    "login_failed": 401,
    "not_authenticated": 401,
    "not_queued": 409,
    "run_not_found": 404,
    "rate_limited": 429,
    "session_not_found": 404,
    "setup_done": 410,
    "too_many_calls": 429,
    "tool_not_granted": 404,
    "totp_active": 409,
    "totp_required": 401,
    "totp_wrong": 401,
    "unknown_model": 404,
    "unknown_plugin": 404,
    "unknown_profile": 404,
    "unknown_tool": 404,
    "user_not_found": 404,
    "username_taken": 409,
}

_HTTP = {
    400: ("bad_request", "The request cannot be read.", "Send it as the documentation says."),
    404: ("not_found", "There is nothing at this address.", "Check the address."),
    405: ("method_not_allowed", "This address does not take this method.", "Use another method."),
    408: ("too_slow", "The request took too long to arrive.", "Send it again."),
    413: ("body_too_large", "The request is larger than this server accepts.", "Send less, or put it into a file."),
    415: ("body_invalid", "The request must be JSON.", "Send Content-Type: application/json."),
}

_INTERNAL = ("internal_error", "Something went wrong in the server.", "The log has the details under this request id.")


_PLACES = frozenset({"/api", "/ws", "/mcp", "/health", "/health/deep", "/metrics"})


def is_api(path: str) -> bool:
    """Whether answers at this path are JSON."""
    return path.startswith(("/api/", "/ws/")) or path in _PLACES


def status_of(error: ToolHostError | SandboxError) -> int:
    """The HTTP status of an error: by its code, else by its kind."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    kinds: tuple[tuple[type[Exception], int], ...] = (
        (UsageError, 422),
        (AccessError, 403),
        (ApprovalError, 409),
        (MachineError, 503),
        (SandboxError, 503),
    )
    return next((status for kind, status in kinds if isinstance(error, kind)), 500)


def error_object(error: ToolHostError | SandboxError) -> dict[str, object]:
    """The error object of the API."""
    if isinstance(error, ToolHostError):
        return error.as_json()
    return {"code": error.code, "message": error.message, "recoverable": False, "hint": error.hint}


def register(app: Quart) -> None:
    """Answer every error of the application here."""

    async def known(error: ToolHostError | SandboxError) -> Response:
        if isinstance(error, AccessError) and (actor := g.get("actor")) is not None:
            try:
                record_refusal(error, actor, (websocket if has_websocket_context() else request).path)
            except MachineError as failure:
                error = failure
        wait = _BUSY_SECONDS if error.code == "login_busy" else None
        if isinstance(error, RateLimitedError):
            g.budget, wait = error.budget, error.retry_after
        response = await _answer(status_of(error), error_object(error))
        if wait is not None:
            response.headers["Retry-After"] = str(wait)
        return response

    async def http(error: HTTPException) -> Response:
        status = error.code or 500
        if error.response is not None or 300 <= status < 400:
            response = Response(error.description or "", status)
            response.headers.extend(error.get_headers())
            return response
        code, message, hint = _HTTP.get(status, _INTERNAL if status >= 500 else _HTTP[400])
        response = await _answer(status, {"code": code, "message": message, "recoverable": status < 500, "hint": hint})
        if status == 405 and "Allow" in (headers := dict(error.get_headers())):
            response.headers["Allow"] = headers["Allow"]
        return response

    async def unknown(error: Exception) -> Response:
        _log.error("request %s failed", g.get("request_id"), exc_info=error)
        code, message, hint = _INTERNAL
        return await _answer(500, {"code": code, "message": message, "recoverable": False, "hint": hint})

    app.register_error_handler(ToolHostError, known)
    app.register_error_handler(SandboxError, known)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, unknown)


async def _answer(status: int, error: dict[str, object]) -> Response:
    incoming = websocket if has_websocket_context() else request
    request_id = g.get("request_id")
    if has_websocket_context() or is_api(incoming.path):
        response = jsonify({"error": error, "request_id": request_id})
    else:
        response = Response(await render_template("error.html", status=status, error=error), mimetype="text/html")
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="toolhost"'
    return response
