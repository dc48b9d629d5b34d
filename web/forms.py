"""A form from a tool's JSON Schema: text, number, yes or no, a choice, a list; anything else as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from toolhost.model import Tool

__all__ = ["Field", "fields_of"]

Kind = Literal["text", "lines", "number", "boolean", "choice", "list", "json"]

_LONG = frozenset({"script", "content", "text", "message", "patch", "diff", "old", "new", "body", "query"})
"""Names under which people write more than a line."""
_NO_VALUES: Mapping[str, Any] = MappingProxyType({})


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
        given: Whether what stands there is a call's own value: then it is sent also where it is empty or false.
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
    given: bool = False


def fields_of(tool: Tool, values: Mapping[str, Any] = _NO_VALUES) -> tuple[Field, ...]:
    """The inputs of a tool's form, those that are required first.

    Args:
        tool: The tool.
        values: What stands in them at first, where that is not what the tool has by default.
    """
    required = frozenset(tool.input_schema.get("required", ()))
    fields = [
        _field(name, schema, name in required and "default" not in schema, values.get(name, schema.get("default")))
        for name, schema in tool.input_schema.get("properties", {}).items()
    ]
    given = [replace(field, given=field.name in values) for field in fields]
    return tuple(sorted(given, key=lambda field: not field.required))


def _field(name: str, schema: Mapping[str, Any], required: bool, value: Any) -> Field:
    common: dict[str, Any] = {
        "name": name,
        "about": str(schema.get("description", "")),
        "required": required,
        "path": {"read-path": "read", "write-path": "write"}.get(str(schema.get("format", "")), ""),
    }
    choices = schema.get("enum")
    if choices is not None and all(isinstance(choice, str) for choice in choices):
        return Field(kind="choice", choices=tuple(choices), value="" if value is None else str(value), **common)
    kind = schema.get("type")
    if kind == "string" and _fits(value):
        text = "" if value is None else value
        return Field(kind="lines" if name in _LONG or "\n" in text else "text", value=text, **common)
    if kind in ("integer", "number"):
        return Field(
            kind="number",
            value="" if value is None else json.dumps(value),
            step="1" if kind == "integer" else "any",
            minimum=schema.get("minimum"),
            maximum=schema.get("maximum"),
            **common,
        )
    if kind == "boolean":
        return Field(kind="boolean", value="true" if value else "", **common)
    items = schema.get("items", {})
    listed = value or ()
    lines = all(item != "" and "\n" not in str(item) and _fits(item) for item in listed)
    if kind == "array" and items.get("type") in ("string", "number", "integer") and lines:
        path = {"read-path": "read", "write-path": "write"}.get(str(items.get("format", "")), "")
        text = "\n".join(str(item) for item in listed)
        return Field(kind="list", value=text, items=items["type"], **{**common, "path": path})
    return Field(kind="json", value="" if value is None else json.dumps(value, ensure_ascii=False), **common)


def _fits(value: object) -> bool:
    """Whether an input gives a text back as it was: line ends are made one kind there."""
    return not (isinstance(value, str) and "\r" in value)
