"""A form from a tool's JSON Schema: text, number, yes or no, a choice, a list; anything else as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from toolhost.model import Tool

__all__ = ["Field", "fields_of"]

Kind = Literal["text", "lines", "number", "boolean", "choice", "list", "json"]

_LONG = frozenset({"script", "content", "text", "message", "patch", "body", "query"})
"""Names under which people write more than a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One input of a form.

    Attributes:
        name: The argument.
        kind: `lines` is text of several lines, `list` one value a line, `json` anything else.
        about: One sentence, or empty.
        required: Whether it must be given.
        value: What stands there at first.
        choices: Of a choice.
        path: `read` or `write` for a path the host checks, else empty.
        step: Of a number: `1` or `any`.
        minimum: Of a number, or None.
        maximum: Of a number, or None.
        items: The type of a list's values: `string`, `number`, `integer`.
    """

    name: str
    kind: Kind
    about: str
    required: bool
    value: str = ""
    choices: tuple[str, ...] = ()
    path: str = ""
    step: str = ""
    minimum: float | None = None
    maximum: float | None = None
    items: str = ""


def fields_of(tool: Tool) -> tuple[Field, ...]:
    """The inputs of a tool's form, those that are required first."""
    required = frozenset(tool.input_schema.get("required", ()))
    fields = [
        _field(name, schema, name in required) for name, schema in tool.input_schema.get("properties", {}).items()
    ]
    return tuple(sorted(fields, key=lambda field: not field.required))


def _field(name: str, schema: dict[str, Any], required: bool) -> Field:
    default = schema.get("default")
    common: dict[str, Any] = {
        "name": name,
        "about": str(schema.get("description", "")),
        "required": required and "default" not in schema,
        "path": {"read-path": "read", "write-path": "write"}.get(str(schema.get("format", "")), ""),
    }
    choices = schema.get("enum")
    if choices is not None and all(isinstance(choice, str) for choice in choices):
        return Field(kind="choice", choices=tuple(choices), value="" if default is None else str(default), **common)
    kind = schema.get("type")
    if kind == "string":
        return Field(kind="lines" if name in _LONG else "text", value="" if default is None else str(default), **common)
    if kind in ("integer", "number"):
        return Field(
            kind="number",
            value="" if default is None else f"{default:g}",
            step="1" if kind == "integer" else "any",
            minimum=schema.get("minimum"),
            maximum=schema.get("maximum"),
            **common,
        )
    if kind == "boolean":
        return Field(kind="boolean", value="true" if default else "", **common)
    items = schema.get("items", {})
    if kind == "array" and items.get("type") in ("string", "number", "integer"):
        path = {"read-path": "read", "write-path": "write"}.get(str(items.get("format", "")), "")
        value = "\n".join(str(item) for item in default or ())
        return Field(kind="list", value=value, items=items["type"], **{**common, "path": path})
    return Field(kind="json", value="" if default is None else json.dumps(default, ensure_ascii=False), **common)
