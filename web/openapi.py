"""The OpenAPI document: made from the route table, what each route asks of whoever comes, and the shapes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from quart import Quart

from toolhost.web.access import Access, access_of
from toolhost.web.errors import is_api
from toolhost.web.shapes import SHAPES, Shape

__all__ = ["document"]

_ERRORS = {
    400: "The request cannot be read.",
    401: "Not signed in, or what was to prove it is wrong.",
    403: "Not allowed: the role, a scope, another site, a blocked address, or the password is asked for again.",
    404: "Nothing there, or somebody else's.",
    405: "Another method.",
    406: "The client does not take what would be sent.",
    408: "The request took too long to arrive.",
    409: "It does not go together with how things are.",
    410: "Over: answered, used or expired.",
    413: "Too large.",
    421: "The server does not answer under this name.",
    422: "What was sent makes no sense.",
    429: "Asked more often than one may; `Retry-After` says when again.",
    503: "The machine cannot do it now.",
}

_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "recoverable", "hint"],
            "properties": {
                "code": {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"},
                "message": {"type": "string"},
                "recoverable": {"type": "boolean"},
                "hint": {"type": "string"},
            },
        },
        "request_id": {"type": ["string", "null"]},
    },
}

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def document(app: Quart) -> dict[str, Any]:
    """The document for this application, as JSON values. It names no version of the server."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in app.url_map.iter_rules():
        if rule.websocket or not is_api(rule.rule):
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        view = inspect.getdoc(app.view_functions[rule.endpoint]) or ""
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            operation = _operation(method, path, access_of(app, rule.endpoint), SHAPES.get(f"{method} {path}", Shape()))
            about, _, more = view.partition(". ")
            paths.setdefault(path, {})[method.lower()] = {
                "operationId": f"{method.lower()}_{rule.endpoint.replace('.', '_')}",
                "summary": about.rstrip(".") + ".",
                **({"description": more} if more else {}),
                **operation,
            }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Toolhost", "version": "1", "description": "The REST interface of this server."},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Error": _ERROR_SCHEMA},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(method: str, path: str, access: Access, shape: Shape) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    operation: dict[str, Any] = {"security": [] if access.public else [{"bearer": []}]}
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": _parameter(name)} for name in names
        ]
    has_body = method in _WITH_BODY or shape.takes is not None
    if has_body:
        operation["requestBody"] = {
            "required": any(not name.endswith("?") for name in shape.takes or ()),
            "content": {"application/json": {"schema": _object(shape.takes or {})}},
        }
    answer: dict[str, Any] = {"description": "It went well."}
    if shape.status != 204:
        schema = _object(shape.gives) if shape.media == "application/json" else {}
        answer["content"] = {shape.media: {"schema": schema}}
    responses = {str(shape.status): answer}
    for status in sorted({*_refusals(access, has_body, bool(names)), *shape.also}):
        if status in shape.empty:
            responses[str(status)] = {"description": "Nothing is to be answered."}
        elif status < 300:
            responses[str(status)] = {**answer, "description": "A person has to answer first."}
        else:
            said: dict[str, Any] = {"$ref": "#/components/schemas/Error"}
            if shape.fails is not None:
                said = {"anyOf": [said, dict(shape.fails)]}
            error = {"application/json": {"schema": said}}
            responses[str(status)] = {"description": _ERRORS[status], "content": error}
    operation["responses"] = responses
    if access.scope is not None and access.scope != "look":
        operation["x-scope"] = access.scope
    if access.step_up:
        operation["x-step-up"] = True
    return operation


def _refusals(access: Access, has_body: bool, has_names: bool) -> Iterator[int]:
    """What every request of a kind may be refused with."""
    yield from (403, 408, 413, 421, 422, 429)
    if not access.public:
        yield 401
    if has_names:
        yield 404
    if has_body or has_names:
        yield from (400, 404, 409, 410)


def _parameter(name: str) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0} if name == "entry_id" else {"type": "string", "minLength": 1}


def _object(fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name.rstrip("?"): dict(schema) for name, schema in fields.items()},
        "required": [name for name in fields if not name.endswith("?")],
    }
