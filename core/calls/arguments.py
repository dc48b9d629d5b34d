"""A call's arguments: defaults filled in, then checked against the tool's schema."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from toolhost.errors import UsageError
from toolhost.model import Tool
from toolhost.schema_work import SchemaWork, measured

__all__ = ["MAX_ARGUMENTS", "canonical", "mismatch", "prepare"]

MAX_ARGUMENTS = 1 << 20
"""Bytes of canonical JSON that one call's arguments may take."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_MOST_WORK = 20_000_000
"""Comparisons of a value with a part of a schema: about a second of the host's."""
_MOST_TOLD = 200_000_000
"""The same, times the size of the arguments: what the words for everything wrong may take."""
_SHOWN = 300  # characters of a validation message, which quotes the value


def canonical(arguments: Any) -> str:
    """Arguments, or another value, as canonical JSON: sorted keys, no spaces, ASCII only."""
    return _ENCODER.encode(arguments)


def prepare(tool: Tool, arguments: object) -> dict[str, Any]:
    """Fill in the schema's defaults and check the arguments.

    Raises:
        UsageError: `invalid_arguments`, `arguments_too_large`.
    """
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        raise UsageError("invalid_arguments", f"The arguments of {tool.name} must be a JSON object.")
    properties = tool.input_schema.get("properties", {})
    filled = {
        **{name: schema["default"] for name, schema in properties.items() if "default" in schema},
        **arguments,
    }
    try:
        text = canonical(filled)
        if "\\ud" in text:
            json.dumps(filled, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UsageError("invalid_arguments", f"The arguments of {tool.name} hold half a surrogate pair.") from None
    except (TypeError, ValueError, RecursionError):
        raise UsageError("invalid_arguments", f"The arguments of {tool.name} are not JSON values.") from None
    if len(text) > MAX_ARGUMENTS:
        raise UsageError(
            "arguments_too_large",
            f"The arguments of {tool.name} take {len(text)} bytes; at most {MAX_ARGUMENTS} are accepted.",
            "Put large content into a file of the workspace and pass its path.",
        )
    for key in filled:
        if key not in properties:
            near = difflib.get_close_matches(key, list(properties), n=1)
            known = ", ".join(properties) or "none"
            raise UsageError(
                "invalid_arguments",
                f"{tool.name} has no argument {key!r}.",
                f"Did you mean {near[0]!r}?" if near else f"Its arguments: {known}.",
            )
    problem = mismatch(tool.input_schema, filled, text)
    if problem is not None:
        raise UsageError("invalid_arguments", f"{tool.name}: {problem}.")
    return filled


def mismatch(schema: Mapping[str, Any], value: Any, text: str) -> str | None:
    """The first thing that a tool's schema does not have in a value, as a sentence without its end; None if nothing.

    Args:
        schema: The schema.
        value: The value.
        text: The value as canonical JSON.
    """
    validator, work = _validator(_Schema(schema))
    # Every value has a comma or a colon before it, but the first; those in strings only make the bound wider.
    comparisons = work.of(text.count(",") + text.count(":") + 1, _depth(value) if work.branching > 1 else 0)
    if comparisons > _MOST_WORK:
        return "there are too many values, or values within values, to check them by its schema"
    try:
        return _first(validator, value, comparisons * len(text))
    except ValueError:  # deeper than the library goes
        return "values are nested too deeply to check them by its schema"


def _first(validator: jsonschema_rs.Validator, value: Any, told: int) -> str | None:
    """The first thing that does not fit, if any; `told` is the work that saying so can take at most."""
    if validator.is_valid(value):
        return None
    # Each error holds a copy of what it is about, and of each alternative that did not fit.
    if told > _MOST_TOLD:
        return "they do not fit its schema, and are too large to say where"
    path, message = min(
        ([str(part) for part in error.instance_path], error.message) for error in validator.iter_errors(value)
    )
    where = ".".join(path) + ": " if path else ""
    shown = message if len(message) <= _SHOWN else message[:_SHOWN] + "…"
    return f"{where}{shown}"


def _depth(value: Any) -> int:
    """How deep values are nested."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


def _refuse(uri: str) -> None:
    raise ValueError(f"the schema refers to {uri}, and schemas are not fetched")


class _Schema:
    """A schema as a key: it stays what it is for as long as its tool lives, so it is known without being read."""

    __slots__ = ("schema",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Schema) and other.schema is self.schema


@lru_cache(maxsize=1024)
def _validator(schema: _Schema) -> tuple[jsonschema_rs.Validator, SchemaWork]:
    validator = jsonschema_rs.validator_for(
        json.loads(canonical(schema.schema)),
        retriever=_refuse,
        # The engine that takes linear time: a pattern is as untrusted as the plugin that wrote it.
        pattern_options=jsonschema_rs.RegexOptions(),
    )
    return validator, measured(schema.schema)
