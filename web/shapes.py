"""What each request of the API takes and is answered with: what the OpenAPI document says besides the route table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SHAPES", "Shape"]

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_MAYBE: Schema = {"type": ["string", "null"]}
_PASSWORD: Schema = {"type": "string", "maxLength": 4096}
_COUNT: Schema = {"type": "integer"}
_SECONDS: Schema = {"type": ["integer", "null"], "minimum": 1}
_YES: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
_ROLE: Schema = {"enum": ["admin", "operator", "user", "viewer"]}
_LIST: Schema = {"type": "array", "items": _OBJECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The shape of one request.

    Attributes:
        takes: The body's fields by name; one that may be missing ends in `?`. None where there is no body, or nothing
            more is said of it.
        gives: The answer's fields that are always there.
        status: The status of an answer that went well.
        also: Other statuses, besides those that every request of its kind may be answered with.
        media: The answer's type, where it is not JSON.
        empty: Of `also`, the statuses whose answer has no body.
        fails: What an error may look like besides the error object; None where nothing else comes.
    """

    takes: Mapping[str, Schema] | None = None
    gives: Mapping[str, Schema] = field(default_factory=dict)
    status: int = 200
    also: tuple[int, ...] = ()
    media: str = "application/json"
    empty: tuple[int, ...] = ()
    fails: Schema | None = None


_SIGNED_IN: Mapping[str, Schema] = {
    "access_token": _TEXT,
    "token_type": {"const": "bearer"},
    "expires_in": _COUNT,
    "user": _OBJECT,
}

