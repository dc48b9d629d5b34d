"""Arguments as people type them: `key=value`, `key:=json`, a repeated key for a list.

The command line and the chat's slash commands share this: what works in one works in the other.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from toolhost.errors import UsageError
from toolhost.model import Tool

__all__ = ["parse_line", "parse_words"]


def parse_line(line: str) -> tuple[str, list[str]]:
    """Split a slash command such as `/git.log limit=5 path="a b"` into the tool's name and its words.

    Raises:
        UsageError: `invalid_command_line` for an unclosed quote or a missing name.
    """
    try:
        words = shlex.split(line.strip().removeprefix("/"))
    except ValueError as error:
        raise UsageError("invalid_command_line", f"This line cannot be read: {error}.", "Close the quote.") from None
    if not words:
        raise UsageError("invalid_command_line", "A slash command names a tool.", "Type `/` to see the tools.")
    return words[0], words[1:]


def parse_words(tool: Tool, words: Sequence[str]) -> dict[str, Any]:
    """Read a tool's arguments from words, each value coerced by the schema's type.

    Raises:
        UsageError: `invalid_arguments` for a word that is no `key=value`, a value that is not of its type, or a key
            given twice that takes one value.
    """
    properties: Mapping[str, Mapping[str, Any]] = tool.input_schema.get("properties", {})
    arguments: dict[str, Any] = {}
    for word in words:
        key, separator, text = word.partition("=")
        if not separator or not key.strip(":"):
            raise UsageError(
                "invalid_arguments",
                f"{word!r} is not an argument.",
                f"Write key=value or key:=json. Arguments of {tool.name}: {', '.join(properties) or 'none'}.",
            )
        if key.endswith(":"):
            key, value = key[:-1], _json(key[:-1], text)
        else:
            value = _coerce(key, text, properties.get(key, {}))
        if properties.get(key, {}).get("type") == "array" and not word.startswith(key + ":="):
            arguments.setdefault(key, []).append(value)
        elif key in arguments:
            raise UsageError("invalid_arguments", f"The argument {key!r} is given twice, and takes one value.")
        else:
            arguments[key] = value
    return arguments


def _json(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError("invalid_arguments", f"The value of {key!r} is not JSON: {error}.") from None


def _coerce(key: str, text: str, schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "array":
        return _coerce(key, text, schema.get("items", {}))
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        raise UsageError("invalid_arguments", f"The argument {key!r} takes a number, not {text!r}.") from None
    if kind == "boolean":
        if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise UsageError("invalid_arguments", f"The argument {key!r} takes true or false, not {text!r}.")
        return text.lower() in ("true", "yes", "1")
    if kind in ("object", "null"):
        return _json(key, text)
    return text
