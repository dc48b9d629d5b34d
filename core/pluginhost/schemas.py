"""Which JSON Schemas and texts a plugin may declare: small, self-contained, and matched in linear time."""

from __future__ import annotations

import difflib
import json
import unicodedata
from typing import Any

import jsonschema_rs

from toolhost.policy.resolve import PATH_FORMATS
from toolhost.schema_work import SchemaWorkError, measured

__all__ = ["check_schema", "clean_text"]

_MAX_BYTES = 64 << 10
_MAX_DEPTH = 32
_ALIKE = 0.85  # `read_path` is, `file-path` of other hosts is not


def check_schema(schema: object) -> str | None:
    """What is wrong with a schema, as the end of a sentence, or None.

    A schema that refers to another document is refused (validators fetch it), and so is a pattern that needs a
    backtracking engine, or one with more work in it than can be bounded: one argument could stop the host.
    """
    if not isinstance(schema, dict):
        return "is not an object"
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return "holds a value that JSON cannot express"
    if size > _MAX_BYTES:
        return f"takes {size} bytes; at most {_MAX_BYTES} are accepted"
    problem = _walk(schema, 0)
    if problem is not None:
        return problem
    properties = schema.get("properties", {})
    if isinstance(properties, dict) and not all(isinstance(part, dict) for part in properties.values()):
        return "has a property whose own schema is no object"
    try:
        measured(schema)
    except (SchemaWorkError, RecursionError) as error:
        return str(error) if isinstance(error, SchemaWorkError) else "is nested too deeply"
    try:
        jsonschema_rs.validator_for(schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        return f"is not a JSON Schema: {getattr(error, 'message', error)}"
    return None


def _walk(node: object, depth: int) -> str | None:
    if depth > _MAX_DEPTH:
        return f"is nested more than {_MAX_DEPTH} levels deep"
    children: list[Any] = []
    if isinstance(node, dict):
        for key in ("$ref", "$dynamicRef", "$recursiveRef"):
            target = node.get(key)
            if isinstance(target, str) and not target.startswith("#"):
                return f"refers to {target!r}, and other documents are not fetched"
        spelled = node.get("format")
        meant = difflib.get_close_matches(spelled, PATH_FORMATS, 1, _ALIKE) if isinstance(spelled, str) else ()
        if meant and spelled not in PATH_FORMATS:
            return f"has the format {spelled!r}, which says nothing: is {meant[0]!r} meant?"
        children = list(node.values())
    elif isinstance(node, list):
        children = node
    return next((problem for child in children if (problem := _walk(child, depth + 1))), None)


def _refuse(uri: str) -> None:
    raise ValueError(f"the schema refers to {uri}, and other documents are not fetched")


def clean_text(text: str, limit: int = 2000) -> str:
    """A plugin's text without what could rewrite the line it is shown in: control, format and surrogate characters."""
    cut = text[: 4 * limit]  # each character is looked at, and a hostile text may have millions
    kept = (char for char in cut if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return "".join(kept)[:limit].strip()