SHAPES: Mapping[str, Shape] = {
    "GET /health": Shape(gives={"status": {"enum": ["ok", "degraded"]}}),
    "GET /metrics": Shape(media="text/plain"),
    # Signing in
    "POST /api/setup": Shape(
        takes={"token": _TEXT, "username": _TEXT, "password": _PASSWORD},
        gives={"user": _OBJECT},
        status=201,
        also=(403,),
    ),
    "POST /api/auth/login": Shape(
        takes={"username": _TEXT, "password": _PASSWORD, "totp?": _MAYBE}, gives=_SIGNED_IN, also=(401, 503)
    ),
    "POST /api/auth/refresh": Shape(takes={"refresh_token?": _TEXT}, gives=_SIGNED_IN, also=(401,)),
    "POST /api/auth/logout": Shape(gives={"status": _TEXT}),
    "GET /api/auth/me": Shape(gives={"user": _OBJECT}),
    "POST /api/auth/step-up": Shape(
        takes={"password": _PASSWORD, "totp?": _MAYBE}, gives={"status": _TEXT}, also=(503,)
    ),
    "POST /api/auth/password": Shape(
        takes={"current": _PASSWORD, "password": _PASSWORD}, gives=_SIGNED_IN, also=(503,)
    ),
    "POST /api/auth/totp": Shape(gives={"secret": _TEXT, "uri": _TEXT, "qr": _TEXT}, status=201),
    "POST /api/auth/totp/confirm": Shape(
        takes={"code": {"type": "string", "pattern": "^[0-9]{6}$"}}, gives={"recovery_codes": {"type": "array"}}
    ),
    "DELETE /api/auth/totp": Shape(status=204),
    # One's own
    "GET /api/sessions": Shape(gives={"sessions": _LIST}),
    "DELETE /api/sessions": Shape(gives={"ended": _COUNT}),
    "DELETE /api/sessions/{session_id}": Shape(status=204),
    "GET /api/keys": Shape(gives={"keys": _LIST}),
    "POST /api/keys": Shape(
        takes={
            "name": {"type": "string", "minLength": 1, "maxLength": 100},
            "scopes": {"type": "array", "items": _TEXT, "minItems": 1},
            "seconds?": _SECONDS,
        },
        gives={"key": _OBJECT, "token": {"type": "string", "pattern": "^aio_[A-Za-z0-9]{32}$"}},
        status=201,
    ),
    "DELETE /api/keys/{key_id}": Shape(status=204),
    "GET /api/me/export": Shape(media="application/zip"),
    "DELETE /api/me/data": Shape(takes={"confirm": _TEXT}, gives={"conversations": _COUNT}),
    # People
    "GET /api/users": Shape(gives={"users": _LIST}),
    "POST /api/users": Shape(
        takes={"username": _TEXT, "password": _PASSWORD, "role?": _ROLE},
        gives={"user": _OBJECT},
        status=201,
        also=(503,),
    ),
    "PATCH /api/users/{username}": Shape(takes={"role?": _ROLE, "disabled?": _YES}, gives={"user": _OBJECT}),
    "POST /api/users/{username}/reset": Shape(gives={"path": _TEXT}, status=201),
    "DELETE /api/users/{username}/sessions": Shape(gives={"ended": _COUNT}),
    "DELETE /api/users/{username}/keys": Shape(gives={"ended": _COUNT}),
    "DELETE /api/users/{username}/totp": Shape(status=204),
    "POST /api/invitations": Shape(takes={"role?": _ROLE}, gives={"path": _TEXT}, status=201),
    "POST /api/invitations/accept": Shape(
        takes={"token": _TEXT, "username": _TEXT, "password": _PASSWORD},
        gives={"user": _OBJECT},
        status=201,
        also=(503,),
    ),
    "POST /api/passwords/reset": Shape(
        takes={"token": _TEXT, "password": _PASSWORD}, gives={"status": _TEXT}, also=(503,)
    ),
    "GET /api/blocks": Shape(gives={"blocks": _LIST}),
    "POST /api/blocks": Shape(
        takes={"address": _TEXT, "seconds?": _SECONDS, "reason?": _TEXT}, gives={"block": _OBJECT}, status=201
    ),
    "DELETE /api/blocks/{network}": Shape(status=204),
    "POST /api/reviews/events": Shape(takes={"through": {"type": "integer", "minimum": 0}}, status=204),
    "POST /api/reviews/access": Shape(gives={"review": _OBJECT}, status=201),
    # Tools and what becomes of calls
    "GET /api/tools": Shape(gives={"tools": _LIST}),
    "POST /api/tools/{name}/call": Shape(
        takes={"arguments?": _OBJECT, "conversation_id?": _MAYBE},
        gives={"call_id": _TEXT, "status": _TEXT},
        also=(202, 503),
    ),
    "POST /mcp": Shape(
        takes={
            "jsonrpc": {"const": "2.0"},
            "method": _TEXT,
            "id?": {"type": ["string", "integer"]},
            "params?": _OBJECT,
        },
        media="text/event-stream",
        also=(202, 406),
        empty=(202,),
        fails={"type": "object", "required": ["jsonrpc", "error"], "properties": {"jsonrpc": {"const": "2.0"}}},
    ),
    "GET /api/approvals": Shape(gives={"approvals": _LIST}),
    "POST /api/approvals/{approval_id}": Shape(
        takes={
            "decision": {"enum": ["approve", "refuse", "modify"]},
            "reason?": _TEXT,
            "arguments?": _OBJECT,
            "scope?": {"enum": ["once", "conversation", "standing"]},
        },
        gives={"call_id": _TEXT, "status": _TEXT},
        also=(202, 503),
    ),
    "GET /api/inquiries": Shape(gives={"inquiries": _LIST}),
    "POST /api/inquiries/{inquiry_id}": Shape(takes={"answer": _MAYBE}, status=204),
    "GET /api/grants": Shape(gives={"grants": _LIST}),
    "DELETE /api/grants/{grant_id}": Shape(status=204),
    "GET /api/calls/{call_id}": Shape(gives={"tool": _TEXT}),
    "GET /api/calls/{call_id}/output": Shape(media="text/plain"),
    "POST /api/calls/{call_id}/cancel": Shape(gives={"call_id": _TEXT, "cancelled": _YES}),
    "POST /api/panic": Shape(takes={"reason?": _TEXT}, gives={"panic": _OBJECT}, also=(503,)),
    "POST /api/plugins/{name}/quarantine": Shape(
        takes={"reason": {"type": "string", "minLength": 1, "maxLength": 500}}, gives={"plugin": _OBJECT}, also=(503,)
    ),
    "GET /api/evidence": Shape(media="application/gzip", also=(503,)),
    # Conversations
    "POST /api/conversations": Shape(
        takes={"title?": _TEXT, "workspace?": _MAYBE}, gives={"id": _TEXT, "title": _TEXT}, status=201
    ),
    "GET /api/conversations": Shape(gives={"conversations": _LIST}),
    "GET /api/conversations/{conversation_id}": Shape(gives={"id": _TEXT, "entries": _LIST}),
    "PATCH /api/conversations/{conversation_id}": Shape(takes={"title?": _TEXT, "pinned?": _YES}, gives={"id": _TEXT}),
    "DELETE /api/conversations/{conversation_id}": Shape(status=204),
    "GET /api/conversations/{conversation_id}/files/{path}": Shape(media="application/octet-stream"),
    "GET /api/conversations/{conversation_id}/export": Shape(media="application/octet-stream"),
    "POST /api/conversations/{conversation_id}/shares": Shape(gives={"id": _TEXT, "path": _TEXT}, status=201),
    "DELETE /api/conversations/{conversation_id}/shares/{share_id}": Shape(status=204),
    "POST /api/shared": Shape(takes={"token": _TEXT}, gives={"title": _TEXT, "html": _TEXT}, also=(403, 404)),
    "POST /api/chat": Shape(
        takes={"message": _TEXT, "conversation_id?": _MAYBE, "stream?": _YES},
        media="text/event-stream",
        also=(202, 503),
    ),
}
"""By method and address. A request that is not here takes an object, if anything, and gives one."""
